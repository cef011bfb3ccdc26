//! Images in other sizes.

use hart_pipeline::{Image, Result};
use image::RgbImage;
use image::imageops::{FilterType, resize};

/// The same image, each side `factor` times as long, by Catmull-Rom interpolation. Its settings
/// say so.
///
/// # Errors
/// When the image would have no pixels: never for one that was made.
pub fn enlarge(image: &Image, factor: u32) -> Result<Image> {
    if factor <= 1 {
        return Ok(image.clone());
    }
    let small = RgbImage::try_from(image.pixels())?;
    let (width, height) = (small.width() * factor, small.height() * factor);
    let mut settings = image.settings().clone();
    settings.enlarged *= factor;
    let large = resize(&small, width, height, FilterType::CatmullRom).try_into()?;
    Ok(Image::new(large, settings))
}
