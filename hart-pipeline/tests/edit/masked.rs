//! Inpainting and outpainting.

use std::ops::ControlFlow;

use hart_pipeline::edit::{Edit, Mask, MaskFrom};
use hart_pipeline::image::ReadOptions;
use hart_pipeline::{Error, Event, ImageSettings, Pixels, Request};
use image::{Rgba, RgbaImage};

use crate::{HEART, PIPELINE, difference, made, noise, side};

fn rectangle(image: &Pixels, [x, y, width, height]: [usize; 4]) -> Mask {
    let mut mask = Mask::empty(image.width(), image.height());
    mask.mark(x, y, width, height);
    mask
}

fn edited(edit: &Edit) -> Pixels {
    PIPELINE.edit(edit).expect("an edited image")[0].pixels().clone()
}

/// Asserts that all pixels that are not marked are those of the source.
fn assert_kept(edited: &Pixels, source: &Pixels, mask: &Mask) {
    assert_eq!((edited.width(), edited.height()), (source.width(), source.height()));
    for y in 0..source.height() {
        for x in 0..source.width() {
            if !mask.is_marked(x, y) {
                assert_eq!(edited.at(x, y), source.at(x, y), "pixel ({x}, {y})");
            }
        }
    }
}

#[test]
fn what_is_not_marked_stays_bit_for_bit() {
    let side = side();
    for (width, height, marked) in [
        (side, side, [side / 4, side / 4, side / 2, side / 2]),
        (200, 120, [150, 40, 30, 50]),
        (17, 90, [0, 0, 5, 90]),
        (1, 40, [0, 10, 1, 9]),
    ] {
        let source = noise(width, height);
        let mask = rectangle(&source, marked);
        for prompt in [Some("a green apple, flat style"), None] {
            let mut edit = Edit::inpaint(source.clone(), mask.clone()).seed(3);
            if let Some(prompt) = prompt {
                edit = edit.prompt(prompt);
            }
            let edited = edited(&edit);
            assert_kept(&edited, &source, &mask);
            assert_ne!(edited, source, "{width} × {height}: nothing is new");
        }
    }
}

#[test]
fn a_full_mask_is_an_image_of_the_prompt() {
    let mask = rectangle(&HEART, [0, 0, side(), side()]);
    let edit = Edit::inpaint(HEART.clone(), mask).prompt("a green apple, flat style").seed(11);
    assert_eq!(edited(&edit), made("a green apple, flat style", 11));
}

#[test]
fn the_seam_goes_from_the_source_to_what_is_new() {
    let side = side();
    let source = noise(side, side);
    let mask = rectangle(&source, [8, 0, side - 8, side]);
    let edit = Edit::inpaint(source.clone(), mask).prompt("a green apple, flat style");
    let [hard, soft] = [0, 3].map(|seam| edited(&edit.clone().seam(seam)));
    for y in 0..side {
        for (x, share) in [(8, 0.25), (9, 0.5), (10, 0.75), (11, 1.0)] {
            for channel in 0..3 {
                let [old, new] = [&source, &hard].map(|image| f64::from(image.at(x, y)[channel]));
                let expected = old + (new - old) * share;
                let found = f64::from(soft.at(x, y)[channel]);
                assert!((found - expected).abs() <= 0.51, "({x}, {y}): {found}, not {expected}");
            }
        }
    }
}

#[test]
fn a_small_hole_is_filled_with_what_was_there() {
    // A corner of a white background: what is around it says what belongs there.
    let mask = rectangle(&HEART, [0, 0, side() / 8, side() / 8]);
    let edit = Edit::inpaint(HEART.clone(), mask).prompt("a red heart, flat style");
    let filled = edited(&edit);
    assert!(difference(&filled, &HEART) < 0.5, "{}", difference(&filled, &HEART));
}

#[test]
fn seeds_give_different_results_and_the_same_one_again() {
    let mask = rectangle(&HEART, [0, 0, side(), side() / 2]);
    let edit = Edit::inpaint(HEART.clone(), mask).prompt("a green apple, flat style").count(2);
    let (first, again) = (PIPELINE.edit(&edit).expect("images"), PIPELINE.edit(&edit));
    assert_eq!(first, again.expect("images"));
    assert_ne!(first[0].pixels(), first[1].pixels());
    assert_eq!(edited(&edit.clone().count(1).seed(1)), *first[1].pixels());
}

