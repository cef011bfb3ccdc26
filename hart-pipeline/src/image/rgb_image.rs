//! Pixels as an image of the `image` crate, version 0.25, and the other way round.

use hart_core::{Error, Result};
use image::RgbImage;

use super::Pixels;

/// ```
/// use hart_pipeline::Pixels;
/// use image::RgbImage;
///
/// let image = RgbImage::from_pixel(2, 1, image::Rgb([255, 0, 0]));
/// let pixels = Pixels::try_from(image.clone())?;
/// assert_eq!(RgbImage::try_from(&pixels)?, image);
/// # Ok::<(), hart_pipeline::Error>(())
/// ```
impl TryFrom<RgbImage> for Pixels {
    type Error = Error;

    /// # Errors
    /// [`Error::Invalid`] for an image without pixels.
    fn try_from(image: RgbImage) -> Result<Self> {
        let (width, height) = (image.width() as usize, image.height() as usize);
        Self::new(width, height, image.into_raw())
    }
}

impl TryFrom<Pixels> for RgbImage {
    type Error = Error;

    /// # Errors
    /// [`Error::Invalid`] for a side of 2³² pixels or more.
    fn try_from(pixels: Pixels) -> Result<Self> {
        let side = |side: usize| {
            let fits = u32::try_from(side);
            fits.map_err(|_| Error::invalid("the side of an image", side, "below 2³² pixels"))
        };
        let (width, height) = (side(pixels.width())?, side(pixels.height())?);
        let (found, expected) = (pixels.rgb().len(), format!("{width} × {height} × 3 bytes"));
        let image = Self::from_raw(width, height, pixels.into_rgb());
        image.ok_or_else(|| Error::invalid("the pixels", format!("{found} bytes"), expected))
    }
}

impl TryFrom<&Pixels> for RgbImage {
    type Error = Error;

    /// # Errors
    /// As for pixels that are handed over.
    fn try_from(pixels: &Pixels) -> Result<Self> {
        pixels.clone().try_into()
    }
}
