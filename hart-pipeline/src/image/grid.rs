//! Several images in one.

#[cfg(feature = "fs")]
use std::path::Path;

use hart_core::{Error, Result};

use super::encode::{Texts, encode};
use super::{FileFormat, Image, ImageSettings, Pixels};

/// Images of equal size side by side in a nearly square grid, on a white ground, with the settings
/// of all of them.
#[derive(Debug, Clone, PartialEq)]
pub struct ImageGrid {
    pixels: Pixels,
    settings: Vec<ImageSettings>,
}

impl ImageGrid {
    /// Lays out the images row by row.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are none, or their sizes differ.
    pub fn new<'a>(images: impl IntoIterator<Item = &'a Image>) -> Result<Self> {
        let images: Vec<&Image> = images.into_iter().collect();
        let pixels: Vec<&Pixels> = images.iter().map(|image| image.pixels()).collect();
        let settings = images.iter().map(|image| image.settings().clone()).collect();
        Ok(Self { pixels: tile(&pixels, columns(pixels.len()))?, settings })
    }

    /// The pixels of the whole.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// What made each image, row by row.
    pub fn settings(&self) -> &[ImageSettings] {
        &self.settings
    }

    /// The bytes of a file with all settings, which [`ImageSettings::read_all`] reads.
    ///
    /// # Errors
    /// [`Error::Invalid`] when pixels or settings do not fit the format.
    pub fn encode(&self, format: FileFormat) -> Result<Vec<u8>> {
        encode(&self.pixels, Some(&Texts::of_grid(&self.settings)), format)
    }

    /// Writes a file of the format that its ending asks for, with all settings. The file is complete
    /// or not there at all.
    ///
    /// # Errors
    /// Those of [`FileFormat::of`] and [`Self::encode`], [`Error::Io`] when the file cannot be
    /// written.
    #[cfg(feature = "fs")]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        hart_core::write_atomically(path, &self.encode(FileFormat::of(path)?)?)
    }
}

/// Several images of equal size side by side in a nearly square grid, on a white ground, without
/// settings.
///
/// # Errors
/// [`Error::Invalid`] when there are none, or their sizes differ.
pub fn grid(images: &[Pixels]) -> Result<Pixels> {
    tile(&images.iter().collect::<Vec<_>>(), columns(images.len()))
}

/// Columns of a nearly square grid.
fn columns(images: usize) -> usize {
    (1..).find(|n| n * n >= images).unwrap_or(1)
}

/// Several images of equal size, `columns` of them a row, on a white ground. Errors as for [`grid`].
pub(crate) fn tile(images: &[&Pixels], columns: usize) -> Result<Pixels> {
    let Some(first) = images.first() else {
        return Err(Error::invalid("the number of images of a grid", 0, "at least one"));
    };
    let size = |image: &Pixels| (image.width(), image.height());
    let (width, height) = size(first);
    if let Some(other) = images.iter().find(|image| size(image) != (width, height)) {
        let found = format!("{} × {}", other.width(), other.height());
        return Err(Error::invalid("an image of the grid", found, format!("{width} × {height}")));
    }
    let rows = images.len().div_ceil(columns);
    let stride = columns * width * 3;
    let mut rgb = vec![255; rows * height * stride];
    for (i, image) in images.iter().enumerate() {
        let corner = i / columns * height * stride + i % columns * width * 3;
        for (y, row) in image.rgb().chunks_exact(width * 3).enumerate() {
            rgb[corner + y * stride..][..width * 3].copy_from_slice(row);
        }
    }
    Pixels::new(columns * width, rows * height, rgb)
}
