//! Pictures out: pixels, and the settings that made them.

use std::borrow::Cow;
use std::fs::File;
use std::io::BufReader;
use std::path::Path;

use hart_core::{Error, Result, write_atomically};
use serde::{Deserialize, Serialize};

/// The keyword of the PNG text chunk that holds the settings as JSON.
const KEYWORD: &str = "hart";

/// A picture with the settings that made it.
#[derive(Debug, Clone, PartialEq)]
pub struct Image {
    width: usize,
    height: usize,
    pixels: Vec<u8>,
    settings: ImageSettings,
}

/// Everything that made a picture: with the same weights these settings make it again.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
pub struct ImageSettings {
    /// The prompt, whole even where the model saw only its beginning.
    pub prompt: String,
    /// The seed.
    pub seed: u64,
    /// Classifier-free guidance.
    pub guidance: f64,
    /// Codes kept for sampling; `None` for the release's 600 and 300.
    pub top_k: Option<usize>,
    /// Nucleus sampling; 0 for none.
    pub top_p: f64,
    /// Whether codes were mixed instead of chosen.
    pub smooth: bool,
    /// Masked passes over the last scale.
    pub mask_passes: usize,
    /// Steps of the residual diffusion; `None` without a residual.
    pub diffusion_steps: Option<String>,
    /// Factor of the noise of every diffusion step.
    pub temperature: f64,
    /// Element type of the weights: `f32`, `bf16` or `f16`.
    pub precision: String,
    /// Name of the model's folder.
    pub model: String,
    /// Name and version of the program.
    pub software: String,
}

impl Image {
    /// The same picture, each side `factor` times as long, by bicubic interpolation. The settings
    /// stay those that made it.
    pub fn enlarged(&self, factor: usize) -> Self {
        if factor <= 1 {
            return self.clone();
        }
        let (width, height) = (self.width * factor, self.height * factor);
        let rows = enlarge_rows(&self.pixels, self.width, factor);
        // Columns are the rows of the transposed picture.
        let turned = transpose(&rows, width, self.height);
        let turned = enlarge_rows(&turned, self.height, factor);
        let pixels = transpose(&turned, height, width);
        Self { width, height, pixels, settings: self.settings.clone() }
    }

    /// Wraps `[height, width, 3]` bytes.
    pub(crate) fn new(
        width: usize,
        height: usize,
        pixels: Vec<u8>,
        settings: ImageSettings,
    ) -> Self {
        debug_assert_eq!(pixels.len(), width * height * 3);
        Self { width, height, pixels, settings }
    }

    /// Width in pixels.
    pub fn width(&self) -> usize {
        self.width
    }

    /// Height in pixels.
    pub fn height(&self) -> usize {
        self.height
    }

    /// Red, green and blue bytes, row by row: `[height, width, 3]`.
    pub fn pixels(&self) -> &[u8] {
        &self.pixels
    }

    /// What made the picture.
    pub fn settings(&self) -> &ImageSettings {
        &self.settings
    }

    /// The picture as a PNG file with its settings in text chunks. Equal pictures give equal bytes.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the picture cannot be encoded.
    pub fn to_png(&self) -> Result<Vec<u8>> {
        encode(self.width, self.height, &self.pixels, Some(&self.settings))
            .map_err(|error| Error::invalid("the picture", error, "one that fits a PNG file"))
    }

    /// Writes the picture as a PNG file with its settings in text chunks. The file is complete or
    /// not there at all.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be written.
    pub fn save(&self, path: impl AsRef<Path>) -> Result<()> {
        write_atomically(path, &self.to_png()?)
    }
}

impl ImageSettings {
    /// Reads back the settings that a picture was saved with.
    ///
    /// # Errors
    /// [`Error::Io`] when the file cannot be read, [`Error::Malformed`] when it is no PNG file or
    /// has no settings of ours.
    pub fn read(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        let limits = png::Limits { bytes: 64 << 20 };
        let decoder = png::Decoder::new_with_limits(BufReader::new(file), limits);
        let reader = decoder
            .read_info()
            .map_err(|error| Error::malformed(path, format!("not a readable PNG file: {error}")))?;
        let chunk = reader.info().utf8_text.iter().find(|chunk| chunk.keyword == KEYWORD);
        let chunk = chunk.ok_or_else(|| Error::malformed(path, "it has no settings of HART"))?;
        let text = chunk.get_text();
        let text =
            text.map_err(|error| Error::malformed(path, format!("its settings: {error}")))?;
        serde_json::from_str(&text)
            .map_err(|error| Error::malformed(path, format!("its settings: {error}")))
    }
}

/// Several pictures of equal size side by side in a nearly square grid, on a white ground: width,
/// height and pixels.
///
/// # Errors
/// [`Error::Invalid`] when there are none, or their sizes differ.
pub fn grid(images: &[Image]) -> Result<(usize, usize, Vec<u8>)> {
    let size = images.first().map(|image| (image.width, image.height));
    let Some((width, height)) = size else {
        return Err(Error::invalid("the number of pictures of a grid", 0, "at least one"));
    };
    if let Some(other) = images.iter().find(|image| (image.width, image.height) != (width, height))
    {
        let found = format!("{} × {}", other.width, other.height);
        return Err(Error::invalid("a picture of the grid", found, format!("{width} × {height}")));
    }
    let columns = (1..).find(|n| n * n >= images.len()).unwrap_or(1);
    let rows = images.len().div_ceil(columns);
    let stride = columns * width * 3;
    let mut pixels = vec![255; rows * height * stride];
    for (i, image) in images.iter().enumerate() {
        let corner = i / columns * height * stride + i % columns * width * 3;
        for (y, row) in image.pixels.chunks_exact(width * 3).enumerate() {
            pixels[corner + y * stride..][..width * 3].copy_from_slice(row);
        }
    }
    Ok((columns * width, rows * height, pixels))
}

