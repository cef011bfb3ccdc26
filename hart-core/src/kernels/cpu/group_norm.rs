//! GroupNorm with its activation.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::simd::{dispatch, get, put, silu, sum_of_vectors, vectors};

/// Entries whose mean is taken at a time; they stay in the first cache level.
const CHUNK: usize = 4096;

/// What is done to maps `[batch, channels, pixels]`.
#[derive(Debug, Clone, Copy)]
pub struct GroupNorm<'a> {
    /// Groups the channels are divided into.
    pub groups: usize,
    /// Factor of every channel.
    pub weight: &'a [f32],
    /// Added to every channel.
    pub bias: &'a [f32],
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether SiLU follows.
    pub activate: bool,
}

/// Normalises every group of every entry of the batch: `x` `[batch, channels, pixels]` into `out`
/// of the same shape.
///
/// # Panics
/// When lengths do not fit.
pub fn group_norm(x: &[f32], pixels: usize, norm: GroupNorm<'_>, out: &mut [f32]) {
    let channels = norm.weight.len();
    assert_eq!(channels, norm.bias.len(), "a bias for every weight");
    assert!(channels.is_multiple_of(norm.groups), "groups of the same size");
    assert_eq!(x.len(), out.len(), "a result for every entry");
    assert!(x.len().is_multiple_of((channels * pixels).max(1)), "whole maps");
    let size = channels / norm.groups * pixels;
    let tasks = x.par_chunks(size.max(1)).zip(out.par_chunks_mut(size.max(1))).enumerate();
    tasks.for_each(|(task, (x, out))| {
        let first = task % norm.groups * (channels / norm.groups);
        dispatch(Group { x, pixels, norm, first, out });
    });
}

struct Group<'a> {
    x: &'a [f32],
    pixels: usize,
    norm: GroupNorm<'a>,
    /// The first channel.
    first: usize,
    out: &'a mut [f32],
}

impl WithSimd for Group<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, pixels, norm, first, out } = self;
        let (mean, variance) = moments(simd, x);
        let factor = 1.0 / (variance + f64::from(norm.epsilon)).sqrt();
        let maps = x.chunks_exact(pixels).zip(out.chunks_exact_mut(pixels)).enumerate();
        for (i, (x, out)) in maps {
            // Mean, weight and bias fold into one multiply-add a pixel. Its two factors are computed in
            // 64 bits: the shift is a difference of two numbers that may be close to each other.
            let scale = factor * f64::from(norm.weight[first + i]);
            let shift = f64::from(norm.bias[first + i]) - mean * scale;
            let (scale, shift) = (simd.splat_f32s(scale as f32), simd.splat_f32s(shift as f32));
            for j in 0..vectors::<S>(x) {
                let value = simd.mul_add_e_f32s(get(simd, x, j), scale, shift);
                let value = if norm.activate { silu(simd, value) } else { value };
                put(simd, out, j, value);
            }
        }
    }
}

/// Mean and variance, chunk by chunk: the squares are taken of differences to the mean of a chunk,
/// and chunks are put together in 64 bits (T. Chan, G. Golub and R. LeVeque, 1979).
#[inline(always)]
fn moments<S: Simd>(simd: S, x: &[f32]) -> (f64, f64) {
    let (mut count, mut mean, mut squares) = (0.0, 0.0, 0.0);
    for chunk in x.chunks(CHUNK) {
        let mut sums = [simd.splat_f32s(0.0); 4];
        for i in 0..vectors::<S>(chunk) {
            sums[i % 4] = simd.add_f32s(sums[i % 4], get(simd, chunk, i));
        }
        let length = chunk.len() as f64;
        let here = f64::from(sum_of_vectors(simd, sums)) / length;
        let center = simd.splat_f32s(here as f32);
        let mut sums = [simd.splat_f32s(0.0); 4];
        let (whole, rest) = S::as_simd_f32s(chunk);
        for (i, &value) in whole.iter().enumerate() {
            let difference = simd.sub_f32s(value, center);
            sums[i % 4] = simd.mul_add_e_f32s(difference, difference, sums[i % 4]);
        }
        let mut around = f64::from(sum_of_vectors(simd, sums));
        for &value in rest {
            around += f64::from(value - here as f32).powi(2);
        }
        // The squares were taken around the mean in 32 bits.
        around -= length * (here - f64::from(here as f32)).powi(2);
        let difference = here - mean;
        let total = count + length;
        mean += difference * length / total;
        squares += around + difference * difference * count * length / total;
        count = total;
    }
    (mean, squares / f64::max(count, 1.0))
}
