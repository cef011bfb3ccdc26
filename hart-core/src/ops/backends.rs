//! What each backend overrides, but for Flex (`flex`) and those on GPUs (`cube`).

#[cfg(any(feature = "tch", feature = "train"))]
use burn::tensor::Tensor;
#[cfg(feature = "train")]
use burn::tensor::module;

#[cfg(any(feature = "ndarray", feature = "tch", feature = "train"))]
use super::HartBackend;
#[cfg(feature = "tch")]
use super::Pullback;
#[cfg(feature = "tch")]
use super::libtorch;
#[cfg(feature = "train")]
use super::pullback::tracked::layer;
#[cfg(any(feature = "tch", feature = "train"))]
use super::{ConvolutionOptions, GroupNormOptions};

#[cfg(feature = "ndarray")]
impl HartBackend for burn::backend::NdArray {}

/// LibTorch has GroupNorm as one operation, and differentiates its layers itself.
#[cfg(feature = "tch")]
impl HartBackend for burn::backend::LibTorch {
    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        libtorch::plain(x, weight, bias, |x, w, b| libtorch::group_norm(x, w, b, options))
    }

    fn group_norm_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 1>) {
        libtorch::with_pullback(x, weight, bias, |x, w, b| libtorch::group_norm(x, w, b, options))
    }

    fn convolution_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 4>) {
        libtorch::with_pullback(x, weight, bias, |x, w, b| libtorch::convolution(x, w, b, options))
    }
}

/// Convolution and GroupNorm bring their own backward pass, and linear layers see one long list of
/// rows: burn's
/// gradient of a weight holds one matrix for each entry of the batch before it adds them.
#[cfg(feature = "train")]
impl<B: HartBackend, C> HartBackend for burn::backend::Autodiff<B, C>
where
    C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy,
{
    fn affine<const D: usize>(
        x: Tensor<Self, D>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
    ) -> Tensor<Self, D> {
        let mut shape = x.dims();
        let [inputs, outputs] = weight.dims();
        let rows = shape.iter().product::<usize>() / inputs;
        shape[D - 1] = outputs;
        module::linear(x.reshape([rows, inputs]), weight, bias).reshape(shape)
    }

    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        layer(
            x,
            weight,
            bias,
            |x, weight, bias| B::group_norm(x, weight, bias, options),
            |x, weight, bias| B::group_norm_with_pullback(x, weight, bias, options),
        )
    }

    fn convolution(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> Tensor<Self, 4> {
        layer(
            x,
            weight,
            bias,
            |x, weight, bias| B::convolution(x, weight, bias, options),
            |x, weight, bias| B::convolution_with_pullback(x, weight, bias, options),
        )
    }
}
