//! Image files as people have them.

mod broken;
mod kinds;
mod settings;

use std::io::Cursor;

use hart_pipeline::Pixels;
use hart_pipeline::image::ReadOptions;
use image::{DynamicImage, ExtendedColorType, ImageEncoder, ImageFormat, Rgb, RgbImage};

/// An image without any symmetry, of colours that GIF's palette holds.
fn sample() -> RgbImage {
    RgbImage::from_fn(6, 4, |x, y| {
        Rgb([40 * x as u8, 60 * y as u8, if x > 3 * y { 255 } else { 0 }])
    })
}

/// A file of one of the formats that are read.
fn file(image: impl Into<DynamicImage>, format: ImageFormat) -> Vec<u8> {
    let mut file = Cursor::new(vec![]);
    image.into().write_to(&mut file, format).expect("an image file");
    file.into_inner()
}

/// The formats that keep every pixel.
const LOSSLESS: [ImageFormat; 5] =
    [ImageFormat::Png, ImageFormat::WebP, ImageFormat::Gif, ImageFormat::Bmp, ImageFormat::Tiff];

/// What is read of a file, whatever it is called.
fn read(file: &[u8]) -> Pixels {
    ReadOptions::default().decode("photo.of.something", file).expect("an image").pixels
}

/// The reason why a file is not read.
fn refused(file: &[u8]) -> String {
    let error = ReadOptions::default().decode("photo.jpg", file).expect_err("no image");
    error.to_string()
}

/// A file with an EXIF block.
fn with_exif(mut encoder: impl ImageEncoder, image: &RgbImage, block: Vec<u8>) {
    encoder.set_exif_metadata(block).expect("room for EXIF");
    let (width, height) = image.dimensions();
    encoder.write_image(image, width, height, ExtendedColorType::Rgb8).expect("an image file");
}
