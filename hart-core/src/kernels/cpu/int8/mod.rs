//! Multiplication by a matrix of 8-bit integers: linear layers at a quarter of the memory and
//! several times the speed.
//!
//! Every column of the matrix has a scale of its own; every row it is multiplied with is rounded to
//! 8 bits first, between its smallest and its largest entry. Products are added up in 32-bit
//! integers, exactly.

mod excess;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;
use rten_gemm::{GemmExecutor, GemmInputA, GemmInputB, GemmOptions, PackedBMatrix};
use rten_tensor::NdTensorView;

use excess::Excess;

use super::simd::{ROUND, dispatch, get, vectors};
use crate::int8::{round, scale_of, unit_of};

/// The largest integer that an input is rounded to.
const LARGEST: f32 = 255.0;
/// Rows multiplied at a time, so that their integers are still in the cache when they become
/// floats.
const ROWS: usize = 512;

thread_local! {
    /// Chooses the instructions of this processor.
    static EXECUTOR: GemmExecutor<u8, i8, i32> = GemmExecutor::default();
}

/// A matrix `[inputs, outputs]` in 8 bits, with what is added to every row.
pub struct Int8Matrix {
    packed: PackedBMatrix<i8>,
    /// The scale of each column.
    scales: Vec<f32>,
    /// The sum of each column: what a row's zero point, times it, adds to every product.
    sums: Vec<i32>,
    /// What `packed` lacks, on processors where it would overflow.
    excess: Option<Excess>,
    bias: Vec<f32>,
}

/// Packs weights `[inputs, outputs]` for this processor.
fn pack(weights: &[i8], shape: [usize; 2]) -> PackedBMatrix<i8> {
    EXECUTOR.with(|executor| executor.prepack_b(NdTensorView::from_data(shape, weights)))
}

impl std::fmt::Debug for Int8Matrix {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Int8Matrix({:?})", self.shape())
    }
}

impl Int8Matrix {
    /// Rounds and packs a matrix `[inputs, outputs]` given row by row, and takes a bias
    /// `[outputs]`.
    ///
    /// # Panics
    /// When one has another length.
    pub fn new(matrix: &[f32], bias: Option<&[f32]>, [inputs, outputs]: [usize; 2]) -> Self {
        assert_eq!(matrix.len(), inputs * outputs, "a matrix of {inputs} × {outputs}");
        let mut scales = vec![0.0f32; outputs];
        for row in matrix.chunks_exact(outputs) {
            for (scale, value) in scales.iter_mut().zip(row) {
                *scale = scale.max(value.abs());
            }
        }
        scales.iter_mut().for_each(|scale| *scale = scale_of(*scale));
        let units: Vec<f32> = scales.iter().map(|&scale| unit_of(scale)).collect();
        let mut rounded = vec![0i8; matrix.len()];
        let rows = rounded.par_chunks_mut(outputs).zip(matrix.par_chunks(outputs));
        rows.for_each(|(rounded, row)| {
            for ((rounded, value), unit) in rounded.iter_mut().zip(row).zip(&units) {
                *rounded = round(value * unit);
            }
        });
        let mut sums = vec![0; outputs];
        for row in rounded.chunks_exact(outputs) {
            for (sum, &value) in sums.iter_mut().zip(row) {
                *sum += i32::from(value);
            }
        }
        let saturates = EXECUTOR.with(GemmExecutor::may_saturate);
        let excess = saturates.then(|| Excess::cut(&mut rounded, [inputs, outputs]));
        let packed = pack(&rounded, [inputs, outputs]);
        let bias = bias.map_or_else(|| vec![0.0; outputs], <[f32]>::to_vec);
        assert_eq!(bias.len(), outputs, "a bias for every output");
        Self { packed, scales, sums, excess, bias }
    }

    /// Inputs and outputs.
    pub fn shape(&self) -> [usize; 2] {
        [self.packed.rows(), self.packed.cols()]
    }

