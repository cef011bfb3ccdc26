//! The operations as LibTorch has them: on a GPU one launch where plain operations take several, and
//! attention that stores no scores.

mod attention;
mod chacha;
mod layers;
mod sampling;
mod transformer;

use burn::backend::LibTorch;
use burn::backend::libtorch::{LibTorchDevice, TchTensor};
use burn::tensor::{Int, Tensor, TensorPrimitive};

use super::sampling::{SmoothNoise, TokenSampling, TokensThere};
use super::{ConvolutionOptions, GroupNormOptions, HartBackend, Projection, Pullback};
use crate::ScaleSchedule;

/// The handle of a tensor. A tensor of the backend has no gradient of its own, so handles may be
/// shared; no result of these functions is a view of an argument.
fn handle<const D: usize>(tensor: Tensor<LibTorch, D>) -> tch::Tensor {
    tensor.into_primitive().tensor().tensor
}

fn wrap<const D: usize>(tensor: tch::Tensor) -> Tensor<LibTorch, D> {
    Tensor::from_primitive(TensorPrimitive::Float(TchTensor::new(tensor)))
}

fn wrap_int<const D: usize>(tensor: tch::Tensor) -> Tensor<LibTorch, D, Int> {
    Tensor::from_primitive(TchTensor::new(tensor))
}

/// LibTorch differentiates its layers itself.
impl HartBackend for LibTorch {
    const ATTENDS_TOGETHER: bool = true;

    fn attend(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        bias: Option<Tensor<Self, 4>>,
        scale: f64,
    ) -> Tensor<Self, 4> {
        wrap(attention::attend(&handle(q), &handle(k), &handle(v), bias.map(handle), scale))
    }

    fn attend_repeated(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        copies: usize,
        scale: f64,
    ) -> Tensor<Self, 4> {
        wrap(attention::attend_repeated(&handle(q), handle(k), handle(v), copies, scale))
    }

    fn split_heads(qkv: Tensor<Self, 3>, projection: &Projection<Self>) -> [Tensor<Self, 4>; 3] {
        transformer::split_heads(&handle(qkv), projection).map(wrap)
    }

    fn rms_norm(x: Tensor<Self, 3>, weight: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 3> {
        wrap(transformer::rms_norm(&handle(x), &handle(weight), epsilon))
    }

    fn modulated_rms_norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        let normalized = transformer::rms_norm(&handle(x), &handle(weight), epsilon);
        wrap(transformer::modulate(&normalized, &handle(scale), &handle(shift)))
    }

    fn modulated_layer_norm(
        x: Tensor<Self, 3>,
        weights: Option<[Tensor<Self, 1>; 2]>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        let normalized =
            transformer::layer_norm(&handle(x), weights.map(|w| w.map(handle)), epsilon);
        wrap(transformer::modulate(&normalized, &handle(scale), &handle(shift)))
    }

    fn add_gated(x: Tensor<Self, 3>, y: Tensor<Self, 3>, gate: Tensor<Self, 3>) -> Tensor<Self, 3> {
        wrap(transformer::add_gated(&handle(x), &handle(y), &handle(gate)))
    }

    fn gated_silu(gate: Tensor<Self, 3>, up: Tensor<Self, 3>) -> Tensor<Self, 3> {
        // The activation is a tensor of its own, which may be written into.
        wrap(handle(gate).silu().multiply_(&handle(up)))
    }

    fn gelu_tanh(x: Tensor<Self, 3>) -> Tensor<Self, 3> {
        wrap(handle(x).gelu("tanh"))
    }

    fn silu<const D: usize>(x: Tensor<Self, D>) -> Tensor<Self, D> {
        wrap(handle(x).silu())
    }

    fn affine<const D: usize>(
        x: Tensor<Self, D>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
    ) -> Tensor<Self, D> {
        wrap(layers::affine(&handle(x), &handle(weight), bias.map(handle)))
    }

    fn smooth_noise(
        seeds: &[u64],
        scales: &ScaleSchedule,
        entries: usize,
        device: &LibTorchDevice,
    ) -> Option<SmoothNoise<Self>> {
        let device = tch::Device::from(*device);
        (device != tch::Device::Cpu).then(|| sampling::smooth_noise(seeds, scales, entries, device))
    }

    fn sample_tokens(
        logits: &Tensor<Self, 3>,
        sampling: &TokenSampling<'_, Self>,
    ) -> Option<TokensThere<Self>> {
        // On the processor the host's own sampling is faster, and exact.
        let logits = handle(logits.clone());
        (logits.device() != tch::Device::Cpu).then(|| sampling::sample(&logits, sampling))
    }

    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        layers::plain(x, weight, bias, |x, w, b| layers::group_norm(x, w, b, options))
    }

    fn group_norm_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 1>) {
        layers::with_pullback(x, weight, bias, |x, w, b| layers::group_norm(x, w, b, options))
    }

    fn convolution_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 4>) {
        layers::with_pullback(x, weight, bias, |x, w, b| layers::convolution(x, w, b, options))
    }
}
