//! Normalisation of rows, with its modulation in the same pass.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::broadcast::Broadcast;
use super::simd::{dispatch, get, put, sum, sum_of_squares, vectors};

/// Rows of a task: enough to outweigh what a task costs, few enough for all threads to have some.
const ROWS: usize = 16;

/// What a row is divided by, and its learned weights.
#[derive(Debug, Clone, Copy)]
pub enum Norm<'a> {
    /// `row / sqrt(mean(row²) + ε) · weight`.
    RootMeanSquare {
        /// As long as a row.
        weight: &'a [f32],
    },
    /// `(row - mean) / sqrt(variance + ε)`, times the weight and with the bias if there are any.
    Layer {
        /// Weight and bias, each as long as a row.
        weights: Option<[&'a [f32]; 2]>,
    },
}

impl Norm<'_> {
    /// Panics unless all weights are as long as a row.
    fn check(&self, width: usize) {
        let fits = match self {
            Self::RootMeanSquare { weight } => weight.len() == width,
            Self::Layer { weights: Some(weights) } => weights.iter().all(|w| w.len() == width),
            Self::Layer { weights: None } => true,
        };
        assert!(fits, "weights for rows of {width}");
    }
}

/// A factor and a shift of every entry of a row, `row · (1 + scale) + shift`.
#[derive(Debug, Clone, Copy)]
pub struct Modulation<'a> {
    /// Added to one.
    pub scale: Broadcast<'a>,
    /// Added at the end.
    pub shift: Broadcast<'a>,
}

/// Normalises every row of `x` `[rows, width]`, modulated when asked, into `out` of the same shape.
///
/// # Panics
/// When lengths do not fit.
pub fn normalize(
    x: &[f32],
    width: usize,
    norm: Norm<'_>,
    epsilon: f32,
    modulation: Option<Modulation<'_>>,
    out: &mut [f32],
) {
    assert_eq!(x.len(), out.len(), "a result for every entry");
    if x.is_empty() {
        return;
    }
    norm.check(width);
    if let Some(Modulation { scale, shift }) = modulation {
        [scale, shift].iter().for_each(|part| part.check(x.len() / width, width));
    }
    let tasks = out.par_chunks_mut(ROWS * width).zip(x.par_chunks(ROWS * width)).enumerate();
    tasks.for_each(|(task, (out, x))| {
        let first = task * ROWS;
        dispatch(Rows { x, width, norm, epsilon, modulation, first, out });
    });
}

struct Rows<'a> {
    x: &'a [f32],
    width: usize,
    norm: Norm<'a>,
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
        let Self { x, width, norm, epsilon, modulation, first, out } = self;
        let one = simd.splat_f32s(1.0);
        let rows = x.chunks_exact(width).zip(out.chunks_exact_mut(width));
        for (i, (x, out)) in rows.enumerate() {
            let (mean, weight, bias) = match norm {
                Norm::RootMeanSquare { weight } => (0.0, Some(weight), None),
                Norm::Layer { weights } => {
                    let [weight, bias] = weights.map_or([None; 2], |parts| parts.map(Some));
                    (sum(simd, x) / width as f32, weight, bias)
                }
            };
            // The mean first and then the squares around it: E[x²] − E[x]² would lose the digits of
            // rows that are far from zero.
            let square = sum_of_squares(simd, x, mean) / width as f32;
            let factor = simd.splat_f32s(1.0 / (square + epsilon).sqrt());
            let mean = simd.splat_f32s(mean);
            let modulation = modulation
                .map(|Modulation { scale, shift }| [scale, shift].map(|x| x.row(first + i, width)));
            for j in 0..vectors::<S>(x) {
                let mut value = simd.mul_f32s(simd.sub_f32s(get(simd, x, j), mean), factor);
                if let Some(weight) = weight {
                    value = simd.mul_f32s(value, get(simd, weight, j));
                }
                if let Some(bias) = bias {
                    value = simd.add_f32s(value, get(simd, bias, j));
                }
                if let Some([scale, shift]) = modulation {
                    let scale = simd.add_f32s(get(simd, scale, j), one);
                    value = simd.mul_add_e_f32s(value, scale, get(simd, shift, j));
                }
                put(simd, out, j, value);
            }
        }
    }
}
