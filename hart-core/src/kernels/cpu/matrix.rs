//! Multiplication by a matrix that was packed once: the linear layers.
//!
//! The matrix is stored in panels, each as wide as two vectors, row by row, so that a multiplication
//! reads it from front to back, and from memory once for many rows. The rows it is multiplied with
//! are packed first, in groups as large as the processor has registers to add up in. (The scheme is
//! that of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix Multiplication", 2008.)
//!
//! It is written here because it was measured: rten-gemm 0.27, with which [`super::int8`] multiplies
//! integers, can pack 32-bit matrices ahead as well, and reached 245–278 GFLOP/s where this file
//! reaches 428–448, on two cores with AVX-512 and matrices of the released sizes.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::memory::{Aligned, Shared, with_scratch, zeros};
use super::simd::{dispatch, lanes, most_rows};
use super::stored::Stored;
use super::tile::{MAX_ROWS, Start, Tile};

/// The most rows of the matrix that are added up at a time: a panel of this depth, two vectors wide,
/// is 64 KiB with AVX-512 and stays in the first two cache levels.
const DEPTH: usize = 512;
/// The most rows that are packed and multiplied with a panel at a time. The matrix is read from
/// memory once for each such block, so blocks are large; packed, one must stay in the last cache
/// level.
const ROWS: usize = 40 * MAX_ROWS;
/// Entries of rows that one thread packs alone: waking others would take longer.
const FEW: usize = 1 << 14;

/// A matrix `[inputs, outputs]` in panels, with what is added to every row. Kept in 16 bits it takes half
/// of the memory: a part of a panel is widened when it is read, and stays in the cache for all rows.
#[derive(Debug, Clone)]
pub struct PackedMatrix<T: Stored = f32> {
    panels: Aligned<T>,
    bias: Aligned,
    inputs: usize,
    outputs: usize,
    /// Columns of a panel.
    width: usize,
}

impl<T: Stored> PackedMatrix<T> {
    /// Packs a matrix `[inputs, outputs]` given row by row, and a bias `[outputs]`.
    ///
    /// # Panics
    /// When one has another length.
    pub fn new(matrix: &[T], bias: Option<&[f32]>, [inputs, outputs]: [usize; 2]) -> Self {
        assert_eq!(matrix.len(), inputs * outputs, "a matrix of {inputs} × {outputs}");
        let width = 2 * lanes();
        // Zeros fill the last panel, so that tiles are computed in whole vectors everywhere.
        let padded = outputs.next_multiple_of(width);
        let mut panels = zeros(padded * inputs);
        let chunks = panels.par_chunks_mut((inputs * width).max(1)).enumerate();
        chunks.for_each(|(panel, values)| {
            let first = panel * width;
            let columns = width.min(outputs - first);
            for (row, values) in values.chunks_exact_mut(width).enumerate() {
                values[..columns].copy_from_slice(&matrix[row * outputs + first..][..columns]);
            }
        });
        let mut padded_bias = zeros(padded);
        if let Some(bias) = bias {
            padded_bias[..outputs].copy_from_slice(bias);
        }
        Self { panels, bias: padded_bias, inputs, outputs, width }
    }

    /// Inputs and outputs.
    pub fn shape(&self) -> [usize; 2] {
        [self.inputs, self.outputs]
    }

