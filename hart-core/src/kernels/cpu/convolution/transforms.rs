//! Into the space where a convolution with kernels of 3 × 3 is a product entry by entry, and out of
//! it again: `G`, `Bᵀ` and `Aᵀ` of F(4 × 4, 3 × 3) (A. Lavin and S. Gray, "Fast Algorithms for
//! Convolutional Neural Networks", 2015).
#![expect(clippy::needless_range_loop, reason = "rows and columns of small matrices")]

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use crate::kernels::cpu::simd::{dispatch, get, put};
use crate::kernels::cpu::tile::MAX_ROWS;

/// Results of a tile, in a row.
pub(super) const TILE: usize = 4;
/// Pixels of a patch, in a row.
pub(super) const PATCH: usize = 6;
/// Entries of a transformed patch.
pub(super) const ENTRIES: usize = PATCH * PATCH;
/// The transform of kernels, `G`.
const KERNEL: [[f32; 3]; PATCH] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// How many floats packed kernels of this length take when they are transformed.
pub(super) fn transformed_length(packed: usize) -> usize {
    packed / 9 * ENTRIES
}

/// Transforms packed kernels: groups of `at_once` output channels, of each every input channel, of
/// each the entries of its kernels. In the result input channels follow entries.
pub(super) fn transform_kernels(packed: &[f32], inputs: usize, at_once: usize, out: &mut [f32]) {
    let group = inputs * 9 * at_once;
    let groups = packed.par_chunks_exact(group).zip(out.par_chunks_exact_mut(group / 9 * ENTRIES));
    groups.for_each(|(packed, out)| dispatch(TransformKernels { packed, at_once, out }));
}

/// `G·g·Gᵀ` of the kernels of a group.
struct TransformKernels<'a> {
    packed: &'a [f32],
    at_once: usize,
    out: &'a mut [f32],
}

impl WithSimd for TransformKernels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { packed, at_once, out } = self;
        let inputs = packed.len() / (9 * at_once);
        for (input, kernels) in packed.chunks_exact(9 * at_once).enumerate() {
            // Arrays of a fixed length, which the compiler turns into vectors by itself; kernels
            // are few compared to pixels.
            let mut lines = [[0.0f32; MAX_ROWS]; 9];
            for (line, values) in lines.iter_mut().zip(kernels.chunks_exact(at_once)) {
                line[..at_once].copy_from_slice(values);
            }
            // First down the columns, then along the rows; a line of kernels at a time.
            let half: [[_; 3]; PATCH] = std::array::from_fn(|y| {
                std::array::from_fn(|x| combine(KERNEL[y], [lines[x], lines[3 + x], lines[6 + x]]))
            });
            for entry in 0..ENTRIES {
                let line = combine(KERNEL[entry % PATCH], half[entry / PATCH]);
                let at = (entry * inputs + input) * at_once;
                out[at..at + at_once].copy_from_slice(&line[..at_once]);
            }
        }
    }
}

/// The sum of lines times factors.
#[inline(always)]
fn combine(factors: [f32; 3], lines: [[f32; MAX_ROWS]; 3]) -> [f32; MAX_ROWS] {
    std::array::from_fn(|i| {
        factors[0] * lines[0][i] + factors[1] * lines[1][i] + factors[2] * lines[2][i]
    })
}

/// `Bᵀ·d·B` of a vector of patches.
#[inline(always)]
pub(super) fn transform_patches<S: Simd>(
    simd: S,
    raw: &[f32],
    half: usize,
    patches: &mut [f32],
    channel: usize,
    channels: usize,
) {
    let mut values = [[simd.splat_f32s(0.0); PATCH]; PATCH];
    for y in 0..PATCH {
        for x in 0..PATCH {
            values[x][y] = get(simd, raw, 2 * (y * PATCH + x) + half);
        }
    }
    // First along columns, then along rows.
    for column in &mut values {
        *column = transform_line(simd, *column);
    }
    for y in 0..PATCH {
        let row = transform_line(simd, std::array::from_fn(|x| values[x][y]));
        for (x, value) in row.into_iter().enumerate() {
            put(simd, patches, 2 * ((y * PATCH + x) * channels + channel) + half, value);
        }
    }
}

/// `Bᵀ·d`.
#[inline(always)]
fn transform_line<S: Simd>(simd: S, d: [S::f32s; PATCH]) -> [S::f32s; PATCH] {
    let times = |a, factor: f32, b| simd.mul_add_e_f32s(a, simd.splat_f32s(factor), b);
    let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
    // The rows of Bᵀ come in pairs that differ in the sign of their odd entries: both are made from
    // the same two halves.
    let [even, odd] = [times(d[2], -4.0, d[4]), times(d[1], -4.0, d[3])];
    let [near, far] = [sub(d[4], d[2]), sub(d[3], d[1])];
    [
        times(d[0], 4.0, times(d[2], -5.0, d[4])),
        add(even, odd),
        sub(even, odd),
        times(far, 2.0, near),
        times(far, -2.0, near),
        times(d[1], 4.0, times(d[3], -5.0, d[5])),
    ]
}

/// `Aᵀ·m·A` of a vector of products, with the bias.
#[inline(always)]
pub(super) fn transform_back<S: Simd>(
    simd: S,
    products: &[f32],
    row: usize,
    rows: usize,
    half: usize,
    bias: f32,
    results: &mut [f32],
) {
    let mut values = [[simd.splat_f32s(0.0); TILE]; PATCH];
    for x in 0..PATCH {
        let column =
            std::array::from_fn(|y| get(simd, products, 2 * ((y * PATCH + x) * rows + row) + half));
        values[x] = back_line(simd, column);
    }
    for y in 0..TILE {
        let line = back_line(simd, std::array::from_fn(|x| values[x][y]));
        for (x, value) in line.into_iter().enumerate() {
            let value = simd.add_f32s(value, simd.splat_f32s(bias));
            put(simd, results, 2 * (y * TILE + x) + half, value);
        }
    }
}

/// `Aᵀ·m`.
#[inline(always)]
fn back_line<S: Simd>(simd: S, m: [S::f32s; PATCH]) -> [S::f32s; TILE] {
    let times = |a, factor: f32, b| simd.mul_add_e_f32s(a, simd.splat_f32s(factor), b);
    let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
    // So do the columns of Aᵀ for the points ±1 and ±2.
    let [near, near_difference] = [add(m[1], m[2]), sub(m[1], m[2])];
    let [far, far_difference] = [add(m[3], m[4]), sub(m[3], m[4])];
    [
        add(m[0], add(near, far)),
        times(far_difference, 2.0, near_difference),
        times(far, 4.0, near),
        add(m[5], times(far_difference, 8.0, near_difference)),
    ]
}
