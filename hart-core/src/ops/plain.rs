//! The operations in plain burn: what a backend does that overrides nothing.

use burn::tensor::activation::{self, gelu_approximate};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

use super::tensors::{swap_neighbours, unit_length};
use super::{HartBackend, Projection};
use crate::transfer::upload;

/// The plain form of [`HartBackend::split_heads`].
pub(super) fn split_heads<B: HartBackend>(
    qkv: Tensor<B, 3>,
    projection: &Projection<B>,
) -> [Tensor<B, 4>; 3] {
    let [batch, tokens, joined] = qkv.dims();
    let (heads, width, dtype) = (projection.heads, joined / 3, qkv.dtype());
    let part = |i: usize, bias: Option<&Tensor<B, 1>>| {
        let part = qkv.clone().narrow(2, i * width, width);
        let part = match bias {
            Some(bias) => part + bias.clone().cast(dtype).unsqueeze(),
            None => part,
        };
        swap_neighbours(part.reshape([batch, tokens, heads, width / heads]), 1)
    };
    let (q, k) = (part(0, Some(&projection.query_bias)), part(1, None));
    let (q, k) = match &projection.query_scale {
        Some(scale) => {
            (unit_length(q.cast(DType::F32)) * scale.clone(), unit_length(k.cast(DType::F32)))
        }
        None => (q, k),
    };
    let angles = &projection.angles;
    let rotate = |x| B::rotate(x, angles.cos.clone(), angles.sin.clone()).cast(dtype);
    [rotate(q), rotate(k), part(2, Some(&projection.value_bias))]
}

/// The plain form of [`HartBackend::attend_repeated`]: the powers of `copies` equal scores sum to the
/// power of one score that is larger by the logarithm of their number.
pub(super) fn attend_repeated<B: HartBackend>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    copies: usize,
    scale: f64,
) -> Tensor<B, 4> {
    if copies == 1 {
        return B::attend(q, k, v, None, scale);
    }
    let keys = k.dims()[2];
    let mut bias = vec![0.0; keys];
    bias[0] = (copies as f32).ln();
    let bias = TensorData::new(bias, [1, 1, 1, keys]);
    let bias = upload(bias, (&q.device(), q.dtype()));
    B::attend(q, k, v, Some(bias), scale)
}

/// The plain form of [`HartBackend::write_rows`].
pub(super) fn write_rows<B: Backend>(
    buffer: Tensor<B, 4>,
    first: usize,
    rows: Tensor<B, 4>,
) -> Tensor<B, 4> {
    let [batch, heads, tokens, width] = rows.dims();
    buffer.slice_assign([0..batch, 0..heads, first..first + tokens, 0..width], rows)
}

/// The plain form of [`HartBackend::rms_norm`].
pub(super) fn rms_norm<B: Backend>(
    x: Tensor<B, 3>,
    weight: Tensor<B, 1>,
    epsilon: f64,
) -> Tensor<B, 3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let mean_square = x.clone().square().mean_dim(2);
    let normalized = x / (mean_square + epsilon).sqrt();
    normalized.cast(dtype) * weight.cast(dtype).unsqueeze()
}

/// The plain form of [`HartBackend::modulated_rms_norm`].
pub(super) fn modulated_rms_norm<B: HartBackend>(
    x: Tensor<B, 3>,
    weight: Tensor<B, 1>,
    scale: Tensor<B, 3>,
    shift: Tensor<B, 3>,
    epsilon: f64,
) -> Tensor<B, 3> {
    let normalized = B::rms_norm(x, weight, epsilon);
    let dtype = normalized.dtype();
    normalized * (scale + 1.0).cast(dtype) + shift.cast(dtype)
}

/// The plain form of [`HartBackend::modulated_layer_norm`].
pub(super) fn modulated_layer_norm<B: HartBackend>(
    x: Tensor<B, 3>,
    weights: Option<[Tensor<B, 1>; 2]>,
    scale: Tensor<B, 3>,
    shift: Tensor<B, 3>,
    epsilon: f64,
) -> Tensor<B, 3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let normalized = centred / (variance + epsilon).sqrt();
    let normalized = match weights {
        Some([weight, bias]) => normalized * weight.unsqueeze() + bias.unsqueeze(),
        None => normalized,
    };
    normalized.cast(dtype) * (scale + 1.0) + shift
}

/// The plain form of [`HartBackend::add_gated`].
pub(super) fn add_gated<B: Backend>(
    x: Tensor<B, 3>,
    y: Tensor<B, 3>,
    gate: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let gate = gate.cast(y.dtype());
    x + y * gate
}

/// The plain form of [`HartBackend::gated_silu`].
pub(super) fn gated_silu<B: Backend>(gate: Tensor<B, 3>, up: Tensor<B, 3>) -> Tensor<B, 3> {
    activation::silu(gate) * up
}

/// The plain form of [`HartBackend::gelu_tanh`].
pub(super) fn gelu_tanh<B: Backend>(x: Tensor<B, 3>) -> Tensor<B, 3> {
    gelu_approximate(x)
}

/// The plain form of [`HartBackend::silu`].
pub(super) fn silu<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    activation::silu(x)
}

/// The plain form of [`HartBackend::rotate`].
pub(super) fn rotate<B: Backend>(
    x: Tensor<B, 4>,
    cos: Tensor<B, 4>,
    sin: Tensor<B, 4>,
) -> Tensor<B, 4> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let mut halves = x.clone().chunk(2, 3);
    let second = halves.remove(1);
    let first = halves.remove(0);
    let turned = Tensor::cat(vec![second.neg(), first], 3);
    (x * cos + turned * sin).cast(dtype)
}
