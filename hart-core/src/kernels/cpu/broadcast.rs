//! Rows that several rows are combined with.

/// Rows of which each is combined with `rows` others that follow each other.
#[derive(Debug, Clone, Copy)]
pub struct Broadcast<'a> {
    /// The rows.
    pub values: &'a [f32],
    /// From the beginning of one to that of the next; they may lie apart.
    pub step: usize,
    /// How many rows share one.
    pub rows: usize,
}

impl<'a> Broadcast<'a> {
    /// Rows of `width` that lie one behind the other, each shared by `rows`.
    pub fn new(values: &'a [f32], width: usize, rows: usize) -> Self {
        Self { values, step: width, rows }
    }

    /// What row `row` is combined with.
    #[inline(always)]
    pub(super) fn row(&self, row: usize, width: usize) -> &'a [f32] {
        &self.values[row / self.rows * self.step..][..width]
    }

    /// Panics unless there is one for each of `rows` rows.
    pub(super) fn check(&self, rows: usize, width: usize) {
        let groups = rows.div_ceil(self.rows.max(1));
        // The last row need not be followed by a whole step.
        let needed = groups.saturating_sub(1) * self.step + if groups > 0 { width } else { 0 };
        assert!(self.rows > 0 && self.values.len() >= needed, "a row for every group of rows");
    }
}
