//! Which pixels of an image an edit may change.

use std::path::Path;

use hart_core::{Error, Grid, Result};

use crate::image::{Pixels, ReadOptions};

/// How far, in pixels, the seam between what is new and what stays reaches into the marked part, unless
/// [`Edit::seam`](super::Edit::seam) says otherwise.
pub(super) const SEAM: usize = 8;

/// The pixels of an image that an edit may change: the marked ones. All others stay what they are, bit
/// for bit.
///
/// ```
/// use hart_pipeline::edit::Mask;
///
/// let mut mask = Mask::empty(64, 48);
/// mask.mark(10, 20, 30, 8);
/// assert!(mask.is_marked(10, 20) && !mask.is_marked(9, 20));
/// assert_eq!(mask.marked(), 240);
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Mask {
    width: usize,
    height: usize,
    marked: Vec<bool>,
}

/// What marks a pixel in an image file that is read as a mask.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum MaskFrom {
    /// White, as painting programs make masks: every channel is at least `255 - tolerance`.
    White {
        /// From 0 to 255.
        tolerance: u8,
    },
    /// Transparency, as if the part had been erased: alpha is at most `tolerance`.
    Transparency {
        /// From 0 to 255.
        tolerance: u8,
    },
}

impl Mask {
    /// A mask of an image of this size on which nothing is marked.
    pub fn empty(width: usize, height: usize) -> Self {
        Self { width, height, marked: vec![false; width * height] }
    }

    /// Marks a rectangle; what of it is outside of the image is left out.
    pub fn mark(&mut self, x: usize, y: usize, width: usize, height: usize) {
        let end = |first: usize, length: usize, all: usize| first.saturating_add(length).min(all);
        let (right, bottom) = (end(x, width, self.width), end(y, height, self.height));
        for row in y..bottom {
            for column in x..right {
                self.marked[row * self.width + column] = true;
            }
        }
    }

    /// The marked pixels of an image of the same size.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it has no pixel that is marked.
    pub fn of_white(pixels: &Pixels, tolerance: u8) -> Result<Self> {
        Self::white(pixels, tolerance).not_empty("the mask", "white")
    }

    fn white(pixels: &Pixels, tolerance: u8) -> Self {
        let least = 255 - tolerance;
        let is_white = |pixel: &[u8]| pixel.iter().all(|&value| value >= least);
        let marked = pixels.rgb().chunks_exact(3).map(is_white).collect();
        Self { width: pixels.width(), height: pixels.height(), marked }
    }

    /// Reads an image file as a mask.
    ///
    /// # Errors
    /// Those of [`ReadOptions::read`], and [`Error::Invalid`] when no pixel is marked.
    pub fn read(path: impl AsRef<Path>, from: MaskFrom, options: ReadOptions) -> Result<Self> {
        let name = format!("the mask {}", path.as_ref().display());
        let over = |background: [u8; 3]| {
            let read = options.background(background).read(&path);
            read.map(|read| read.pixels)
        };
        match from {
            // What is transparent is not white.
            MaskFrom::White { tolerance } => {
                Self::white(&over([0; 3])?, tolerance).not_empty(&name, "white")
            }
            MaskFrom::Transparency { tolerance } => {
                // Over white and over black a pixel differs by what shines through.
                let (light, dark) = (over([255; 3])?, over([0; 3])?);
                let pairs = light.rgb().chunks_exact(3).zip(dark.rgb().chunks_exact(3));
                let marked = pairs.map(|(light, dark)| 255 - (light[0] - dark[0]) <= tolerance);
                let (width, height, marked) = (light.width(), light.height(), marked.collect());
                Self { width, height, marked }.not_empty(&name, "transparent")
            }
        }
    }

