//! A map's size in cells.

use std::fmt;

/// Rows and columns of a map: the tokens of a scale, the cells of a latent, the pixels of an image.
///
/// ```
/// use hart_core::Grid;
///
/// let grid = Grid::new(3, 4);
/// assert_eq!((grid.cells(), grid.to_string()), (12, "3 × 4".to_string()));
/// assert_eq!(Grid::square(5), Grid::new(5, 5));
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub struct Grid {
    /// Rows, from top to bottom: the height.
    pub rows: usize,
    /// Columns, from left to right: the width.
    pub columns: usize,
}

impl Grid {
    /// A grid of `rows` × `columns` cells.
    pub const fn new(rows: usize, columns: usize) -> Self {
        Self { rows, columns }
    }

    /// A grid with as many rows as columns.
    pub const fn square(side: usize) -> Self {
        Self { rows: side, columns: side }
    }

    /// How many cells it has.
    pub const fn cells(self) -> usize {
        self.rows * self.columns
    }

    /// Whether it has as many rows as columns.
    pub const fn is_square(self) -> bool {
        self.rows == self.columns
    }

    /// The larger of its two sides.
    pub const fn longest(self) -> usize {
        if self.rows > self.columns { self.rows } else { self.columns }
    }

    /// The grid with every cell cut into `factor` × `factor`.
    pub const fn times(self, factor: usize) -> Self {
        Self { rows: self.rows * factor, columns: self.columns * factor }
    }

    /// The row and the column of a row-major index.
    pub const fn place(self, index: usize) -> [usize; 2] {
        [index / self.columns, index % self.columns]
    }
}

impl fmt::Display for Grid {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{} × {}", self.rows, self.columns)
    }
}
