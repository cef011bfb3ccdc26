//! Image files in: one way of reading them for everything that takes pictures.

use std::io::Cursor;
use std::path::Path;

use hart_core::{Error, Result};
use image::codecs::gif::GifDecoder;
use image::codecs::png::PngDecoder;
use image::codecs::webp::WebPDecoder;
use image::{AnimationDecoder, DynamicImage, ImageDecoder, ImageFormat, ImageReader, Limits};

use super::foreign::foreign;
use super::{Pixels, jpeg, tiff, webp};

/// Bytes of memory for each allowed pixel that a decoder may take: four channels of 16 bits, twice.
const BYTES_PER_PIXEL: u64 = 16;

/// Reads image files: PNG, JPEG, WebP, GIF, BMP and TIFF, told by their content and not by their
/// name.
///
/// Whatever is in the file comes out as red, green and blue bytes, the way a viewer shows it:
/// turned as its EXIF orientation says, transparent parts over [`background`](Self::background),
/// palettes and greys in colour, CMYK converted, 16 bits rounded to 8, and of an animation the
/// first frame. Colour profiles are not applied. A file that is cut off is an error.
///
/// ```
/// # fn main() -> hart_pipeline::Result<()> {
/// use hart_pipeline::Pixels;
/// use hart_pipeline::image::ReadOptions;
///
/// let png = Pixels::new(2, 1, vec![255, 0, 0, 0, 0, 255])?.to_png()?;
/// let read = ReadOptions::default().decode("two.png", &png)?;
/// assert_eq!(read.pixels.at(1, 0), [0, 0, 255]);
/// assert!(!read.is_animated);
/// # Ok(()) }
/// ```
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadOptions {
    /// Red, green and blue behind transparent parts; white by default.
    pub background: [u8; 3],
    /// The most pixels that an image may have; 2²⁸ by default, a square of 16384. A small file can
    /// claim to be a huge image.
    pub max_pixels: u64,
}

/// An image file that was read.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct ReadImage {
    /// Its pixels.
    pub pixels: Pixels,
    /// Whether it has more frames than the one that was read.
    pub is_animated: bool,
}

impl Default for ReadOptions {
    fn default() -> Self {
        Self { background: [255; 3], max_pixels: 1 << 28 }
    }
}

impl ReadOptions {
    /// The same with another colour behind transparent parts.
    pub fn background(mut self, rgb: [u8; 3]) -> Self {
        self.background = rgb;
        self
    }

    /// The same with another limit on the number of pixels.
    pub fn max_pixels(mut self, pixels: u64) -> Self {
        self.max_pixels = pixels;
        self
    }

    /// Reads a file.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read; [`Error::Malformed`] when it is not an image of
    /// a known kind, damaged, cut off, or has too many pixels.
    pub fn read(&self, path: impl AsRef<Path>) -> Result<ReadImage> {
        let path = path.as_ref();
        let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
        self.decode(path, &bytes)
    }

    /// Reads the content of a file; `name` is what errors call it.
    ///
    /// # Errors
    /// As [`Self::read`], without [`Error::Io`].
    pub fn decode(&self, name: impl AsRef<Path>, bytes: &[u8]) -> Result<ReadImage> {
        let wrong = |problem: String| Error::malformed(&name, problem);
        let format = image::guess_format(bytes).ok().filter(|format| is_read(*format));
        let format = format.ok_or_else(|| wrong(foreign(bytes)))?;
        let cut_off = || {
            let length = bytes.len();
            wrong(format!("the image is cut off: the file ends after {length} bytes"))
        };
        let ends_early = match format {
            ImageFormat::Jpeg => jpeg::is_cut_off(bytes),
            ImageFormat::WebP => webp::is_cut_off(bytes),
            ImageFormat::Tiff => tiff::is_cut_off(bytes),
            _ => false,
        };
        if ends_early {
            return Err(cut_off());
        }
        if format == ImageFormat::WebP && webp::is_larger_than_its_canvas(bytes) {
            return Err(wrong("the image is damaged: larger than its canvas".to_string()));
        }
        let damaged = |error: image::ImageError| match error {
            image::ImageError::IoError(error)
                if error.kind() == std::io::ErrorKind::UnexpectedEof =>
            {
                cut_off()
            }
            other => wrong(format!("the image is damaged: {other}")),
        };
        let mut reader = ImageReader::with_format(Cursor::new(bytes), format);
        reader.limits(self.limits());
        let mut decoder = reader.into_decoder().map_err(damaged)?;
        self.check_size(decoder.dimensions()).map_err(wrong)?;
        let orientation = decoder.orientation().map_err(damaged)?;
        let mut image = DynamicImage::from_decoder(decoder).map_err(damaged)?;
        image.apply_orientation(orientation);
        let (width, height) = (image.width() as usize, image.height() as usize);
        let pixels = Pixels::new(width, height, self.over_background(image))?;
        let is_animated = self.is_animated(format, bytes).map_err(damaged)?;
        Ok(ReadImage { pixels, is_animated })
    }

    fn limits(&self) -> Limits {
        let mut limits = Limits::default();
        limits.max_alloc = Some(self.max_pixels.saturating_mul(BYTES_PER_PIXEL));
        limits
    }

    fn check_size(&self, (width, height): (u32, u32)) -> Result<(), String> {
        let (pixels, most) = (u64::from(width) * u64::from(height), self.max_pixels);
        if pixels == 0 {
            return Err("the image has no pixels".to_string());
        }
        if pixels > most {
            return Err(format!(
                "the image has {width} × {height} pixels, more than the {most} that are read \
                 (`max_pixels` raises the limit)"
            ));
        }
        Ok(())
    }

    /// Red, green and blue bytes of an image, its transparent parts over the background.
    fn over_background(&self, image: DynamicImage) -> Vec<u8> {
        if !image.color().has_alpha() {
            return image.into_rgb8().into_raw();
        }
        let over = |value: u8, alpha: u8, behind: u8| {
            let (alpha, value, behind) = (u32::from(alpha), u32::from(value), u32::from(behind));
            ((value * alpha + behind * (255 - alpha) + 127) / 255) as u8
        };
        let image = image.into_rgba8();
        let pixels = image.pixels().map(|pixel| pixel.0);
        let [red, green, blue] = self.background;
        pixels
            .flat_map(|[r, g, b, a]| [over(r, a, red), over(g, a, green), over(b, a, blue)])
            .collect()
    }

    /// Whether a file has a second frame.
    fn is_animated(&self, format: ImageFormat, bytes: &[u8]) -> image::ImageResult<bool> {
        let file = Cursor::new(bytes);
        Ok(match format {
            ImageFormat::Png => PngDecoder::with_limits(file, self.limits())?.is_apng()?,
            ImageFormat::WebP => WebPDecoder::new(file)?.has_animation(),
            ImageFormat::Gif => {
                let mut decoder = GifDecoder::new(file)?;
                decoder.set_limits(self.limits())?;
                decoder.into_frames().nth(1).transpose()?.is_some()
            }
            _ => false,
        })
    }
}

/// Whether this kind of file is read here. Other crates of a program may have turned on more.
fn is_read(format: ImageFormat) -> bool {
    use ImageFormat::{Bmp, Gif, Jpeg, Png, Tiff, WebP};
    matches!(format, Png | Jpeg | WebP | Gif | Bmp | Tiff)
}
