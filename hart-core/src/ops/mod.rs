//! The operations a backend may speed up, with defaults made of plain burn operations.

mod attention;
mod backends;
mod convolution;
mod group_norm;
#[cfg(feature = "tch")]
mod libtorch;
mod pullback;

use burn::nn::conv::Conv2d;
use burn::nn::{GroupNorm, Linear, PaddingConfig2d};
use burn::tensor::activation::{gelu_approximate, silu, softmax};
use burn::tensor::module;
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};

pub use convolution::ConvolutionOptions;
pub use group_norm::GroupNormOptions;
pub use pullback::Pullback;

/// A burn backend, with the operations of HART that deserve a kernel of their own.
///
/// Every method has a default in plain burn; a backend overrides what pays. Statistics (norms,
/// softmax) are always taken in 32 bits, results have the type of the first argument.
pub trait HartBackend: Backend {
    /// `softmax(q·kᵀ·scale + bias)·v`. Shapes: `q` `[batch, heads, queries, width]`, `k` and `v`
    /// `[batch, heads, keys, width]`, `bias` broadcastable to `[batch, heads, queries, keys]`.
    fn attend(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        bias: Option<Tensor<Self, 4>>,
        scale: f64,
    ) -> Tensor<Self, 4> {
        attention::in_blocks(q, k, v, bias, scale)
    }

    /// `x / sqrt(mean(x²) + ε) · weight` over the last axis of `[batch, tokens, width]`.
    ///
    /// The normalised value is rounded to the type of `x` before it is multiplied by the weight, as
    /// in the reference.
    fn rms_norm(x: Tensor<Self, 3>, weight: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 3> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let mean_square = x.clone().square().mean_dim(2);
        let normalized = x / (mean_square + epsilon).sqrt();
        normalized.cast(dtype) * weight.cast(dtype).unsqueeze()
    }

    /// `rms_norm(x) · (1 + scale) + shift`, `scale` and `shift` broadcastable to `x`.
    fn modulated_rms_norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        let normalized = Self::rms_norm(x, weight, epsilon);
        let dtype = normalized.dtype();
        normalized * (scale + 1.0).cast(dtype) + shift.cast(dtype)
    }

    /// `SiLU(gate) · up`.
    fn gated_silu(gate: Tensor<Self, 3>, up: Tensor<Self, 3>) -> Tensor<Self, 3> {
        silu(gate) * up
    }

    /// The tanh form of GELU.
    fn gelu_tanh(x: Tensor<Self, 3>) -> Tensor<Self, 3> {
        gelu_approximate(x)
    }

    /// The rotation `x·cos + rotate_half(x)·sin`, where `rotate_half` maps the halves (a, b) of the
    /// last axis to (-b, a). `x` is `[batch, heads, tokens, width]`, `cos` and `sin`
    /// `[batch or 1, 1, tokens, width]`; computed in 32 bits.
    fn rotate(x: Tensor<Self, 4>, cos: Tensor<Self, 4>, sin: Tensor<Self, 4>) -> Tensor<Self, 4> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32);
        let mut halves = x.clone().chunk(2, 3);
        let second = halves.remove(1);
        let first = halves.remove(0);
        let turned = Tensor::cat(vec![second.neg(), first], 3);
        (x * cos + turned * sin).cast(dtype)
    }

    /// `x · weight + bias` with `x` `[…, in]`, `weight` `[in, out]`, `bias` `[out]`.
    fn affine<const D: usize>(
        x: Tensor<Self, D>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
    ) -> Tensor<Self, D> {
        module::linear(x, weight, bias)
    }

    /// GroupNorm over `[batch, channels, height, width]`, weighted by channel.
    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        group_norm::forward(x, weight, bias, options)
    }

    /// [`Self::group_norm`] with its way back.
    fn group_norm_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 1>) {
        let options = *options;
        let result = Self::group_norm(x.clone(), weight.clone(), bias.clone(), &options);
        let pullback = move |gradient| group_norm::pull_back(gradient, x, weight, bias, &options);
        (result, Pullback::new(pullback))
    }

    /// Convolution of `[batch, in, height, width]` with `weight` `[out, in, kernel, kernel]` and
    /// `bias` `[out]`.
    fn convolution(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> Tensor<Self, 4> {
        convolution::forward(x, weight, bias, options)
    }

    /// [`Self::convolution`] with its way back.
    fn convolution_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 4>) {
        let options = *options;
        let result = Self::convolution(x.clone(), weight.clone(), bias.clone(), &options);
        let pullback = move |gradient| convolution::pull_back(gradient, x, weight, bias, &options);
        (result, Pullback::new(pullback))
    }
}

