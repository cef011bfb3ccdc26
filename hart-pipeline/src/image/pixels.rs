//! Pixels: what images, previews and grids are made of.

#[cfg(any(feature = "fs", feature = "images"))]
use std::path::Path;

use hart_core::{Error, Grid, Result};

use super::FileFormat;
use super::encode::encode;

/// Red, green and blue bytes, row by row.
///
/// ```
/// use hart_pipeline::Pixels;
///
/// let pixels = Pixels::new(2, 1, vec![255, 0, 0, 0, 0, 255])?;
/// assert_eq!((pixels.width(), pixels.height()), (2, 1));
/// assert_eq!(pixels.at(1, 0), [0, 0, 255]);
/// # Ok::<(), hart_pipeline::Error>(())
/// ```
#[derive(Clone, PartialEq, Eq)]
pub struct Pixels {
    width: usize,
    height: usize,
    rgb: Vec<u8>,
}

impl Pixels {
    /// Wraps `[height, width, 3]` bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] for another number of bytes, or none.
    pub fn new(width: usize, height: usize, rgb: Vec<u8>) -> Result<Self> {
        let bytes = width.checked_mul(height).and_then(|cells| cells.checked_mul(3));
        if bytes != Some(rgb.len()) || rgb.is_empty() {
            let expected = format!("{width} × {height} × 3 bytes, at least one pixel");
            return Err(Error::invalid("the pixels", format!("{} bytes", rgb.len()), expected));
        }
        Ok(Self { width, height, rgb })
    }

    /// Decoded values, planes `[3, height, width]` around [-1, 1], as bytes: clamped, moved to
    /// [0, 1] and truncated as in the release (section 4.5).
    ///
    /// # Errors
    /// [`Error::NonFinite`] when a value is NaN or infinite, [`Error::Invalid`] for another number
    /// of values.
    pub fn from_planes(size: Grid, planes: &[f32]) -> Result<Self> {
        // Looked at before clamping, which would hide an infinity.
        if !planes.iter().all(|value| value.is_finite()) {
            return Err(Error::NonFinite { what: "the image".to_string() });
        }
        let byte = |value: f32| ((value.clamp(-1.0, 1.0) + 1.0) / 2.0 * 255.0) as u8;
        let cells = planes.len() / 3;
        let pixel = |i: usize| [0, 1, 2].map(|channel| byte(planes[channel * cells + i]));
        Self::new(size.columns, size.rows, (0..cells).flat_map(pixel).collect())
    }

    /// The pixels as planes `[3, height, width]` in [-1, 1], as the tokenizer takes them.
    ///
    /// ```
    /// use hart_pipeline::Pixels;
    ///
    /// let pixels = Pixels::new(2, 1, vec![255, 0, 0, 0, 0, 255])?;
    /// assert_eq!(pixels.to_planes(), [1.0, -1.0, -1.0, -1.0, -1.0, 1.0]);
    /// # Ok::<(), hart_pipeline::Error>(())
    /// ```
    pub fn to_planes(&self) -> Vec<f32> {
        let channel = |channel: usize| self.rgb.iter().skip(channel).step_by(3);
        (0..3).flat_map(channel).map(|&value| f32::from(value) / 127.5 - 1.0).collect()
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// All bytes: `[height, width, 3]`.
    pub fn rgb(&self) -> &[u8] {
        &self.rgb
    }

    /// All bytes, without a copy.
    pub fn into_rgb(self) -> Vec<u8> {
        self.rgb
    }

    /// The pixel in column `x` of row `y`.
    ///
    /// # Panics
    /// When it is outside.
    pub fn at(&self, x: usize, y: usize) -> [u8; 3] {
        assert!(x < self.width && y < self.height, "pixel ({x}, {y}) of {self:?}");
        let first = (y * self.width + x) * 3;
        [self.rgb[first], self.rgb[first + 1], self.rgb[first + 2]]
    }

    /// Reads an image file with the usual [`ReadOptions`](super::ReadOptions): on white, turned as
    /// a viewer turns it.
    ///
    /// # Errors
    /// Those of [`ReadOptions::read`](super::ReadOptions::read).
    #[cfg(feature = "images")]
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Ok(super::ReadOptions::default().read(path)?.pixels)
    }

    /// The pixels as a PNG file without settings.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they cannot be encoded.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.encode(FileFormat::Png)
    }

    /// The pixels as a file without settings.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they do not fit the format.
    pub fn encode(&self, format: FileFormat) -> Result<Vec<u8>> {
        encode(self, None, format)
    }

    /// Writes a file without settings, of the format that its ending asks for. The file is complete
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

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({} × {})", self.width, self.height)
    }
}
