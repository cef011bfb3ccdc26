//! Pixels: what images, previews and grids are made of.

use std::path::Path;

use hart_core::{Error, Grid, Result, write_atomically};

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

    /// The pixels as a PNG file without settings.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they cannot be encoded.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        self.encode(&[])
    }

    /// Writes the pixels as a PNG file without settings. The file is complete or not there at all.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, &self.to_png()?)
    }

    /// A PNG file with text chunks, each a keyword and its text.
    pub(super) fn encode(&self, chunks: &[(&str, String)]) -> Result<Vec<u8>> {
        self.write_png(chunks)
            .map_err(|error| Error::invalid("the image", error, "one that fits a PNG file"))
    }

    fn write_png(&self, chunks: &[(&str, String)]) -> Result<Vec<u8>, png::EncodingError> {
        let mut bytes = vec![];
        let mut encoder = png::Encoder::new(&mut bytes, self.width as u32, self.height as u32);
        encoder.set_color(png::ColorType::Rgb);
        encoder.set_depth(png::BitDepth::Eight);
        for (keyword, text) in chunks {
            encoder.add_itxt_chunk(keyword.to_string(), text.clone())?;
        }
        let mut writer = encoder.write_header()?;
        writer.write_image_data(&self.rgb)?;
        writer.finish()?;
        Ok(bytes)
    }
}

impl std::fmt::Debug for Pixels {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        write!(f, "Pixels({} × {})", self.width, self.height)
    }
}

/// Several images of equal size side by side in a nearly square grid, on a white ground.
///
/// # Errors
/// [`Error::Invalid`] when there are none, or their sizes differ.
pub fn grid(images: &[Pixels]) -> Result<Pixels> {
    tile(images, (1..).find(|n| n * n >= images.len()).unwrap_or(1))
}

/// Several images of equal size, `columns` of them a row, on a white ground. Errors as for [`grid`].
pub(crate) fn tile(images: &[Pixels], columns: usize) -> Result<Pixels> {
    let Some(first) = images.first() else {
        return Err(Error::invalid("the number of images of a grid", 0, "at least one"));
    };
    let (width, height) = (first.width, first.height);
    if let Some(other) = images.iter().find(|image| (image.width, image.height) != (width, height))
    {
        let found = format!("{} × {}", other.width, other.height);
        return Err(Error::invalid("an image of the grid", found, format!("{width} × {height}")));
    }
    let rows = images.len().div_ceil(columns);
    let stride = columns * width * 3;
    let mut rgb = vec![255; rows * height * stride];
    for (i, image) in images.iter().enumerate() {
        let corner = i / columns * height * stride + i % columns * width * 3;
        for (y, row) in image.rgb.chunks_exact(width * 3).enumerate() {
            rgb[corner + y * stride..][..width * 3].copy_from_slice(row);
        }
    }
    Pixels::new(columns * width, rows * height, rgb)
}
