//! Attention, and the step from projections to queries, keys and values, by kernels.

use burn::backend::Flex;
use burn::tensor::Tensor;

use super::values::{Strided, Values, room, tensor};
use crate::kernels::cpu::attention::{self, Heads, Scores};
use crate::kernels::cpu::heads;
use crate::ops::Projection;

/// Attention without a mask over 32-bit values.
pub(super) fn attend(
    q: &Tensor<Flex, 4>,
    k: &Tensor<Flex, 4>,
    v: &Tensor<Flex, 4>,
    scale: f64,
    copies: usize,
) -> Tensor<Flex, 4> {
    let shape = q.dims();
    let [_, _, queries, width] = shape;
    let keys = k.dims()[2];
    // Keys and values are as a rule the filled rows of a cache: there they stay.
    let [q, k, v] = [q, k, v].map(|x| Strided::or_copied(x, 2));
    let mut out = room(shape);
    attention::attend(
        Heads { values: q.get(), rows: queries, step: q.step },
        Heads { values: k.get(), rows: keys, step: k.step },
        Heads { values: v.get(), rows: keys, step: v.step },
        Scores { width, scale: scale as f32, first: (copies as f32).ln() },
        &mut out,
    );
    tensor(out, shape)
}

/// The projection of a block, 32-bit values, as queries, keys and values.
pub(super) fn split_heads(
    qkv: Tensor<Flex, 3>,
    projection: &Projection<Flex>,
) -> [Tensor<Flex, 4>; 3] {
    let [batch, tokens, joined] = qkv.dims();
    let (heads, width) = (projection.heads, joined / 3 / projection.heads);
    let shape = [batch, heads, tokens, width];
    let qkv = Values::of(qkv);
    let [query_bias, value_bias] =
        [&projection.query_bias, &projection.value_bias].map(|bias| Values::of(bias.clone()));
    let scale = projection.query_scale.clone().map(Values::of);
    let [cos, sin] =
        [&projection.angles.cos, &projection.angles.sin].map(|part| Values::of(part.clone()));
    let mut out = [room(shape), room(shape), room(shape)];
    let [q, k, v] = &mut out;
    let projection = heads::Projection {
        values: qkv.get(),
        heads,
        width,
        tokens,
        query_bias: query_bias.get(),
        value_bias: value_bias.get(),
        query_scale: scale.as_ref().map(Values::get),
        cos: cos.get(),
        sin: sin.get(),
    };
    heads::split_heads(&projection, [q, k, v]);
    out.map(|values| tensor(values, shape))
}
