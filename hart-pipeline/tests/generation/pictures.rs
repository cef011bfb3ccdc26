//! What is reported on the way, and what is saved with a picture.

use std::ops::ControlFlow;

use hart_pipeline::backend::DefaultBackend;
use hart_pipeline::image::grid;
use hart_pipeline::{Error, Event, ImageSettings, Request};
use proptest::prelude::*;

use crate::{HEART, PIPELINE, heart};

#[test]
fn every_scale_is_reported_with_a_latent_to_preview() {
    let mut sides = vec![];
    let mut last = vec![];
    let request = heart();
    let images = PIPELINE.generate_with(&request, &mut |event: Event<'_, DefaultBackend>| {
        if let Event::Scale { side, latent, .. } = event {
            sides.push(side);
            last = PIPELINE.preview(latent).expect("a preview");
        }
        ControlFlow::Continue(())
    });
    let images = images.expect("a picture");
    assert_eq!(sides, [1, 2, 3, 5, 8]);
    // The latent of the last scale is that of the picture.
    assert_eq!(last[0].1, images[0].pixels());
}

#[test]
fn any_text_is_a_prompt() {
    let prompts =
        ["\u{0}", "a\u{7}\u{1b}[31m", "日本語 العربية हिन्दी", "\u{202e}x", "a\r\n\"b\"", "👩‍👩‍👧"];
    for image in PIPELINE.generate(&Request::batch(prompts)).expect("pictures") {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        image.save(file.path()).expect("saved");
        assert_eq!(&ImageSettings::read(file.path()).expect("settings"), image.settings());
    }
}

#[test]
fn an_unwritable_place_is_an_error_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = &PIPELINE.generate(&heart()).expect("a picture")[0];
    let path = folder.path().join("missing/heart.png");
    assert!(matches!(image.save(&path), Err(Error::Io { .. })));
    assert!(matches!(image.save(folder.path()), Err(Error::Io { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn pictures_of_a_grid_keep_their_places() {
    let images = PIPELINE.generate(&Request::new("a").count(3)).expect("pictures");
    let (width, height, pixels) = grid(&images).expect("a grid");
    assert_eq!((width, height), (64, 64));
    let row = |x: usize, y: usize| &pixels[(y * width + x) * 3..][..32 * 3];
    assert_eq!(row(32, 5), &images[1].pixels()[5 * 96..6 * 96]);
    assert_eq!(row(0, 37), &images[2].pixels()[5 * 96..6 * 96]);
    assert!(row(32, 40).iter().all(|&byte| byte == 255));
    assert!(grid(&[]).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn no_bytes_make_the_reader_of_settings_panic(
        at in any::<prop::sample::Index>(),
        value in any::<u8>(),
        length in any::<prop::sample::Index>(),
    ) {
        let mut bytes = HEART.clone();
        let at = at.index(bytes.len());
        bytes[at] = value;
        bytes.truncate(length.index(bytes.len()) + 1);
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        std::fs::write(file.path(), bytes).expect("written");
        let _ = ImageSettings::read(file.path());
    }
}

#[test]
fn a_file_without_settings_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    hart_pipeline::image::save_pixels(file.path(), 1, 1, &[1, 2, 3]).expect("saved");
    assert!(matches!(ImageSettings::read(file.path()), Err(Error::Malformed { .. })));
    std::fs::write(file.path(), b"text").expect("written");
    assert!(matches!(ImageSettings::read(file.path()), Err(Error::Malformed { .. })));
}
