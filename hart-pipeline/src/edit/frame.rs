//! The part of an image that the model sees, and the way there and back.
//!
//! A model makes images of one size. Of the image that is edited it sees a rectangle, resized so that
//! it fits; what of the model's shape that leaves free is filled with the mirrored edge, and cut off
//! again afterwards.

use hart_core::{Error, Grid, Result};
use image::RgbImage;
use image::imageops::{FilterType, resize};

use super::mask::Mask;
use crate::image::Pixels;

/// How much larger than the marked part is what the model sees of an image, as far as there is more.
const AROUND: f64 = 1.5;

/// A rectangle of pixels.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Rectangle {
    pub(super) x: usize,
    pub(super) y: usize,
    pub(super) width: usize,
    pub(super) height: usize,
}

/// A rectangle of an image, and where it lies in the model's.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Frame {
    /// In the image.
    pub(super) seen: Rectangle,
    /// In the model's image.
    pub(super) inner: Rectangle,
    /// The size of the model's image in pixels.
    pub(super) model: Grid,
}

impl Frame {
    /// All of an image of this size.
    pub(super) fn whole(width: usize, height: usize, model: Grid) -> Self {
        Self::of(Rectangle { x: 0, y: 0, width, height }, model)
    }

    /// What is around a marked rectangle (column, row, width, height) of an image of this size: half
    /// as much again, and no less than the model's own size as long as there is so much.
    pub(super) fn around(bounds: [usize; 4], width: usize, height: usize, model: Grid) -> Self {
        let [x, y, marked_width, marked_height] = bounds;
        let (wide, high) = (model.columns as f64, model.rows as f64);
        // In units of the model's image.
        let marked = (marked_width as f64 / wide).max(marked_height as f64 / high) * AROUND;
        let scale = marked.max(1.0);
        let span = |first: usize, length: usize, all: usize, unit: f64| {
            let size = ((scale * unit).round() as usize).clamp(length, all);
            // The marked part in the middle, unless the image ends before.
            let before = (first + length / 2).saturating_sub(size / 2).min(all - size);
            (before, size)
        };
        let (left, seen_width) = span(x, marked_width, width, wide);
        let (top, seen_height) = span(y, marked_height, height, high);
        Self::of(Rectangle { x: left, y: top, width: seen_width, height: seen_height }, model)
    }

    /// The largest size of the rectangle that fits, in the middle.
    fn of(seen: Rectangle, model: Grid) -> Self {
        let (wide, high) = (model.columns as f64, model.rows as f64);
        let scale = (wide / seen.width as f64).min(high / seen.height as f64);
        let side =
            |side: usize, most: usize| ((side as f64 * scale).round() as usize).clamp(1, most);
        let (width, height) = (side(seen.width, model.columns), side(seen.height, model.rows));
        let (x, y) = ((model.columns - width) / 2, (model.rows - height) / 2);
        Self { seen, inner: Rectangle { x, y, width, height }, model }
    }

    /// What the model sees of an image.
    pub(super) fn show(&self, image: &Pixels) -> Result<Pixels> {
        let part = part(image, self.seen)?;
        let inner = resized(&part, self.inner.width, self.inner.height)?;
        let pixel = |row: usize, column: usize| {
            inner.at(
                mirrored(column, self.inner.x, self.inner.width),
                mirrored(row, self.inner.y, self.inner.height),
            )
        };
        let Grid { rows, columns, .. } = self.model;
        let pixels =
            (0..rows).flat_map(|row| (0..columns).flat_map(move |column| pixel(row, column)));
        Pixels::new(columns, rows, pixels.collect())
    }

    /// Which pixels of what the model sees are marked: those that any marked pixel went into.
    pub(super) fn show_mask(&self, mask: &Mask) -> Vec<bool> {
        let marked = |row: usize, column: usize| {
            let rows = covered(row, self.inner.y, self.inner.height, self.seen.y, self.seen.height);
            let columns =
                covered(column, self.inner.x, self.inner.width, self.seen.x, self.seen.width);
            rows.into_iter().any(|y| columns.clone().any(|x| mask.is_marked(x, y)))
        };
        let Grid { rows, columns, .. } = self.model;
        let cells = (0..rows).flat_map(|row| (0..columns).map(move |column| (row, column)));
        cells.map(|(row, column)| marked(row, column)).collect()
    }

