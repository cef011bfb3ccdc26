//! Attention, and the step from projections to queries, keys and values, by kernels.

use burn::backend::Flex;
use burn::tensor::{DType, Element, Tensor};
use burn_flex::FlexTensor;
use bytemuck::Pod;
use half::f16;
use rayon::prelude::*;

use super::values::{Strided, Values, is_f32, room, tensor, wrap};
use crate::kernels::cpu::attention::{self, Heads, Scores};
use crate::kernels::cpu::heads;
use crate::kernels::cpu::stored::Stored;
use crate::ops::{Projection, plain};

/// Attention without a mask of 32-bit queries over keys and values in 32 or in 16 bits.
pub(super) fn attend(
    q: &Tensor<Flex, 4>,
    k: &Tensor<Flex, 4>,
    v: &Tensor<Flex, 4>,
    scale: f64,
    copies: usize,
) -> Tensor<Flex, 4> {
    match k.dtype() {
        DType::F16 => attend_stored::<f16>(q, k, v, scale, copies),
        _ => attend_stored::<f32>(q, k, v, scale, copies),
    }
}

/// Whether [`attend`] takes these.
pub(super) fn is_attended(q: &Tensor<Flex, 4>, k: &Tensor<Flex, 4>, v: &Tensor<Flex, 4>) -> bool {
    is_f32(q) && k.dtype() == v.dtype() && matches!(k.dtype(), DType::F32 | DType::F16)
}

fn attend_stored<T: Stored + Element + Pod>(
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
        Heads { values: k.get::<T>(), rows: keys, step: k.step },
        Heads { values: v.get::<T>(), rows: keys, step: v.step },
        Scores { width, scale: scale as f32, first: (copies as f32).ln() },
        &mut out,
    );
    tensor(out, shape)
}

/// Writes rows into a buffer of a cache, in its own type: 32-bit rows are made smaller if need be.
pub(super) fn write_rows(
    buffer: Tensor<Flex, 4>,
    first: usize,
    rows: Tensor<Flex, 4>,
) -> Tensor<Flex, 4> {
    let ([_, _, capacity, _], [_, _, tokens, _]) = (buffer.dims(), rows.dims());
    let types = (buffer.dtype(), rows.dtype());
    let data = buffer.into_primitive().tensor();
    if !data.is_contiguous() || first + tokens > capacity {
        return plain::write_rows(wrap(data), first, rows);
    }
    match types {
        (DType::F32, DType::F32) => {
            write::<f32, f32>(data, capacity, first, rows, <[f32]>::copy_from_slice)
        }
        (DType::F16, DType::F16) => {
            write::<f16, f16>(data, capacity, first, rows, <[f16]>::copy_from_slice)
        }
        (DType::F16, DType::F32) => {
            let narrow = |places: &mut [f16], values: &[f32]| f16::narrow(values, places);
            write::<f16, f32>(data, capacity, first, rows, narrow)
        }
        _ => plain::write_rows(wrap(data), first, rows),
    }
}

fn write<T: Element + Pod + Send, R: Element + Pod + Sync>(
    mut buffer: FlexTensor,
    capacity: usize,
    first: usize,
    rows: Tensor<Flex, 4>,
    put: impl Fn(&mut [T], &[R]) + Sync,
) -> Tensor<Flex, 4> {
    let [_, _, tokens, width] = rows.dims();
    let rows = Strided::or_copied(&rows, 2);
    let heads = buffer.storage_mut::<T>().par_chunks_exact_mut(capacity * width);
    heads.enumerate().for_each(|(head, places)| {
        let rows = &rows.get::<R>()[head * rows.step..][..tokens * width];
        put(&mut places[first * width..][..tokens * width], rows);
    });
    wrap(buffer)
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
