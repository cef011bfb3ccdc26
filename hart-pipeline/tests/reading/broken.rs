//! Files that were cut off or changed on their way.

use hart_pipeline::image::ReadOptions;
use image::ImageFormat;
use proptest::prelude::*;

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

proptest! {
    #![proptest_config(ProptestConfig::with_cases(2000))]

    #[test]
    fn changed_bytes_are_no_reason_to_panic(
        format in prop::sample::select(&[
            ImageFormat::Png, ImageFormat::Jpeg, ImageFormat::WebP, ImageFormat::Gif,
            ImageFormat::Bmp, ImageFormat::Tiff,
        ][..]),
        changes in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..8),
    ) {
        let mut bytes = file(sample(), format);
        for (place, value) in changes {
            let place = place.index(bytes.len());
            bytes[place] = value;
        }
        let small = ReadOptions::default().max_pixels(1 << 16);
        if let Ok(read) = small.decode("changed", &bytes) {
            prop_assert!(read.pixels.width() * read.pixels.height() <= 1 << 16);
        }
    }
}
