//! What is reported on the way, and how images are written.

use std::ops::ControlFlow;

use hart_pipeline::image::grid;
use hart_pipeline::{Error, Event, Grid, ImageSettings, Pixels, Request};

use crate::{PIPELINE, heart};

#[test]
fn every_scale_is_reported_and_can_be_previewed() {
    let mut grids = vec![];
    let mut last = vec![];
    let outcomes = PIPELINE.generate_with(&heart(), &mut |event: Event<'_>| {
        if let Event::Scale(done) = event {
            grids.push(done.grid);
            assert_eq!((done.images, done.scales), (&[0][..], 5));
            last = done.preview().expect("a preview");
            assert!(matches!(done.preview_of(1), Err(Error::Invalid { .. })));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(grids, [1, 2, 3, 5, 8].map(Grid::square));
    // The latent of the last scale is that of the image.
    let outcomes = outcomes.expect("outcomes");
    assert_eq!(&last[0], outcomes[0].image().expect("an image").pixels());
}

#[test]
fn any_text_is_a_prompt() {
    let prompts =
        ["\u{0}", "a\u{7}\u{1b}[31m", "日本語 العربية हिन्दी", "\u{202e}x", "a\r\n\"b\"", "👩‍👩‍👧"];
    for image in PIPELINE.generate(&Request::batch(prompts)).expect("images") {
        let file = tempfile::NamedTempFile::new().expect("a temporary file");
        image.save(file.path()).expect("saved");
        assert_eq!(&ImageSettings::read(file.path()).expect("settings"), image.settings());
    }
}

#[test]
fn an_unwritable_place_is_an_error_and_nothing_is_written() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let image = &PIPELINE.generate(&heart()).expect("an image")[0];
    let path = folder.path().join("missing/heart.png");
    assert!(matches!(image.save(&path), Err(Error::Io { .. })));
    assert!(matches!(image.save(folder.path()), Err(Error::Io { .. })));
    assert_eq!(std::fs::read_dir(folder.path()).expect("a folder").count(), 0);
}

#[test]
fn images_of_a_grid_keep_their_places() {
    let images = PIPELINE.generate(&Request::new("a").count(3)).expect("images");
    let pixels: Vec<Pixels> = images.iter().map(|image| image.pixels().clone()).collect();
    let together = grid(&pixels).expect("a grid");
    assert_eq!((together.width(), together.height()), (64, 64));
    for x in 0..32 {
        assert_eq!(together.at(32 + x, 5), pixels[1].at(x, 5));
        assert_eq!(together.at(x, 37), pixels[2].at(x, 5));
        assert_eq!(together.at(32 + x, 40), [255; 3]);
    }
    assert!(grid(&[]).is_err());
    assert!(grid(&[pixels[0].clone(), Pixels::new(1, 1, vec![0; 3]).expect("a pixel")]).is_err());
}

#[test]
fn pixels_of_another_size_are_refused() {
    for (width, height, bytes) in [(2, 2, 11), (0, 0, 0), (0, 5, 0), (usize::MAX, usize::MAX, 3)] {
        assert!(Pixels::new(width, height, vec![0; bytes]).is_err(), "{width} × {height}");
    }
}

#[test]
fn a_file_without_settings_is_refused() {
    let file = tempfile::NamedTempFile::new().expect("a temporary file");
    let pixel = Pixels::new(1, 1, vec![1, 2, 3]).expect("a pixel");
    pixel.save(file.path()).expect("saved");
    assert!(matches!(ImageSettings::read(file.path()), Err(Error::Malformed { .. })));
    std::fs::write(file.path(), b"text").expect("written");
    assert!(matches!(ImageSettings::read(file.path()), Err(Error::Malformed { .. })));
}
