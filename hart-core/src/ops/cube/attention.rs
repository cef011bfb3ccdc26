//! Attention whose scores become weights in one pass, in the place where they lie.

use burn::tensor::Tensor;

use super::flash;
use super::operation::{RunsCube, input, run};
use crate::kernels::cube::softmax::Softmax;
use crate::ops::attention::by_blocks;

/// The most memory that scores take at once, in bytes.
const SCORES: usize = 1 << 31;

/// Attention when the first key, with its value, stands for `copies` identical ones.
pub(super) fn attend<B: RunsCube>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    bias: Option<Tensor<B, 4>>,
    scale: f64,
    copies: usize,
) -> Tensor<B, 4> {
    if bias.is_none() && flash::is_taken(&q, &k, &v, copies) {
        flash::attend(q, k, v, scale, copies)
    } else {
        with_scores(q, k, v, bias, scale, copies)
    }
}

/// The same with its scores stored: the powers of as many equal scores sum to that of one that is larger
/// by the logarithm of their number.
pub(super) fn with_scores<B: RunsCube>(
    q: Tensor<B, 4>,
    k: Tensor<B, 4>,
    v: Tensor<B, 4>,
    bias: Option<Tensor<B, 4>>,
    scale: f64,
    copies: usize,
) -> Tensor<B, 4> {
    let dtype = q.dtype();
    let operation = Softmax { first: (copies as f32).ln() };
    let q = if scale == 1.0 { q } else { q * scale };
    let most = SCORES / dtype.size();
    let keys = k.dims()[2];
    let k = k.swap_dims(2, 3);
    by_blocks(q, bias, [keys, most], |q, bias| {
        let scores = q.matmul(k.clone());
        let scores = match bias {
            Some(bias) => scores + bias.cast(dtype),
            None => scores,
        };
        let [weights] = run::<B, 4, 1>(operation, vec![input(scores)]);
        weights.matmul(v.clone())
    })
}
