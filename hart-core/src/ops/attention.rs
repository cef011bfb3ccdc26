//! Attention in plain burn operations.

use burn::tensor::{Tensor, backend::Backend};

use super::tensors::softmax_f32;

/// The most scores that are held at once, in elements (1 GiB in 32 bits).
const SCORES: usize = 1 << 28;

/// Attention over blocks of queries, so that the scores of a long sequence need no more memory
/// than those of a short one.
pub(super) fn in_blocks<B: Backend>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    bias: Option<Tensor<B, 4>>,
    scale: f64,
) -> Tensor<B, 4> {
    let keys = k.dims()[2];
    by_blocks(q, bias, [keys, SCORES], |q, bias| whole(q, k.clone(), v.clone(), bias, scale))
}

/// What `attend` gives for blocks of queries with their bias, joined: as many at a time as have at most
/// `scores` over all `keys`.
pub(super) fn by_blocks<B: Backend>(
    q: Tensor<B, 4>,
    bias: Option<Tensor<B, 4>>,
    [keys, scores]: [usize; 2],
    attend: impl Fn(Tensor<B, 4>, Option<Tensor<B, 4>>) -> Tensor<B, 4>,
) -> Tensor<B, 4> {
    let [batch, heads, queries, _] = q.dims();
    let block = (scores / (batch * heads * keys).max(1)).clamp(1, queries);
    if block == queries {
        return attend(q, bias);
    }
    let starts = (0..queries).step_by(block);
    let parts = starts.map(|start| {
        let length = block.min(queries - start);
        let part = |rows: Tensor<B, 4>| match rows.dims()[2] {
            1 => rows,
            _ => rows.narrow(2, start, length),
        };
        attend(part(q.clone()), bias.clone().map(part))
    });
    Tensor::cat(parts.collect(), 2)
}

/// Attention with all scores at once.
fn whole<B: Backend>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    bias: Option<Tensor<B, 4>>,
    scale: f64,
) -> Tensor<B, 4> {
    let dtype = q.dtype();
    let scores = (q * scale).matmul(k.swap_dims(2, 3));
    let scores = match bias {
        Some(bias) => scores + bias.cast(dtype),
        None => scores,
    };
    softmax_f32(scores).cast(dtype).matmul(v)
}
