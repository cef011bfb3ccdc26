//! From the projection of a block to queries, keys and values: biases, normalisation, rotation and
//! the change from rows of tokens to rows of heads in one pass.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::memory::Shared;
use super::simd::{dispatch, get, put, sum_of_squares, vectors};

/// Tokens of a task.
const TOKENS: usize = 16;

/// What is done to a projection `[batch, tokens, 3 · heads · width]`.
#[derive(Debug, Clone, Copy)]
pub struct Projection<'a> {
    /// Queries, keys and values of all heads, token by token.
    pub values: &'a [f32],
    /// Of every row of `values`.
    pub heads: usize,
    /// Of a head.
    pub width: usize,
    /// Tokens of an entry of the batch.
    pub tokens: usize,
    /// Added to queries, `[heads · width]`.
    pub query_bias: &'a [f32],
    /// Added to values, `[heads · width]`.
    pub value_bias: &'a [f32],
    /// For queries and keys of length one: the factor of the queries of every head.
    pub query_scale: Option<&'a [f32]>,
    /// Cosines of the rotation, `[batch or 1, tokens, width]`.
    pub cos: &'a [f32],
    /// Sines of the rotation, as `cos`.
    pub sin: &'a [f32],
}

/// Queries, keys and values, `[batch, heads, tokens, width]` each, into `out`.
///
/// # Panics
/// When lengths do not fit.
pub fn split_heads(projection: &Projection<'_>, out: [&mut [f32]; 3]) {
    let Projection { values, heads, width, cos, .. } = *projection;
    let row = heads * width;
    let count = values.len() / (3 * row);
    assert_eq!(values.len(), count * 3 * row, "rows of queries, keys and values");
    assert!(out.iter().all(|out| out.len() == count * row), "a result for every entry");
    assert!(projection.query_bias.len() == row && projection.value_bias.len() == row);
    assert!(projection.query_scale.is_none_or(|scale| scale.len() == heads));
    assert!(cos.len() == projection.sin.len() && (count * width).is_multiple_of(cos.len().max(1)));
    let out = out.map(Shared::new);
    (0..count.div_ceil(TOKENS)).into_par_iter().for_each(|task| {
        let rows = task * TOKENS..count.min((task + 1) * TOKENS);
        dispatch(Tokens { projection, rows, out });
    });
}

struct Tokens<'a> {
    projection: &'a Projection<'a>,
    rows: std::ops::Range<usize>,
    out: [Shared<'a>; 3],
}

impl WithSimd for Tokens<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { projection, rows, out } = self;
        let Projection { values, heads, width, tokens, query_scale, cos, sin, .. } = *projection;
        let row = heads * width;
        for token in rows {
            // Where all entries of the batch rotate alike, the angles begin anew with each.
            let angles = token * width % cos.len();
            let (cos, sin) = (&cos[angles..][..width], &sin[angles..][..width]);
            for head in 0..heads {
                let part = |i: usize| &values[token * 3 * row + i * row + head * width..][..width];
                let place = ((token / tokens * heads + head) * tokens + token % tokens) * width;
                // SAFETY: a token's place in a head is its own, and every token is one task's.
                let [q, k, v] = out.map(|out| unsafe { out.slice(place, width) });
                add(simd, part(0), Some(&projection.query_bias[head * width..][..width]), q);
                add(simd, part(1), None, k);
                add(simd, part(2), Some(&projection.value_bias[head * width..][..width]), v);
                if let Some(scale) = query_scale {
                    to_length(simd, q, scale[head]);
                    to_length(simd, k, 1.0);
                }
                rotate(simd, q, cos, sin);
                rotate(simd, k, cos, sin);
            }
        }
    }
}

#[inline(always)]
fn add<S: Simd>(simd: S, x: &[f32], bias: Option<&[f32]>, out: &mut [f32]) {
    for i in 0..vectors::<S>(x) {
        let value = get(simd, x, i);
        let sum = match bias {
            Some(bias) => simd.add_f32s(value, get(simd, bias, i)),
            None => value,
        };
        put(simd, out, i, sum);
    }
}

/// Scales a vector to a length; zero stays zero.
#[inline(always)]
fn to_length<S: Simd>(simd: S, x: &mut [f32], length: f32) {
    let factor = simd.splat_f32s(length / sum_of_squares(simd, x, 0.0).sqrt().max(1e-12));
    for i in 0..vectors::<S>(x) {
        let value = simd.mul_f32s(get(simd, x, i), factor);
        put(simd, x, i, value);
    }
}

/// `x·cos + rotate_half(x)·sin`, in place.
#[inline(always)]
fn rotate<S: Simd>(simd: S, x: &mut [f32], cos: &[f32], sin: &[f32]) {
    let half = x.len() / 2;
    let (first, second) = x.split_at_mut(half);
    let (first_cos, second_cos) = cos.split_at(half);
    let (first_sin, second_sin) = sin.split_at(half);
    // Entry i of the first half turns with entry i of the second: both are read before either is
    // written.
    for i in 0..vectors::<S>(first) {
        let (a, b) = (get(simd, first, i), get(simd, second, i));
        let turned_a = simd.mul_f32s(b, get(simd, first_sin, i));
        let turned_b = simd.mul_f32s(a, get(simd, second_sin, i));
        let a = simd.sub_f32s(simd.mul_f32s(a, get(simd, first_cos, i)), turned_a);
        let b = simd.mul_add_e_f32s(b, get(simd, second_cos, i), turned_b);
        put(simd, first, i, a);
        put(simd, second, i, b);
    }
}
