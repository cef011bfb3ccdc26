//! Root-mean-square normalisation, with its modulation in the same pass.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{dispatch, get, put, sum_of_squares, vectors};

/// Rows a task takes.
const ROWS: usize = 16;

/// A factor and a shift of every entry of a row, `row · (1 + scale) + shift`.
#[derive(Debug, Clone, Copy)]
pub struct Modulation<'a> {
    /// Added to one, `[groups, width]`.
    pub scale: &'a [f32],
    /// `[groups, width]`.
    pub shift: &'a [f32],
    /// So many rows one behind the other belong to a group.
    pub rows: usize,
}

/// `row / sqrt(mean(row²) + ε) · weight` for every row of `x` `[rows, width]`, modulated when asked,
/// into `out` of the same shape.
///
/// # Panics
/// When lengths do not fit.
pub fn rms_norm(
    x: &[f32],
    weight: &[f32],
    epsilon: f32,
    modulation: Option<Modulation<'_>>,
    out: &mut [f32],
) {
    let width = weight.len();
    assert_eq!(x.len(), out.len(), "as many results as entries");
    if let Some(Modulation { scale, shift, rows }) = modulation {
        let groups = x.len().div_ceil(width * rows.max(1));
        assert_eq!(scale.len(), groups * width, "a scale for every group of rows");
        assert_eq!(shift.len(), groups * width, "a shift for every group of rows");
    }
    let tasks = out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).enumerate();
    tasks.for_each(|(task, (out, x))| {
        let first = task * ROWS;
        dispatch(Rows { x, weight, epsilon, modulation, first, out });
    });
}

struct Rows<'a> {
    x: &'a [f32],
    weight: &'a [f32],
    epsilon: f32,
    modulation: Option<Modulation<'a>>,
    /// The first row among all.
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Rows<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, weight, epsilon, modulation, first, out } = self;
        let width = weight.len();
        let rows = x.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for (i, (x, out)) in rows.enumerate() {
            let mean = sum_of_squares(simd, x) / width as f32;
            let factor = simd.splat_f32s(1.0 / (mean + epsilon).sqrt());
            let factors = modulation.map(|Modulation { scale, shift, rows }| {
                let group = (first + i) / rows * width;
                [&scale[group..][..width], &shift[group..][..width]]
            });
            for j in 0..vectors::<S>(x) {
                let normalized = simd.mul_f32s(get(simd, x, j), factor);
                let mut value = simd.mul_f32s(normalized, get(simd, weight, j));
                if let Some([scale, shift]) = factors {
                    let scale = simd.add_f32s(get(simd, scale, j), simd.splat_f32s(1.0));
                    value = simd.mul_add_e_f32s(value, scale, get(simd, shift, j));
                }
                put(simd, out, j, value);
            }
        }
    }
}