    /// `out = rows · matrix + bias`, with `rows` `[n, inputs]` and `out` `[n, outputs]`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        let Self { inputs, outputs, .. } = *self;
        let count = rows.len() / inputs.max(1);
        assert_eq!(rows.len(), count * inputs, "rows of {inputs} entries");
        assert_eq!(out.len(), count * outputs, "rows of {outputs} results");
        // Blocks of equal size: a short last one would read the whole matrix for a few rows.
        let each = even(count, ROWS).max(1);
        for (rows, out) in rows.chunks(each * inputs).zip(out.chunks_mut(each * outputs)) {
            self.multiply_block(rows, out);
        }
    }

    fn multiply_block(&self, rows: &[f32], out: &mut [f32]) {
        let inputs = self.inputs;
        let count = rows.len() / inputs;
        // A product does not depend on how rows are grouped: every row is summed by itself.
        let at_once = even(count, most_rows());
        let (groups, panels) = (count.div_ceil(at_once), self.outputs.div_ceil(self.width));
        with_scratch(groups * at_once * inputs, |packed| {
            let pack = |(packed, rows): (&mut [f32], &[f32])| {
                pack_rows(rows, inputs, 0..inputs, at_once, packed);
            };
            let group = at_once * inputs;
            if rows.len() <= FEW {
                packed.chunks_mut(group).zip(rows.chunks(group)).for_each(pack);
            } else {
                packed.par_chunks_mut(group).zip(rows.par_chunks(group)).for_each(pack);
            }
            let rows = PackedRows { values: packed, count, at_once };
            // Groups are only divided when there are too few panels to keep all threads busy: two
            // tasks of one panel both read it from memory. Four tasks a thread even out the load.
            let tasks = 4 * rayon::current_num_threads();
            let across = tasks.min(panels).max(1);
            let down = tasks.div_ceil(across).min(groups).max(1);
            let part = |i: usize, count: usize, of: usize| i * count / of..(i + 1) * count / of;
            let out = Shared::new(out);
            (0..across * down).into_par_iter().for_each(|task| {
                let panels = part(task % across, panels, across);
                let groups = part(task / across, groups, down);
                with_scratch(T::ROOM * DEPTH * self.width, |wide| {
                    dispatch(Multiply { matrix: self, rows: &rows, out, groups, panels, wide });
                });
            });
        });
    }
}

/// Some rows, packed.
struct PackedRows<'a> {
    /// Groups of rows, each column by column.
    values: &'a [f32],
    /// How many rows there are.
    count: usize,
    /// Rows of a group.
    at_once: usize,
}

/// The product of some groups of rows with some panels.
struct Multiply<'a, T: Stored> {
    matrix: &'a PackedMatrix<T>,
    rows: &'a PackedRows<'a>,
    out: Shared<'a>,
    groups: Range<usize>,
    panels: Range<usize>,
    /// Room for a part of a panel in 32 bits.
    wide: &'a mut [f32],
}

impl<T: Stored> WithSimd for Multiply<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(mut self, simd: S) {
        let inputs = self.matrix.inputs;
        // Depth outside, panels inside: what was packed of the rows for this depth is read again
        // for every panel, and each part of a panel just once.
        for start in (0..inputs).step_by(DEPTH) {
            for panel in self.panels.clone() {
                self.panel(simd, panel, start..inputs.min(start + DEPTH));
            }
        }
    }
}

impl<T: Stored> Multiply<'_, T> {
    /// Adds the products of the groups with a part of a panel to what is there.
    #[inline(always)]
    fn panel<S: Simd>(&mut self, simd: S, panel: usize, depth: Range<usize>) {
        let Self { matrix, rows: packed, out, groups, wide, .. } = self;
        let PackedMatrix { panels, bias, inputs, outputs, width } = matrix;
        let &PackedRows { values, count, at_once } = *packed;
        let first = panel * width;
        let columns = *width.min(&(outputs - first));
        let right = &panels[(panel * inputs + depth.start) * width..][..depth.len() * width];
        let right = T::widen(right, wide);
        let start = match depth.start {
            0 => Start::Row(&bias[first..][..*width]),
            _ => Start::Present,
        };
        for group in groups.clone() {
            let row = group * at_once;
            let left = &values[row * inputs + depth.start * at_once..];
            let tile = Tile {
                rows: at_once.min(count - row),
                depth: depth.len(),
                left,
                left_step: at_once,
                right,
                right_step: *width,
                start,
            };
            // SAFETY: these columns of these rows are this task's alone.
            unsafe { tile.run_narrow(simd, columns, out.from(row * outputs + first), *outputs) };
        }
    }
}

/// The size of the largest part when `count` is divided evenly into the fewest parts of at most
/// `most`.
pub(crate) fn even(count: usize, most: usize) -> usize {
    count.div_ceil(count.div_ceil(most).max(1))
}

/// Packs a range of the columns of rows `[n, inputs]`: groups of `at_once` rows, each group column
/// by column. What is missing from the last group is left as it is.
#[inline(always)]
pub(crate) fn pack_rows(
    rows: &[f32],
    inputs: usize,
    depth: Range<usize>,
    at_once: usize,
    packed: &mut [f32],
) {
    let groups = rows.chunks(at_once * inputs).zip(packed.chunks_exact_mut(at_once * depth.len()));
    for (rows, packed) in groups {
        for (i, row) in rows.chunks_exact(inputs).enumerate() {
            for (column, &value) in packed.chunks_exact_mut(at_once).zip(&row[depth.clone()]) {
                column[i] = value;
            }
        }
    }
}