    /// The same mask with `pixels` more around everything that is marked.
    pub fn grow(&self, pixels: usize) -> Self {
        let kept = distances(self.width, self.height, |i| self.marked[i]);
        let marked = kept.iter().map(|&distance| distance as usize <= pixels).collect();
        Self { marked, ..*self }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Whether the pixel in column `x` of row `y` is marked.
    ///
    /// # Panics
    /// When it is outside.
    pub fn is_marked(&self, x: usize, y: usize) -> bool {
        assert!(x < self.width && y < self.height, "pixel ({x}, {y}) of {self:?}");
        self.marked[y * self.width + x]
    }

    /// How many pixels are marked.
    pub fn marked(&self) -> usize {
        self.marked.iter().filter(|marked| **marked).count()
    }

    /// The smallest rectangle around what is marked: column, row, width and height.
    pub(super) fn bounds(&self) -> Option<[usize; 4]> {
        let rows = self.marked.chunks_exact(self.width).map(|row| row.contains(&true));
        let rows: Vec<bool> = rows.collect();
        let column = |x: usize| (0..self.height).any(|y| self.marked[y * self.width + x]);
        let columns: Vec<bool> = (0..self.width).map(column).collect();
        let span = |line: &[bool]| {
            let first = line.iter().position(|marked| *marked)?;
            Some((first, line.iter().rposition(|marked| *marked)? + 1 - first))
        };
        let ((x, width), (y, height)) = (span(&columns)?, span(&rows)?);
        Some([x, y, width, height])
    }

    /// How much of every pixel is new, from 0 to 1: 0 where nothing is marked, growing to 1 over
    /// `seam` pixels inside the marked part.
    pub(super) fn weights(&self, seam: usize) -> Vec<f32> {
        let inside = distances(self.width, self.height, |i| !self.marked[i]);
        let full = seam as f32 + 1.0;
        inside.iter().map(|&distance| (distance as f32 / full).min(1.0)).collect()
    }

    fn not_empty(self, name: &str, kind: &str) -> Result<Self> {
        if self.marked.contains(&true) {
            return Ok(self);
        }
        let expected = "a marked pixel: raise the tolerance, or paint one";
        Err(Error::invalid(name, format!("no {kind} pixel"), expected))
    }
}

impl std::fmt::Debug for Mask {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Mask({} × {}, {} marked)", self.width, self.height, self.marked())
    }
}

/// The distance of every pixel to the nearest one that `is_zero`, in steps to any of eight
/// neighbours; very large where there is none.
fn distances(width: usize, height: usize, is_zero: impl Fn(usize) -> bool) -> Vec<u32> {
    const FAR: u32 = u32::MAX / 2;
    let mut distance: Vec<u32> =
        (0..width * height).map(|i| if is_zero(i) { 0 } else { FAR }).collect();
    let nearer = |distance: &mut [u32], i: usize, other: usize| {
        distance[i] = distance[i].min(distance[other] + 1);
    };
    // From above and the left, then from below and the right.
    for y in 0..height {
        for x in 0..width {
            let i = y * width + x;
            if x > 0 {
                nearer(&mut distance, i, i - 1);
            }
            if y > 0 {
                let first = i - width - usize::from(x > 0);
                let last = i - width + usize::from(x + 1 < width);
                (first..=last).for_each(|other| nearer(&mut distance, i, other));
            }
        }
    }
    for y in (0..height).rev() {
        for x in (0..width).rev() {
            let i = y * width + x;
            if x + 1 < width {
                nearer(&mut distance, i, i + 1);
            }
            if y + 1 < height {
                let first = i + width - usize::from(x > 0);
                let last = i + width + usize::from(x + 1 < width);
                (first..=last).for_each(|other| nearer(&mut distance, i, other));
            }
        }
    }
    distance
}

/// The cells of a latent that keep what they are: none of their pixels is marked, nor one of their
/// neighbours'. `marked` says it of the pixels of the image that the model sees, `cell` is the side
/// of a cell in pixels.
pub(super) fn kept_cells(marked: &[bool], latent: Grid, cell: usize) -> Vec<bool> {
    let width = latent.columns * cell;
    let is_touched = |row: usize, column: usize| {
        let pixels = (row * cell..(row + 1) * cell)
            .flat_map(|y| (column * cell..(column + 1) * cell).map(move |x| y * width + x));
        pixels.into_iter().any(|pixel| marked[pixel])
    };
    let cells = (0..latent.cells()).map(|i| is_touched(i / latent.columns, i % latent.columns));
    let touched: Vec<bool> = cells.collect();
    distances(latent.columns, latent.rows, |i| touched[i]).iter().map(|&d| d > 1).collect()
}

