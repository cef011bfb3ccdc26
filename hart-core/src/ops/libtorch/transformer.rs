//! Norms, heads and gates of the blocks.

use burn::backend::LibTorch;
use tch::{Kind, Tensor};

use super::super::Projection;
use super::handle;

/// `x / sqrt(mean(x²) + ε) · weight` over the last axis, the normalised value rounded to the type of
/// `x` before it is multiplied.
pub(super) fn rms_norm(x: &Tensor, weight: &Tensor, epsilon: f64) -> Tensor {
    let width = *x.size().last().expect("three axes");
    let (mut normalized, _) = x.internal_fused_rms_norm([width], None::<Tensor>, epsilon);
    normalized.multiply_(&weight.to_kind(x.kind()))
}

/// `(x - mean) / sqrt(variance + ε)` over the last axis, weighted if there are weight and bias.
pub(super) fn layer_norm(x: &Tensor, weights: Option<[Tensor; 2]>, epsilon: f64) -> Tensor {
    let width = *x.size().last().expect("three axes");
    let weights = weights.map(|weights| weights.map(|values| values.to_kind(x.kind())));
    let [weight, bias] = match &weights {
        Some([weight, bias]) => [Some(weight), Some(bias)],
        None => [None, None],
    };
    x.layer_norm([width], weight, bias, epsilon, true)
}

/// `x · (1 + scale) + shift`.
pub(super) fn modulate(x: &Tensor, scale: &Tensor, shift: &Tensor) -> Tensor {
    let kind = x.kind();
    shift.to_kind(kind).addcmul(x, &(scale + 1.0).to_kind(kind))
}

/// `x + y · gate`.
pub(super) fn add_gated(x: &Tensor, y: &Tensor, gate: &Tensor) -> Tensor {
    x.addcmul(y, &gate.to_kind(y.kind()))
}

/// The projection `[rows, tokens, 3·C]` as queries, keys and values. Queries and keys go through every
/// step together.
pub(super) fn split_heads(qkv: &Tensor, projection: &Projection<LibTorch>) -> [Tensor; 3] {
    let (size, kind) = (qkv.size(), qkv.kind());
    let heads = projection.heads as i64;
    let (rows, tokens, width) = (size[0], size[1], size[2] / 3 / heads);
    let parts = qkv.view([rows, tokens, 3, heads, width]);
    let by_head = |bias: Tensor, kind| bias.to_kind(kind).view([heads, width]);

    // A copy in 32 bits, which may be written into.
    let mut both = parts.narrow(2, 0, 2).to_dtype(Kind::Float, false, true);
    let mut queries = both.select(2, 0);
    let _ = queries.g_add_(&by_head(handle(projection.query_bias.clone()), Kind::Float));
    if let Some(scale) = &projection.query_scale {
        let mut length = both.norm_scalaropt_dim(2, [-1].as_slice(), true);
        let _ = both.g_div_(&length.clamp_min_(1e-12));
        let _ = queries.g_mul_(&handle(scale.clone()).view([heads, 1]));
    }
    let both = rotate(&both, projection).to_kind(kind);
    let by_token = |x: Tensor| x.transpose(1, 2);
    let values = parts.select(2, 2) + by_head(handle(projection.value_bias.clone()), kind);
    [by_token(both.select(2, 0)), by_token(both.select(2, 1)), by_token(values)]
}

/// `x·cos + rotate_half(x)·sin` of `[rows, tokens, 2, heads, width]`.
fn rotate(x: &Tensor, projection: &Projection<LibTorch>) -> Tensor {
    // `[rows or 1, 1, tokens, width]` to `[rows or 1, tokens, 1, 1, width]`
    let along = |angles: &burn::tensor::Tensor<LibTorch, 4>| {
        handle(angles.clone()).transpose(1, 2).unsqueeze(2)
    };
    let (cos, sin) = (along(&projection.angles.cos), along(&projection.angles.sin));
    let half = x.size()[4] / 2;
    let turned = Tensor::cat(&[x.narrow(4, half, half).neg(), x.narrow(4, 0, half)], 4);
    (x * cos).addcmul_(&turned, &sin)
}
