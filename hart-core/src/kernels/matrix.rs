//! Multiplication by a matrix that was packed once: the linear layers.
//!
//! The matrix is stored in panels of as many columns as two vectors have entries, each panel row by
//! row, so that a multiplication reads it from front to back. The rows it is multiplied with are
//! packed block by block on the way, as many at a time as the processor has registers to add up
//! in. (The scheme is that of K. Goto and R. van de Geijn, "Anatomy of High-Performance Matrix
//! Multiplication", 2008.)

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::memory::{Aligned, Shared, with_scratch, zeros};
use super::simd::{dispatch, lanes};
use super::tile::{MAX_ROWS, Start, Tile, rows_at_once};

/// The most rows of the matrix that are added up at a time: a panel of so many stays in the first
/// cache levels.
const DEPTH: usize = 512;
/// The most rows that are packed and multiplied with a panel at a time.
const ROWS: usize = 8 * MAX_ROWS;

/// A matrix `[inputs, outputs]` in panels, with what is added to every row.
#[derive(Debug, Clone)]
pub struct PackedMatrix {
    panels: Aligned,
    bias: Aligned,
    inputs: usize,
    outputs: usize,
    /// Columns of a panel.
    width: usize,
}

impl PackedMatrix {
    /// Packs a matrix `[inputs, outputs]` given row by row, and a bias `[outputs]`.
    ///
    /// # Panics
    /// When one has another length.
    pub fn new(matrix: &[f32], bias: Option<&[f32]>, [inputs, outputs]: [usize; 2]) -> Self {
        assert_eq!(matrix.len(), inputs * outputs, "a matrix of {inputs} × {outputs}");
        let width = 2 * lanes();
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
        let count = rows.len() / self.inputs.max(1);
        assert_eq!(rows.len(), count * self.inputs, "rows of {} entries", self.inputs);
        assert_eq!(out.len(), count * self.outputs, "rows of {} results", self.outputs);
        let blocks = count.div_ceil(ROWS);
        let panels = self.outputs.div_ceil(self.width);
        // Every task packs its rows anew, so columns are only divided when there are too few
        // rows to keep all threads busy.
        let tasks = 4 * rayon::current_num_threads();
        let parts = if blocks >= tasks { 1 } else { tasks.div_ceil(blocks.max(1)).min(panels) };
        let step = panels.div_ceil(parts.max(1));
        let rows_each = count.div_ceil(blocks.max(1));
        let out = Shared::new(out);
        (0..blocks * parts).into_par_iter().for_each(|task| {
            let (block, part) = (task / parts, task % parts);
            let panels = (part * step).min(panels)..panels.min((part + 1) * step);
            let block = block * rows_each..count.min((block + 1) * rows_each);
            with_scratch(
                block.len().next_multiple_of(MAX_ROWS) * DEPTH.min(self.inputs),
                |packed| {
                    dispatch(Multiply { matrix: self, rows, out, block, panels, packed });
                },
            );
        });
    }
}

/// The product of a block of rows with some panels.
struct Multiply<'a> {
    matrix: &'a PackedMatrix,
    rows: &'a [f32],
    out: Shared<'a>,
    block: Range<usize>,
    panels: Range<usize>,
    /// Room for the packed rows.
    packed: &'a mut [f32],
}

impl WithSimd for Multiply<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { matrix, rows, out, block, panels, packed } = self;
        let (inputs, at_once) = (matrix.inputs, even(block.len(), rows_at_once::<S>()));
        let rows = &rows[block.start * inputs..block.end * inputs];
        for start in (0..inputs).step_by(DEPTH) {
            let depth = start..inputs.min(start + DEPTH);
            pack_rows(rows, inputs, depth.clone(), at_once, packed);
            for panel in panels.clone() {
                let rows = PackedRows { values: packed, at_once, block: block.clone() };
                matrix.panel(simd, panel, depth.clone(), &rows, out);
            }
        }
    }
}

/// Some rows, packed.
struct PackedRows<'a> {
    /// Groups of rows, each column by column.
    values: &'a [f32],
    /// Rows of a group.
    at_once: usize,
    /// Which rows they are.
    block: Range<usize>,
}

impl PackedMatrix {
    /// Adds the products of the packed rows of a block with a part of a panel to `out`.
    #[inline(always)]
    fn panel<S: Simd>(
        &self,
        simd: S,
        panel: usize,
        depth: Range<usize>,
        packed: &PackedRows<'_>,
        out: Shared<'_>,
    ) {
        let Self { panels, bias, inputs, outputs, width } = self;
        let PackedRows { values, at_once, block } = packed;
        let (first, at_once) = (panel * width, *at_once);
        let columns = *width.min(&(outputs - first));
        let right = &panels[(panel * inputs + depth.start) * width..][..depth.len() * width];
        let start = match depth.start {
            0 => Start::Row(&bias[first..][..*width]),
            _ => Start::Present,
        };
        let groups = values.chunks_exact(at_once * depth.len());
        for (row, left) in block.clone().step_by(at_once).zip(groups) {
            let rows = at_once.min(block.end - row);
            let (depth, right_step) = (depth.len(), *width);
            let tile = Tile { rows, depth, left, left_step: at_once, right, right_step, start };
            // SAFETY: these columns of these rows are this task's alone.
            unsafe { tile.run_narrow(simd, columns, out.from(row * outputs + first), *outputs) };
        }
    }
}

/// The size of the largest part when `count` is divided into as few like parts of at most `most`
/// as there can be.
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
