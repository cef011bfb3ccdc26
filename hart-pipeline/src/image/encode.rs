//! Pixels and texts as the bytes of a file.

use hart_core::{Error, Result};

use super::{FileFormat, Pixels};

/// The texts that a file carries beside its pixels.
#[derive(Debug, Clone, Default)]
pub(super) struct Texts {
    /// Name and version of the library.
    pub software: String,
    /// What a person reads.
    pub description: String,
    /// What [`super::ImageSettings`] reads: a keyword and its JSON.
    pub settings: (&'static str, String),
}

/// The bytes of a file. Equal pixels and texts give equal bytes.
///
/// # Errors
/// [`Error::Invalid`] when the pixels or the texts do not fit the format.
pub(super) fn encode(
    pixels: &Pixels,
    texts: Option<&Texts>,
    format: FileFormat,
) -> Result<Vec<u8>> {
    let encoded = match format {
        FileFormat::Png => png(pixels, texts).map_err(|error| error.to_string()),
        #[cfg(feature = "images")]
        FileFormat::Jpeg => with_exif::jpeg(pixels, texts),
        #[cfg(feature = "images")]
        FileFormat::WebP => with_exif::webp(pixels, texts),
    };
    encoded.map_err(|error| {
        Error::invalid("the image", error, format!("one that fits a {format} file"))
    })
}

fn png(pixels: &Pixels, texts: Option<&Texts>) -> Result<Vec<u8>, png::EncodingError> {
    let mut bytes = vec![];
    let (width, height) = (pixels.width() as u32, pixels.height() as u32);
    let mut encoder = png::Encoder::new(&mut bytes, width, height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    if let Some(Texts { software, description, settings: (keyword, settings) }) = texts {
        // A text chunk ends at a NUL; JSON escapes them, the plain texts cannot.
        for (keyword, text) in
            [("Software", software), ("Description", description), (keyword, settings)]
        {
            encoder.add_itxt_chunk(keyword.to_string(), text.replace('\0', ""))?;
        }
    }
    let mut writer = encoder.write_header()?;
    writer.write_image_data(pixels.rgb())?;
    writer.finish()?;
    Ok(bytes)
}

#[cfg(feature = "images")]
mod with_exif {
    use image::codecs::jpeg::JpegEncoder;
    use image::codecs::webp::WebPEncoder;
    use image::{ExtendedColorType, ImageEncoder};

    use super::{Pixels, Texts};
    use crate::image::exif;

    /// Of 100.
    const JPEG_QUALITY: u8 = 95;

    pub(super) fn jpeg(pixels: &Pixels, texts: Option<&Texts>) -> Result<Vec<u8>, String> {
        let mut bytes = vec![];
        write(JpegEncoder::new_with_quality(&mut bytes, JPEG_QUALITY), pixels, texts)?;
        Ok(bytes)
    }

    pub(super) fn webp(pixels: &Pixels, texts: Option<&Texts>) -> Result<Vec<u8>, String> {
        let mut bytes = vec![];
        write(WebPEncoder::new_lossless(&mut bytes), pixels, texts)?;
        Ok(bytes)
    }

    fn write(
        mut encoder: impl ImageEncoder,
        pixels: &Pixels,
        texts: Option<&Texts>,
    ) -> Result<(), String> {
        if let Some(texts) = texts {
            let block = exif::write(texts)?;
            encoder.set_exif_metadata(block).map_err(|error| error.to_string())?;
        }
        let (width, height) = (pixels.width() as u32, pixels.height() as u32);
        let written = encoder.write_image(pixels.rgb(), width, height, ExtendedColorType::Rgb8);
        written.map_err(|error| error.to_string())
    }
}
