//! Files that were cut off or changed on their way.

use hart_pipeline::image::ReadOptions;
use image::ImageFormat;

use super::{LOSSLESS, file, read, refused, sample};

#[test]
fn a_file_that_is_cut_off_is_an_error() {
    for format in LOSSLESS.into_iter().chain([ImageFormat::Jpeg]) {
        let whole = file(sample(), format);
        let pixels = read(&whole);
        for length in 0..whole.len() {
            match ReadOptions::default().decode("cut", &whole[..length]) {
                Err(_) => {}
                // What was lost came after the pixels.
                Ok(cut) => assert!(cut.pixels == pixels, "{format:?}: {length} bytes"),
            }
        }
    }
    let jpeg = file(sample(), ImageFormat::Jpeg);
    let reason = refused(&jpeg[..jpeg.len() - 2]);
    assert!(reason.contains("cut off: the file ends after"), "{reason}");
}