    /// `out = rows · matrix + bias`, with `rows` `[n, inputs]` and `out` `[n, outputs]`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        let [inputs, outputs] = self.shape();
        assert_eq!(rows.len() % inputs.max(1), 0, "rows of {inputs} entries");
        assert_eq!(rows.len() / inputs.max(1) * outputs, out.len(), "rows of {outputs} results");
        let blocks = rows.chunks(ROWS * inputs).zip(out.chunks_mut(ROWS * outputs));
        for (rows, out) in blocks {
            self.multiply_block(rows, out);
        }
    }

    fn multiply_block(&self, rows: &[f32], out: &mut [f32]) {
        let [inputs, outputs] = self.shape();
        let count = rows.len() / inputs;
        let mut rounded = vec![0u8; rows.len()];
        let mut scales = vec![Rounding::default(); count];
        let tasks = rounded.par_chunks_mut(inputs).zip(rows.par_chunks(inputs)).zip(&mut scales);
        tasks.with_min_len(8).for_each(|((rounded, row), scale)| {
            *scale = dispatch(Round { row, rounded });
        });
        // Sums of integers are written where their floats will be: both have 32 bits, and it saves a
        // second buffer of this size.
        let sums: &mut [i32] = bytemuck::cast_slice_mut(out);
        let mut multiply = |matrix: &PackedBMatrix<i8>, beta: i32| {
            let rows = NdTensorView::from_data([count, inputs], rounded.as_slice());
            let (left, right) = (GemmInputA::Unpacked(rows), GemmInputB::Packed(matrix));
            // The executor's own correction for zero points (0.27) takes that of another row beyond
            // the first rows it works on together; ours comes with the scale.
            let options = GemmOptions { beta, ..GemmOptions::default() };
            let product = EXECUTOR.with(|executor| executor.gemm(sums, left, right, options));
            product.expect("shapes that were checked");
        };
        multiply(&self.packed, 0);
        if let Some(Excess::Dense(matrix)) = &self.excess {
            multiply(matrix, 1);
        }
        let tasks = out.par_chunks_mut(outputs).zip(rounded.par_chunks(inputs)).zip(&scales);
        tasks.with_min_len(8).for_each(|((row, inputs), rounding)| {
            if let Some(Excess::Sparse(excess)) = &self.excess {
                excess.add(inputs, row);
            }
            dispatch(Scale { row, rounding: *rounding, matrix: self });
        });
    }
}

/// How a row was rounded: an integer `q` stands for `(q - zero) · unit`.
#[derive(Debug, Clone, Copy, Default)]
struct Rounding {
    unit: f32,
    zero: u8,
}

struct Round<'a> {
    row: &'a [f32],
    rounded: &'a mut [u8],
}

impl WithSimd for Round<'_> {
    type Output = Rounding;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> Rounding {
        let Self { row, rounded } = self;
        // Zero is always among the values, so that it stays exact.
        let (mut least, mut most) = (simd.splat_f32s(0.0), simd.splat_f32s(0.0));
        for i in 0..vectors::<S>(row) {
            let value = get(simd, row, i);
            least = simd.min_f32s(least, value);
            most = simd.max_f32s(most, value);
        }
        let (least, most) = (simd.reduce_min_f32s(least), simd.reduce_max_f32s(most));
        let unit = ((most - least) / LARGEST).max(f32::MIN_POSITIVE);
        let zero = (-least / unit).round();
        let (factor, shift) = (simd.splat_f32s(1.0 / unit), simd.splat_f32s(zero));
        let most = simd.splat_f32s(LARGEST);
        for (i, rounded) in rounded.chunks_mut(S::F32_LANES).enumerate() {
            let value = simd.mul_add_e_f32s(get(simd, row, i), factor, shift);
            let value = simd.max_f32s(simd.min_f32s(value, most), simd.splat_f32s(0.0));
            let value = simd.add_f32s(value, simd.splat_f32s(ROUND));
            // No conversion to bytes in these vectors: the rounded number is in the lowest bits.
            let bits = simd.transmute_u32s_f32s(value);
            let bits: &[u32] = bytemuck::cast_slice(std::slice::from_ref(&bits));
            for (rounded, bits) in rounded.iter_mut().zip(bits) {
                *rounded = *bits as u8;
            }
        }
        Rounding { unit, zero: zero as u8 }
    }
}

/// Turns sums of integers into floats.
struct Scale<'a> {
    row: &'a mut [f32],
    rounding: Rounding,
    matrix: &'a Int8Matrix,
}

impl WithSimd for Scale<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { row, rounding: Rounding { unit, zero }, matrix } = self;
        let Int8Matrix { scales, sums, bias, .. } = matrix;
        // Σ (q − zero)·w = Σ q·w − zero·Σ w: the sum of a column corrects for the zero point.
        let columns = scales.iter().zip(sums).zip(bias);
        for (value, ((scale, sum), bias)) in row.iter_mut().zip(columns) {
            let product = value.to_bits() as i32 - i32::from(zero) * sum;
            *value = (product as f32 * unit).mul_add(*scale, *bias);
        }
    }
}