/// Writes `[height, width, 3]` bytes as a PNG file without settings.
///
/// # Errors
/// [`Error::Io`] when the file cannot be written, [`Error::Invalid`] when the sizes do not fit.
pub fn save_pixels(
    path: impl AsRef<Path>,
    width: usize,
    height: usize,
    pixels: &[u8],
) -> Result<()> {
    let png = encode(width, height, pixels, None)
        .map_err(|error| Error::invalid("the picture", error, "one that fits a PNG file"))?;
    write_atomically(path, &png)
}

/// Decoded values as bytes: clamped to [-1, 1], moved to [0, 1] and truncated as in the release
/// (section 4.5), from `[3, height, width]` planes to `[height, width, 3]`.
///
/// # Errors
/// [`Error::NonFinite`] when a value is NaN or infinite.
pub fn to_bytes(planes: &[f32]) -> Result<Vec<u8>> {
    // Looked at before clamping, which would hide an infinity.
    if !planes.iter().all(|value| value.is_finite()) {
        return Err(Error::NonFinite { what: "the picture".to_string() });
    }
    let byte = |value: f32| ((value.clamp(-1.0, 1.0) + 1.0) / 2.0 * 255.0) as u8;
    let size = planes.len() / 3;
    let pixel = |i: usize| [0, 1, 2].map(|channel| byte(planes[channel * size + i]));
    Ok((0..size).flat_map(pixel).collect())
}

fn encode(
    width: usize,
    height: usize,
    pixels: &[u8],
    settings: Option<&ImageSettings>,
) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = vec![];
    let mut encoder = png::Encoder::new(&mut bytes, width as u32, height as u32);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(settings) = settings {
        encoder.add_itxt_chunk("Software".into(), settings.software.clone())?;
        encoder.add_itxt_chunk("Description".into(), without_nul(&settings.prompt).into_owned())?;
        let json = serde_json::to_string(settings).expect("settings are plain values");
        encoder.add_itxt_chunk(KEYWORD.into(), json)?;
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels)?;
    writer.finish()?;
    Ok(bytes)
}

/// A PNG text chunk ends at a NUL; JSON escapes them, the plain description cannot.
fn without_nul(text: &str) -> Cow<'_, str> {
    if text.contains('\0') { text.replace('\0', "").into() } else { text.into() }
}

/// Every row of `[rows, width, 3]` bytes `factor` times as long (Catmull-Rom, border repeated).
fn enlarge_rows(pixels: &[u8], width: usize, factor: usize) -> Vec<u8> {
    let weights: Vec<(isize, [f32; 4])> = (0..factor)
        .map(|i| {
            let at = (i as f32 + 0.5) / factor as f32 - 0.5;
            let t = at - at.floor();
            let (t2, t3) = (t * t, t * t * t);
            let weights = [
                (-t3 + 2.0 * t2 - t) / 2.0,
                (3.0 * t3 - 5.0 * t2 + 2.0) / 2.0,
                (-3.0 * t3 + 4.0 * t2 + t) / 2.0,
                (t3 - t2) / 2.0,
            ];
            (at.floor() as isize - 1, weights)
        })
        .collect();
    let mut enlarged = Vec::with_capacity(pixels.len() * factor);
    for row in pixels.chunks_exact(width * 3) {
        for x in 0..width * factor {
            let (first, weights) = weights[x % factor];
            for channel in 0..3 {
                let tap = |(offset, weight): (usize, &f32)| {
                    let at = (x / factor) as isize + first + offset as isize;
                    let at = at.clamp(0, width as isize - 1) as usize;
                    weight * f32::from(row[at * 3 + channel])
                };
                let value: f32 = weights.iter().enumerate().map(tap).sum();
                enlarged.push(value.round().clamp(0.0, 255.0) as u8);
            }
        }
    }
    enlarged
}

/// `[height, width, 3]` bytes to `[width, height, 3]`.
fn transpose(pixels: &[u8], width: usize, height: usize) -> Vec<u8> {
    let pixel = |x: usize, y: usize| &pixels[(y * width + x) * 3..][..3];
    (0..width).flat_map(|x| (0..height).flat_map(move |y| pixel(x, y))).copied().collect()
}

#[cfg(test)]
mod tests {
    use super::{enlarge_rows, transpose};

    #[test]
    fn enlarging_keeps_plain_areas_and_turns_edges_into_ramps() {
        let row = [10, 20, 30, 10, 20, 30, 210, 220, 230, 210, 220, 230];
        let enlarged = enlarge_rows(&row, 4, 3);
        assert_eq!(enlarged.len(), 4 * 3 * 3);
        assert_eq!(enlarged[..3], [10, 20, 30]);
        assert_eq!(enlarged[33..], [210, 220, 230]);
        let reds: Vec<u8> = enlarged.chunks_exact(3).map(|pixel| pixel[0]).collect();
        assert!(reds[4] < reds[5] && reds[5] < reds[6] && reds[6] < reds[7], "{reds:?}");
    }

    #[test]
    fn transposing_twice_changes_nothing() {
        let pixels: Vec<u8> = (0..2 * 5 * 3).collect();
        assert_eq!(transpose(&transpose(&pixels, 5, 2), 2, 5), pixels);
    }
}
