//! Images out: pixels, and the settings that made them.

mod pixels;
mod settings;

use std::path::Path;

use hart_core::{Result, write_atomically};

#[cfg(feature = "train")]
pub(crate) use pixels::tile;
pub use pixels::{Pixels, grid};
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
        self.pixels.encode(&self.settings.chunks())
    }

    /// Writes the image as a PNG file with its settings in text chunks. The file is complete or not
    /// there at all.
    ///
    /// # Errors
    /// [`hart_core::Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, &self.to_png()?)
    }
}
