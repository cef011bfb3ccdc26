//! Images: pixels, the settings that made them, and files of both.
//!
//! With the feature `images` files of all usual kinds are read ([`ReadOptions`]), and JPEG and WebP
//! files are written beside PNG.

mod edit_settings;
mod encode;
#[cfg(feature = "images")]
mod exif;
#[cfg(feature = "images")]
mod foreign;
mod format;
mod grid;
#[cfg(feature = "images")]
mod jpeg;
mod pixels;
#[cfg(feature = "images")]
mod read;
#[cfg(feature = "images")]
mod rgb_image;
mod settings;
#[cfg(feature = "images")]
mod tiff;
#[cfg(feature = "images")]
mod webp;

#[cfg(feature = "fs")]
use std::path::Path;

use hart_core::Result;

pub use edit_settings::EditSettings;
use encode::{Texts, encode};
pub use format::FileFormat;
#[cfg(feature = "train")]
pub(crate) use grid::tile;
pub use grid::{ImageGrid, grid};
pub use pixels::Pixels;
#[cfg(feature = "images")]
pub use read::{ReadImage, ReadOptions};
pub use settings::ImageSettings;

/// An image with the settings that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    pixels: Pixels,
    // Much larger than the rest, and seldom moved about.
    settings: Box<ImageSettings>,
}

impl Image {
    /// Pixels with settings that are written beside them.
    pub fn new(pixels: Pixels, settings: ImageSettings) -> Self {
        Self { pixels, settings: Box::new(settings) }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.pixels.width()
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.pixels.height()
    }

    /// The pixels.
    pub fn pixels(&self) -> &Pixels {
        &self.pixels
    }

    /// What made the image.
    pub fn settings(&self) -> &ImageSettings {
        &self.settings
    }

    /// The image as a PNG file with its settings in text chunks. Equal images give equal bytes.
    ///
    /// # Errors
    /// [`hart_core::Error::Invalid`] when the image cannot be encoded.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.encode(FileFormat::Png)
    }

    /// The image as a file with its settings. Equal images give equal bytes.
    ///
    /// # Errors
    /// [`hart_core::Error::Invalid`] when the image or its settings do not fit the format.
    pub fn encode(&self, format: FileFormat) -> Result<Vec<u8>> {
        encode(&self.pixels, Some(&Texts::of_image(&self.settings)), format)
    }

    /// Writes a file of the format that its ending asks for, with the settings in it. The file is
    /// complete or not there at all.
    ///
    /// # Errors
    /// Those of [`FileFormat::of`] and [`Self::encode`], [`hart_core::Error::Io`] when the file
    /// cannot be written.
    #[cfg(feature = "fs")]
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        let path = path.as_ref();
        hart_core::write_atomically(path, &self.encode(FileFormat::of(path)?)?)
    }
}
