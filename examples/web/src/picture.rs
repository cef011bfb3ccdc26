//! A finished image; pixels and masks as JavaScript has them: four bytes a pixel, as in `ImageData`.

use hart_pipeline::edit::Mask;
use hart_pipeline::{Error, Image, Pixels, Result};
use wasm_bindgen::prelude::wasm_bindgen;

/// A finished image.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Picture {
    png: Vec<u8>,
    rgba: Vec<u8>,
    width: usize,
    height: usize,
    settings: String,
}

impl Picture {
    /// # Errors
    /// Those of [`Image::to_png`].
    pub(crate) fn new(image: &Image) -> Result<Self> {
        let settings = serde_json::to_string(image.settings());
        Ok(Self {
            png: image.to_png()?,
            rgba: to_rgba(image.pixels()),
            width: image.width(),
            height: image.height(),
            settings: settings.map_err(|error| Error::invalid("the settings", error, "JSON"))?,
        })
    }
}

#[wasm_bindgen]
impl Picture {
    /// The PNG file, with the settings in it.
    #[wasm_bindgen(getter)]
    pub fn png(&self) -> Vec<u8> {
        self.png.clone()
    }

    /// The pixels, `[height, width, 4]`.
    #[wasm_bindgen(getter)]
    pub fn rgba(&self) -> Vec<u8> {
        self.rgba.clone()
    }

    /// Width in pixels.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.height
    }

    /// The settings that made it, as JSON.
    #[wasm_bindgen(getter)]
    pub fn settings(&self) -> String {
        self.settings.clone()
    }
}

/// Pixels with an opaque fourth byte.
pub(crate) fn to_rgba(pixels: &Pixels) -> Vec<u8> {
    pixels.rgb().chunks_exact(3).flat_map(|pixel| [pixel[0], pixel[1], pixel[2], 255]).collect()
}

/// Pixels without their fourth byte; what is transparent lies on white.
///
/// # Errors
/// [`Error::Invalid`] for another number of bytes.
pub(crate) fn from_rgba(width: usize, height: usize, rgba: &[u8]) -> Result<Pixels> {
    check_size("the image", width, height, rgba)?;
    let on_white = |pixel: &[u8]| {
        let [red, green, blue, alpha] = [pixel[0], pixel[1], pixel[2], pixel[3]].map(u32::from);
        [red, green, blue].map(|value| ((value * alpha + 255 * (255 - alpha) + 127) / 255) as u8)
    };
    Pixels::new(width, height, rgba.chunks_exact(4).flat_map(on_white).collect())
}

/// The mask of an image: pixels whose fourth byte is above half are marked.
///
/// # Errors
/// [`Error::Invalid`] for another number of bytes.
pub(crate) fn mask(width: usize, height: usize, rgba: &[u8]) -> Result<Mask> {
    check_size("the mask", width, height, rgba)?;
    let mut mask = Mask::empty(width, height);
    for (place, pixel) in rgba.chunks_exact(4).enumerate() {
        if pixel[3] > 127 {
            mask.mark(place % width, place / width, 1, 1);
        }
    }
    Ok(mask)
}

fn check_size(what: &str, width: usize, height: usize, rgba: &[u8]) -> Result<()> {
    let bytes = width.checked_mul(height).and_then(|pixels| pixels.checked_mul(4));
    if bytes == Some(rgba.len()) && !rgba.is_empty() {
        return Ok(());
    }
    let expected = format!("{width} × {height} × 4 bytes, at least one pixel");
    Err(Error::invalid(what, format!("{} bytes", rgba.len()), expected))
}