/// Applies a linear layer; the input takes the type the weights are stored in.
pub fn linear<B: HartBackend, const D: usize>(layer: &Linear<B>, x: Tensor<B, D>) -> Tensor<B, D> {
    let weight = layer.weight.val();
    let x = x.cast(weight.dtype());
    B::affine(x, weight, layer.bias.as_ref().map(|bias| bias.val()))
}

/// Applies a convolution; the input takes the type the weights are stored in.
pub fn convolution<B: HartBackend>(layer: &Conv2d<B>, x: Tensor<B, 4>) -> Tensor<B, 4> {
    let weight = layer.weight.val();
    let x = x.cast(weight.dtype());
    let Some(bias) = &layer.bias else {
        panic!("every convolution of the model has a bias");
    };
    let (x, padding) = match layer.padding {
        PaddingConfig2d::Explicit(top, left, bottom, right) if (top, left) == (bottom, right) => {
            (x, [top, left])
        }
        PaddingConfig2d::Explicit(top, left, bottom, right) => {
            let mode = burn::tensor::ops::PadMode::Constant(0.0);
            (x.pad((left, right, top, bottom), mode), [0, 0])
        }
        _ => panic!("every convolution of the model says its padding"),
    };
    let options = ConvolutionOptions { padding, stride: layer.stride };
    B::convolution(x, weight, bias.val(), &options)
}

/// Applies a GroupNorm with learned weights, then SiLU when `activate`.
pub fn group_norm<B: HartBackend>(
    layer: &GroupNorm<B>,
    x: Tensor<B, 4>,
    activate: bool,
) -> Tensor<B, 4> {
    let (Some(weight), Some(bias)) = (&layer.gamma, &layer.beta) else {
        panic!("every GroupNorm of the model has learned weights");
    };
    let options = GroupNormOptions { groups: layer.num_groups, epsilon: layer.epsilon, activate };
    B::group_norm(x, weight.val(), bias.val(), &options)
}

/// Swaps the axes `axis` and `axis + 1`.
///
/// Where one of them has a single entry no element moves, and a reshape says the same. It is also
/// what keeps the GPU backends right: burn-cubecl 0.21 reads a reshaped view wrongly when an axis
/// of one entry was swapped.
pub fn swap_neighbours<B: Backend, const D: usize>(x: Tensor<B, D>, axis: usize) -> Tensor<B, D> {
    let mut shape = x.dims();
    if shape[axis] != 1 && shape[axis + 1] != 1 {
        return x.swap_dims(axis, axis + 1);
    }
    shape.swap(axis, axis + 1);
    x.reshape(shape)
}

/// The tokens of `[batch, count, channels]` at the `positions` of each image, in their order:
/// `[batch, picked, channels]`. Every image has as many positions, all below `count`.
///
/// A gradient goes back to the tokens that were picked.
pub fn pick_rows<B: Backend>(tokens: Tensor<B, 3>, positions: &[Vec<usize>]) -> Tensor<B, 3> {
    let [batch, count, channels] = tokens.dims();
    let rows = positions.iter().enumerate().flat_map(|(image, positions)| {
        positions.iter().map(move |position| (image * count + position) as i64)
    });
    let rows: Vec<i64> = rows.collect();
    let length = rows.len();
    let rows = Tensor::<B, 1, Int>::from_data(TensorData::new(rows, [length]), &tokens.device());
    let flat = tokens.reshape([batch * count, channels]);
    flat.select(0, rows).reshape([batch, length / batch, channels])
}

/// Vectors scaled to length 1 over the last axis; a zero vector stays zero.
pub fn unit_length<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let length = x.clone().square().sum_dim(D - 1).sqrt().clamp_min(1e-12);
    x / length
}

/// Softmax over the last axis in 32 bits.
pub fn softmax_f32<B: Backend, const D: usize>(scores: Tensor<B, D>) -> Tensor<B, D> {
    softmax(scores.cast(DType::F32), D - 1)
}