/// The cells of a scale's map that are kept, from those of the latent: resized by bilinear
/// interpolation and kept where it is more than a half. The one cell of the coarsest map is kept as soon
/// as one of the latent's is.
pub(super) fn kept_at(kept: &[bool], latent: Grid, map: Grid) -> Vec<bool> {
    if map.cells() == 1 {
        return vec![kept.contains(&true)];
    }
    let share = |i: usize| {
        let (rows, columns) = (
            taps(i / map.columns, map.rows, latent.rows),
            taps(i % map.columns, map.columns, latent.columns),
        );
        let value =
            |row: usize, column: usize| f64::from(u8::from(kept[row * latent.columns + column]));
        let row = |row: usize| {
            columns.iter().map(|&(column, share)| share * value(row, column)).sum::<f64>()
        };
        rows.iter().map(|&(at, share)| share * row(at)).sum::<f64>()
    };
    (0..map.cells()).map(|i| share(i) > 0.5).collect()
}

/// The two places of `from` that place `i` of `to` lies between, with their shares.
fn taps(i: usize, to: usize, from: usize) -> [(usize, f64); 2] {
    let at = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
    let at = at.clamp(0.0, (from - 1) as f64);
    let first = at.floor() as usize;
    let share = at - first as f64;
    [(first, 1.0 - share), ((first + 1).min(from - 1), share)]
}

#[cfg(test)]
mod tests {
    use hart_core::Grid;

    use super::{Mask, kept_at, kept_cells};

    #[test]
    fn the_seam_grows_inside_of_the_mask() {
        let mut mask = Mask::empty(7, 3);
        mask.mark(2, 0, 9, 9);
        assert_eq!(mask.bounds(), Some([2, 0, 5, 3]));
        let row: Vec<f32> = mask.weights(3).chunks_exact(7).nth(1).expect("a row").to_vec();
        assert_eq!(row, [0.0, 0.0, 0.25, 0.5, 0.75, 1.0, 1.0]);
        assert!(mask.weights(0).iter().all(|&weight| weight == 0.0 || weight == 1.0));
    }

    #[test]
    fn a_mask_grows_in_all_directions() {
        let mut mask = Mask::empty(5, 5);
        mask.mark(2, 2, 1, 1);
        assert_eq!(mask.grow(1).marked(), 9);
        assert_eq!(mask.grow(2).marked(), 25);
        assert_eq!(mask.grow(0), mask);
        assert_eq!(Mask::empty(3, 3).grow(2).marked(), 0);
    }

    #[test]
    fn cells_beside_a_marked_pixel_are_not_kept() {
        // One pixel of the cell in row 1, column 4 of 4 × 6 cells of 2 × 2 pixels.
        let mut marked = vec![false; 8 * 12];
        marked[3 * 12 + 9] = true;
        let kept = kept_cells(&marked, Grid::new(4, 6), 2);
        let rows: Vec<String> = kept
            .chunks_exact(6)
            .map(|row| row.iter().map(|&kept| if kept { '#' } else { '.' }).collect())
            .collect();
        assert_eq!(rows, ["###...", "###...", "###...", "######"]);
    }

    #[test]
    fn one_cell_keeps_everything_and_finer_maps_the_nearest_half() {
        let latent = Grid::new(4, 4);
        let kept: Vec<bool> = (0..16).map(|i| i % 4 < 2).collect();
        assert_eq!(kept_at(&kept, latent, latent), kept);
        assert_eq!(kept_at(&kept, latent, Grid::new(1, 1)), [true]);
        assert_eq!(kept_at(&[false; 16], latent, Grid::new(1, 1)), [false]);
        assert_eq!(kept_at(&kept, latent, Grid::new(2, 2)), [true, false].repeat(2));
        let three = kept_at(&kept, latent, Grid::new(3, 3));
        // The middle column lies between a kept and a changed one: a half is not more than a half.
        assert_eq!(three, [true, false, false].repeat(3));
    }
}
