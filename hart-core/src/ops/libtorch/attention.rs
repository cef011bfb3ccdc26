//! Attention without stored scores.

use tch::Tensor;

/// `softmax(q·kᵀ·scale + bias)·v`, the softmax in 32 bits.
pub(super) fn attend(
    q: &Tensor,
    k: &Tensor,
    v: &Tensor,
    bias: Option<Tensor>,
    scale: f64,
) -> Tensor {
    let bias = bias.map(|bias| bias.to_kind(q.kind()));
    Tensor::scaled_dot_product_attention(q, k, v, bias, 0.0, false, scale, false)
}

/// The same when the first key, with its value, stands for `copies` identical ones. They are written
/// out: a bias for one key would lead off the path that stores no scores, and a few hundred keys are
/// little beside thousands.
pub(super) fn attend_repeated(
    q: &Tensor,
    k: Tensor,
    v: Tensor,
    copies: usize,
    scale: f64,
) -> Tensor {
    if copies == 1 {
        return attend(q, &k, &v, None, scale);
    }
    let written_out = |x: Tensor| {
        let size = x.size();
        let first = x.narrow(2, 0, 1).expand([size[0], size[1], copies as i64 - 1, size[3]], false);
        Tensor::cat(&[first, x], 2)
    };
    attend(q, &written_out(k), &written_out(v), None, scale)
}