#[test]
fn an_image_is_continued_on_a_canvas() {
    let side = side();
    let canvas = [side + 16, side + 8];
    let edit = Edit::outpaint(HEART.clone(), canvas, [10, 4]).expect("a canvas");
    let images = PIPELINE.edit(&edit.prompt("a red heart, flat style")).expect("an image");
    let pixels = images[0].pixels();
    assert_eq!([pixels.width(), pixels.height()], canvas);
    for y in 0..side {
        for x in 0..side {
            assert_eq!(pixels.at(x + 10, y + 4), HEART.at(x, y));
        }
    }
    let wrong =
        [([side, side], [0, 0]), ([side + 8, side], [9, 0]), ([side - 1, side + 18], [0, 0])];
    for (canvas, place) in wrong {
        let refused = Edit::outpaint(HEART.clone(), canvas, place).map(|_| ());
        assert!(matches!(refused, Err(Error::Invalid { .. })), "{canvas:?} at {place:?}");
    }
}

#[test]
fn masks_that_do_not_fit_or_mark_nothing_are_refused() {
    let refused = |mask| {
        let edit = Edit::inpaint(HEART.clone(), mask).prompt("a cat, flat style");
        PIPELINE.edit(&edit).expect_err("a mask that does not fit").to_string()
    };
    let side = side();
    let reason = refused(Mask::empty(side / 2, side));
    let sizes = [format!("{} × {side}", side / 2), format!("{side} × {side}")];
    assert!(sizes.iter().all(|size| reason.contains(size)), "{reason}");
    let reason = refused(Mask::empty(side, side));
    assert!(reason.contains("no marked pixel"), "{reason}");
}

#[test]
fn masks_are_white_or_erased() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("mask.png");
    // White, nearly white, black, and white that is half and nearly wholly erased.
    let pixels = [
        [255, 255, 255, 255],
        [250, 255, 252, 255],
        [0, 0, 0, 255],
        [255, 255, 255, 128],
        [255, 255, 255, 3],
    ];
    let image = RgbaImage::from_fn(5, 1, |x, _| Rgba(pixels[x as usize]));
    image.save(&path).expect("a mask");
    let marked = |from| {
        let mask = Mask::read(&path, from, ReadOptions::default()).expect("a mask");
        (0..5).map(|x| mask.is_marked(x, 0)).collect::<Vec<_>>()
    };
    assert_eq!(marked(MaskFrom::White { tolerance: 0 }), [true, false, false, false, false]);
    assert_eq!(marked(MaskFrom::White { tolerance: 5 }), [true, true, false, false, false]);
    let erased = |tolerance| marked(MaskFrom::Transparency { tolerance });
    assert_eq!(erased(3), [false, false, false, false, true]);
    assert_eq!(erased(128), [false, false, false, true, true]);
    let none = MaskFrom::Transparency { tolerance: 0 };
    let error = Mask::read(&path, none, ReadOptions::default()).expect_err("nothing is erased");
    assert!(error.to_string().contains("no transparent pixel"), "{error}");
}

#[test]
fn settings_say_what_was_done_and_that_it_needs_its_source() {
    let mask = rectangle(&HEART, [0, 0, side(), side() / 2]);
    let edit = Edit::inpaint(HEART.clone(), mask).prompt("a cat, flat style").seed(5);
    let image = PIPELINE.edit(&edit).expect("an image").remove(0);
    let settings = ImageSettings::parse("x", &image.to_png().expect("a file")).expect("settings");
    let said = settings.edit.as_ref().expect("an edit");
    assert_eq!((said.kind.as_str(), said.source, settings.seed), ("inpaint", [side(); 2], 5));
    let error = Request::again(&settings).expect_err("its source is needed").to_string();
    assert!(error.contains("inpaint"), "{error}");
}

#[test]
fn an_observer_gets_whole_images_and_can_cancel() {
    let source = noise(50, 40);
    let mask = rectangle(&source, [5, 5, 20, 20]);
    let edit = Edit::inpaint(source.clone(), mask.clone()).prompt("a cat, flat style").count(3);
    let mut seen = vec![];
    let mut watch = |event: Event<'_>| {
        if let Event::Image { index, image } = event {
            seen.push((index, image.clone()));
            return ControlFlow::Break(());
        }
        ControlFlow::Continue(())
    };
    let outcomes = PIPELINE.edit_with(&edit, &mut watch).expect("outcomes");
    assert_eq!((outcomes.len(), seen.len()), (3, 1));
    assert_eq!(outcomes[0].image(), Some(&seen[0].1));
    assert!(outcomes[1].image().is_none() && outcomes[2].image().is_none());
    assert_kept(seen[0].1.pixels(), &source, &mask);
}
