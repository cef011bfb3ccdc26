//! The innermost product of every kernel that multiplies matrices.

use pulp::Simd;

use super::memory::Shared;

/// The most rows of a tile on any processor.
pub(crate) const MAX_ROWS: usize = 14;
/// The most entries of two vectors on any processor.
pub(crate) const MAX_WIDTH: usize = 32;

/// The rows of a tile whose sums, two vectors each, fit into the registers together with what is
/// multiplied.
pub(crate) const fn rows_at_once<S: Simd>() -> usize {
    match S::REGISTER_COUNT {
        // Whatever is said of WebAssembly: engines have the 16 registers of x86-64, or those of NEON. In
        // both six rows are fastest there (112 ms an image against 168).
        _ if cfg!(target_arch = "wasm32") => 6,
        // NEON: of 14 rows the compiler moves 24 sums from register to register in every step, 68
        // instructions for 28 products; of 13 it moves none, 39 for 26.
        32.. if S::F32_LANES == 4 => 13,
        32.. => MAX_ROWS,
        16.. => 6,
        _ => 2,
    }
}

/// What the sums of a tile begin with.
#[derive(Debug, Clone, Copy)]
pub(crate) enum Start<'a> {
    /// Zero.
    Zero,
    /// The same row in every row.
    Row(&'a [f32]),
    /// What is there.
    Present,
}

/// A product `left · right` of `rows` × `depth` and `depth` × two vectors.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Tile<'a> {
    /// At most [`rows_at_once`].
    pub(crate) rows: usize,
    /// How many products are added up.
    pub(crate) depth: usize,
    /// Column by column: the entries of the rows one behind the other.
    pub(crate) left: &'a [f32],
    /// From one column of `left` to the next.
    pub(crate) left_step: usize,
    /// Row by row, each of two vectors.
    pub(crate) right: &'a [f32],
    /// From one row of `right` to the next.
    pub(crate) right_step: usize,
    /// What the sums begin with.
    pub(crate) start: Start<'a>,
}

impl Tile<'_> {
    /// Writes the product to the beginning of `out`, whose rows lie `step` apart. What is between
    /// rows is neither read nor written.
    ///
    /// # Safety
    /// Nobody else has the entries of these rows meanwhile.
    ///
    /// # Panics
    /// When a slice is too short.
    #[inline(always)]
    pub(crate) unsafe fn run<S: Simd>(self, simd: S, out: Shared<'_>, step: usize) {
        let width = 2 * S::F32_LANES;
        let reach = |count: usize, step: usize, last: usize| match count {
            0 => 0,
            count => (count - 1) * step + last,
        };
        assert!(reach(self.depth, self.left_step, self.rows) <= self.left.len(), "left too short");
        assert!(reach(self.depth, self.right_step, width) <= self.right.len(), "right too short");
        assert!(reach(self.rows, step, width) <= out.len(), "the result is too short");
        if let Start::Row(row) = self.start {
            assert!(row.len() >= width, "the first row is too short");
        }
        let out = out.start();
        // A function for each number of rows: sums stay in registers only where the compiler knows
        // how many there are.
        // SAFETY: all slices reach as far as a tile of `rows` rows goes, and those of `out` are ours.
        unsafe {
            match self.rows {
                0 => {}
                1 => self.rows::<S, 1>(simd, out, step),
                2 => self.rows::<S, 2>(simd, out, step),
                3 => self.rows::<S, 3>(simd, out, step),
                4 => self.rows::<S, 4>(simd, out, step),
                5 => self.rows::<S, 5>(simd, out, step),
                6 => self.rows::<S, 6>(simd, out, step),
                7 => self.rows::<S, 7>(simd, out, step),
                8 => self.rows::<S, 8>(simd, out, step),
                9 => self.rows::<S, 9>(simd, out, step),
                10 => self.rows::<S, 10>(simd, out, step),
                11 => self.rows::<S, 11>(simd, out, step),
                12 => self.rows::<S, 12>(simd, out, step),
                13 => self.rows::<S, 13>(simd, out, step),
                14 => self.rows::<S, 14>(simd, out, step),
                rows => unreachable!("a tile of {rows} rows"),
            }
        }
    }

    /// As [`Self::run`] for the first `columns` columns, where there is no room for two vectors.
    ///
    /// # Safety
    /// As for [`Self::run`], of these columns.
    ///
    /// # Panics
    /// As for [`Self::run`].
    #[inline(always)]
    pub(crate) unsafe fn run_narrow<S: Simd>(
        self,
        simd: S,
        columns: usize,
        out: Shared<'_>,
        step: usize,
    ) {
        let width = 2 * S::F32_LANES;
        if columns == width {
            // SAFETY: the caller's promise.
            return unsafe { self.run(simd, out, step) };
        }
        // Computed aside in whole vectors, so that there is one way to sum whatever the width.
        let mut whole = [0.0; MAX_ROWS * MAX_WIDTH];
        let rows = self.rows;
        // SAFETY: the caller's promise.
        let row = |i: usize| unsafe { out.slice(i * step, columns) };
        for (i, whole) in whole.chunks_exact_mut(width).take(rows).enumerate() {
            whole[..columns].copy_from_slice(row(i));
        }
        // SAFETY: `whole` is ours.
        unsafe { self.run(simd, Shared::new(&mut whole), width) };
        for (i, whole) in whole.chunks_exact(width).take(rows).enumerate() {
            row(i).copy_from_slice(&whole[..columns]);
        }
    }

    /// A tile of exactly `R` rows.
    ///
    /// # Safety
    /// `left` has `R` entries in each of `depth` columns, `right` and the start two vectors a row,
    /// and `out` can be written in `R` rows of two vectors.
    #[inline(always)]
    unsafe fn rows<S: Simd, const R: usize>(self, simd: S, out: *mut f32, step: usize) {
        let lanes = S::F32_LANES;
        // SAFETY: within the slices, by the caller's promise.
        unsafe {
            let load = |from: *const f32| from.cast::<S::f32s>().read_unaligned();
            let mut sums = [[simd.splat_f32s(0.0); 2]; R];
            match self.start {
                Start::Zero => {}
                Start::Row(row) => {
                    let row = row.as_ptr();
                    sums = [[load(row), load(row.add(lanes))]; R];
                }
                Start::Present => {
                    for (i, sum) in sums.iter_mut().enumerate() {
                        let row = out.add(i * step);
                        *sum = [load(row), load(row.add(lanes))];
                    }
                }
            }
            let (mut left, mut right) = (self.left.as_ptr(), self.right.as_ptr());
            // Two loads, and a broadcast for each row, feed two multiply-adds for each row: the more
            // rows, the less the loads hold up the arithmetic.
            for _ in 0..self.depth {
                let columns = [load(right), load(right.add(lanes))];
                for (i, sum) in sums.iter_mut().enumerate() {
                    let factor = simd.splat_f32s(*left.add(i));
                    sum[0] = simd.mul_add_e_f32s(factor, columns[0], sum[0]);
                    sum[1] = simd.mul_add_e_f32s(factor, columns[1], sum[1]);
                }
                // Wrapping, because the step after the last column may leave the slice.
                left = left.wrapping_add(self.left_step);
                right = right.wrapping_add(self.right_step);
            }
            for (i, sum) in sums.iter().enumerate() {
                let row = out.add(i * step);
                row.cast::<S::f32s>().write_unaligned(sum[0]);
                row.add(lanes).cast::<S::f32s>().write_unaligned(sum[1]);
            }
        }
    }
}
