//! The same operations as they are written down first, without a kernel of their own: the
//! yardstick for the kernels.

use burn::tensor::activation::{silu, softmax};
use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, module};
use hart_core::HartBackend;
use hart_core::ops::{GroupNormOptions, Projection, unit_length};

use crate::timing::Backend;

/// `x · weight`.
pub(crate) fn linear(x: Tensor<Backend, 2>, weight: Tensor<Backend, 2>) -> Tensor<Backend, 2> {
    module::linear(x, weight, None)
}

/// `softmax(q·kᵀ·scale)·v` with all scores at once.
pub(crate) fn attend(
    q: Tensor<Backend, 4>,
    k: Tensor<Backend, 4>,
    v: Tensor<Backend, 4>,
    scale: f64,
) -> Tensor<Backend, 4> {
    softmax((q * scale).matmul(k.swap_dims(2, 3)), 3).matmul(v)
}

/// Biases, lengths and rotation, one after the other.
pub(crate) fn split_heads(
    qkv: Tensor<Backend, 3>,
    projection: &Projection<Backend>,
) -> [Tensor<Backend, 4>; 3] {
    let [batch, tokens, joined] = qkv.dims();
    let (heads, width) = (projection.heads, joined / 3);
    let part = |i| qkv.clone().narrow(2, i * width, width);
    let split =
        |x: Tensor<Backend, 3>| x.reshape([batch, tokens, heads, width / heads]).swap_dims(1, 2);
    let q = split(part(0) + projection.query_bias.clone().unsqueeze());
    let v = split(part(2) + projection.value_bias.clone().unsqueeze());
    let q = match &projection.query_scale {
        Some(scale) => unit_length(q) * scale.clone(),
        None => q,
    };
    let angles = &projection.angles;
    // No backend has a kernel for the rotation by itself.
    let rotate = |x| Backend::rotate(x, angles.cos.clone(), angles.sin.clone());
    [rotate(q), rotate(unit_length(split(part(1)))), v]
}

/// `x / sqrt(mean(x²) + ε) · weight · (1 + scale) + shift`.
pub(crate) fn modulated_rms_norm(
    x: Tensor<Backend, 3>,
    weight: Tensor<Backend, 1>,
    scale: Tensor<Backend, 3>,
    shift: Tensor<Backend, 3>,
    epsilon: f64,
) -> Tensor<Backend, 3> {
    let mean_square = x.clone().square().mean_dim(2);
    let normalized = x / (mean_square + epsilon).sqrt() * weight.unsqueeze();
    normalized * (scale + 1.0) + shift
}

/// `SiLU(gate) · up`.
pub(crate) fn gated_silu(gate: Tensor<Backend, 3>, up: Tensor<Backend, 3>) -> Tensor<Backend, 3> {
    silu(gate) * up
}

/// Mean 0 and variance 1 in every group, weighted by channel, then SiLU.
pub(crate) fn group_norm(
    x: Tensor<Backend, 4>,
    weight: Tensor<Backend, 1>,
    bias: Tensor<Backend, 1>,
    options: &GroupNormOptions,
) -> Tensor<Backend, 4> {
    let shape @ [batch, channels, height, width] = x.dims();
    let group = channels / options.groups * height * width;
    let x = x.reshape([batch, options.groups, group]);
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let normalized = (centred / (variance + options.epsilon).sqrt()).reshape(shape);
    let per_channel = |values: Tensor<Backend, 1>| values.reshape([1, channels, 1, 1]);
    silu(normalized * per_channel(weight) + per_channel(bias))
}

/// A convolution that keeps height and width.
pub(crate) fn convolution(
    x: Tensor<Backend, 4>,
    weight: Tensor<Backend, 4>,
    bias: Tensor<Backend, 1>,
) -> Tensor<Backend, 4> {
    module::conv2d(x, weight, Some(bias), ConvOptions::new([1, 1], [1, 1], [1, 1], 1))
}
