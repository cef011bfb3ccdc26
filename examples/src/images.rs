//! Images of the pipeline as those of the `image` crate, and the other way round.

use anyhow::Context;
use hart_pipeline::{Image, Pixels};
use image::RgbImage;
use image::imageops::{FilterType, resize};

/// The same image, each side `factor` times as long, by Catmull-Rom interpolation. Its settings
/// say so.
///
/// # Errors
/// When the image would have no pixels: never for one that was made.
pub fn enlarge(image: &Image, factor: u32) -> anyhow::Result<Image> {
    if factor <= 1 {
        return Ok(image.clone());
    }
    let small = to_rgb(image.pixels())?;
    let (width, height) = (small.width() * factor, small.height() * factor);
    let mut settings = image.settings().clone();
    settings.enlarged *= factor;
    Ok(Image::new(from_rgb(resize(&small, width, height, FilterType::CatmullRom))?, settings))
}

/// Pixels as an image of the `image` crate.
///
/// # Errors
/// When there are more than it can hold.
pub fn to_rgb(pixels: &Pixels) -> anyhow::Result<RgbImage> {
    let (width, height) = (u32::try_from(pixels.width())?, u32::try_from(pixels.height())?);
    RgbImage::from_raw(width, height, pixels.rgb().to_vec()).context("three bytes a pixel")
}

/// The pixels of an image of the `image` crate.
///
/// # Errors
/// When it has none.
pub fn from_rgb(image: RgbImage) -> anyhow::Result<Pixels> {
    let (width, height) = (image.width() as usize, image.height() as usize);
    Ok(Pixels::new(width, height, image.into_raw())?)
}