    /// The rectangle of the image again, from the model's image.
    pub(super) fn cut(&self, made: &Pixels) -> Result<Pixels> {
        resized(&self.inner(made)?, self.seen.width, self.seen.height)
    }

    /// The same in the size in which the model made it.
    pub(super) fn inner(&self, made: &Pixels) -> Result<Pixels> {
        part(made, self.inner)
    }
}

/// A rectangle of an image.
fn part(image: &Pixels, rectangle: Rectangle) -> Result<Pixels> {
    let Rectangle { x, y, width, height } = rectangle;
    let rows = (y..y + height).flat_map(|row| {
        let first = (row * image.width() + x) * 3;
        image.rgb()[first..first + 3 * width].iter().copied()
    });
    Pixels::new(width, height, rows.collect())
}

/// An image on a canvas whose other pixels show its edges mirrored, and the mask of these. The edges
/// are only what encoding the image needs around it.
///
/// # Errors
/// [`Error::Invalid`] when the image does not lie on the canvas, or fills it.
pub(super) fn on_canvas(
    image: &Pixels,
    [width, height]: [usize; 2],
    [x, y]: [usize; 2],
) -> Result<(Pixels, Mask)> {
    let (wide, high) = (image.width(), image.height());
    let fits =
        |at: usize, length: usize, all: usize| at.checked_add(length).is_some_and(|end| end <= all);
    let found = || format!("{width} × {height} with the image at ({x}, {y})");
    if !fits(x, wide, width) || !fits(y, high, height) {
        let expected = format!("room for the {wide} × {high} pixels of the image");
        return Err(Error::invalid("the canvas", found(), expected));
    }
    if (wide, high) == (width, height) {
        return Err(Error::invalid("the canvas", found(), "more than the image, to paint on"));
    }
    let pixels = (0..height).flat_map(|row| {
        let from = mirrored(row, y, high);
        (0..width).flat_map(move |column| image.at(mirrored(column, x, wide), from))
    });
    let canvas = Pixels::new(width, height, pixels.collect())?;
    let mut mask = Mask::empty(width, height);
    mask.mark(0, 0, width, y);
    mask.mark(0, y + high, width, height - y - high);
    mask.mark(0, y, x, high);
    mask.mark(x + wide, y, width - x - wide, high);
    Ok((canvas, mask))
}

/// The place in a part of `length` that begins at `first` which place `at` shows: beyond the ends it is
/// mirrored, back and forth.
fn mirrored(at: usize, first: usize, length: usize) -> usize {
    let (at, length) = (at as i64 - first as i64, length as i64);
    let at = at.rem_euclid(2 * length);
    (if at < length { at } else { 2 * length - 1 - at }) as usize
}

/// The pixels of the image along one axis that pixel `at` of the model's image is made of.
fn covered(
    at: usize,
    inner: usize,
    inner_length: usize,
    seen: usize,
    seen_length: usize,
) -> std::ops::Range<usize> {
    let place = mirrored(at, inner, inner_length);
    let first = place * seen_length / inner_length;
    let last = ((place + 1) * seen_length).div_ceil(inner_length).max(first + 1);
    seen + first..seen + last.min(seen_length)
}

/// An image in another size: enlarged by Catmull-Rom interpolation, made smaller by Lanczos.
pub(super) fn resized(pixels: &Pixels, width: usize, height: usize) -> Result<Pixels> {
    if (pixels.width(), pixels.height()) == (width, height) {
        return Ok(pixels.clone());
    }
    let grows = width >= pixels.width() && height >= pixels.height();
    let filter = if grows { FilterType::CatmullRom } else { FilterType::Lanczos3 };
    let side = |side: usize| {
        let fits = u32::try_from(side);
        fits.map_err(|_| Error::invalid("the size of an image", side, "below 2³² pixels"))
    };
    resize(&RgbImage::try_from(pixels)?, side(width)?, side(height)?, filter).try_into()
}

#[cfg(test)]
mod tests {
    use hart_core::Grid;

    use super::{Frame, Rectangle, mirrored, on_canvas};
    use crate::edit::Mask;
    use crate::image::Pixels;

    /// Every pixel another one.
    fn image(width: usize, height: usize) -> Pixels {
        let pixel = |i: usize| [(i % width) as u8 * 8, (i / width) as u8 * 8, 7];
        Pixels::new(width, height, (0..width * height).flat_map(pixel).collect()).expect("pixels")
    }

    #[test]
    fn edges_are_mirrored_back_and_forth() {
        let places: Vec<usize> = (0..9).map(|at| mirrored(at, 3, 2)).collect();
        assert_eq!(places, [1, 1, 0, 0, 1, 1, 0, 0, 1]);
        assert!((0..9).all(|at| mirrored(at, 4, 1) == 0));
    }

    #[test]
    fn an_image_of_the_models_size_is_seen_as_it_is() {
        let frame = Frame::whole(16, 16, Grid::new(16, 16));
        let image = image(16, 16);
        assert_eq!(frame.show(&image).expect("pixels"), image);
        assert_eq!(frame.cut(&image).expect("pixels"), image);
    }

    #[test]
    fn other_shapes_keep_theirs_and_come_back() {
        for (width, height, inner) in [
            (32, 8, [0, 6, 16, 4]),
            (8, 32, [6, 0, 4, 16]),
            (4, 4, [0, 0, 16, 16]),
            (300, 1, [0, 7, 16, 1]),
        ] {
            let frame = Frame::whole(width, height, Grid::new(16, 16));
            let [x, y, inner_width, inner_height] = inner;
            let expected = Rectangle { x, y, width: inner_width, height: inner_height };
            assert_eq!(frame.inner, expected, "{width} × {height}");
            let shown = frame.show(&image(width, height)).expect("pixels");
            assert_eq!((shown.width(), shown.height()), (16, 16));
            let back = frame.cut(&shown).expect("pixels");
            assert_eq!((back.width(), back.height()), (width, height));
        }
    }

    #[test]
    fn what_is_seen_is_around_the_mark_and_inside_of_the_image() {
        let model = Grid::new(16, 16);
        let seen = |bounds| {
            let Rectangle { x, y, width, height } = Frame::around(bounds, 100, 60, model).seen;
            [x, y, width, height]
        };
        assert_eq!(seen([50, 30, 4, 4]), [44, 24, 16, 16], "the model's own size");
        assert_eq!(seen([0, 0, 4, 4]), [0, 0, 16, 16], "in a corner");
        assert_eq!(seen([96, 56, 4, 4]), [84, 44, 16, 16], "in the other one");
        assert_eq!(seen([40, 20, 20, 10]), [35, 10, 30, 30], "half as much again");
        assert_eq!(seen([0, 0, 100, 60]), [0, 0, 100, 60], "all of it");
        assert_eq!(seen([0, 20, 100, 1]), [0, 0, 100, 60]);
    }

    #[test]
    fn every_pixel_that_a_mark_goes_into_is_marked() {
        let frame = Frame::whole(32, 32, Grid::new(16, 16));
        let mut mask = Mask::empty(32, 32);
        mask.mark(5, 9, 1, 2);
        let marked = frame.show_mask(&mask);
        let marked: Vec<usize> = (0..256).filter(|&i| marked[i]).collect();
        assert_eq!(marked, [4 * 16 + 2, 5 * 16 + 2]);
    }

    #[test]
    fn a_canvas_has_the_image_in_its_place_and_marks_the_rest() {
        let image = image(4, 3);
        let (canvas, mask) = on_canvas(&image, [7, 5], [2, 1]).expect("a canvas");
        assert_eq!(mask.marked(), 7 * 5 - 4 * 3);
        for y in 0..5 {
            for x in 0..7 {
                let is_inside = (2..6).contains(&x) && (1..4).contains(&y);
                assert_eq!(mask.is_marked(x, y), !is_inside);
                if is_inside {
                    assert_eq!(canvas.at(x, y), image.at(x - 2, y - 1));
                }
            }
        }
        for (canvas, place) in [([4, 3], [0, 0]), ([5, 3], [2, 0]), ([9, 9], [0, usize::MAX])] {
            on_canvas(&image, canvas, place).expect_err("no room");
        }
    }
}
