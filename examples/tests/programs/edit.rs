//! `edit`, as artists start it.

use hart_pipeline::Pixels;
use image::{Rgb, RgbImage};

use crate::{fails, folder, succeeds};

#[test]
fn every_edit_is_done_and_a_sheet_shows_it() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "text_to_image", "--enlarge 1 --out heart.png a+red+heart,+flat+style");
    let pixels = |name: &str| Pixels::open(at.join(name)).expect("an image");
    let heart = pixels("heart.png");
    let side = heart.width();
    let white = |x: u32, _: u32| Rgb([if x < 10 { 255 } else { 0 }; 3]);
    let mask = RgbImage::from_fn(side as u32, side as u32, white);
    mask.save(at.join("mask.png")).expect("a mask");
    for (arguments, size) in [
        ("--mask mask.png a+green+apple,+flat+style", [side, side]),
        ("--box 2,3,8,9 --box 20,20,5,5 --grow 1", [side, side]),
        ("--outpaint left=4,bottom=16 a+red+heart,+flat+style", [side + 4, side + 16]),
        ("--variation 0.5", [side, side]),
        ("--restyle 0.5 a+red+heart,+3D+style", [side, side]),
        ("--from a+red+heart,+flat+style --to a+red+heart,+3D+style", [side, side]),
        ("--from a+red+heart --to a+green+heart --by contrast --effort faster", [side, side]),
    ] {
        succeeds(at, "edit", &format!("heart.png --out edited.png --sheet sheet.png {arguments}"));
        let edited = pixels("edited.png");
        assert_eq!([edited.width(), edited.height()], size, "{arguments}");
        if arguments.starts_with("--mask") {
            assert!((0..side).all(|y| (10..side).all(|x| edited.at(x, y) == heart.at(x, y))));
        }
        let sheet = pixels("sheet.png");
        assert!(sheet.width() >= 2 * edited.width(), "{arguments}: {sheet:?}");
    }
    image::imageops::thumbnail(&mask, side as u32 / 2, side as u32 / 2)
        .save(at.join("small.png"))
        .expect("an image");
    succeeds(at, "edit", "small.png --enlarge --out large.jpg");
    assert_eq!(pixels("large.jpg").width(), side);
}

#[test]
fn what_cannot_be_done_is_said() {
    let folder = folder();
    let at = folder.path();
    RgbImage::new(20, 10).save(at.join("black.png")).expect("an image");
    RgbImage::new(10, 10).save(at.join("mask.png")).expect("a mask");
    for (arguments, code, words) in [
        ("", 2, "required"),
        ("--box 30,0,4,4", 1, "outside of the image"),
        ("--box 3,0,4", 2, "such as 40,30,64,64"),
        ("--mask mask.png", 2, "no white pixel"),
        ("--outpaint up=3", 2, "left, right, top or bottom"),
        ("--outpaint left=0", 2, "to paint on"),
        ("--variation 1.5", 2, "from 0 to 1"),
        ("--variation 0.5 --enlarge", 1, "one edit at a time"),
        ("--restyle 0.5", 2, "PROMPT"),
        ("--from a+cat", 2, "--to"),
        ("--variation 0.5 --out result.gif", 2, "gif"),
    ] {
        let (found, said) = fails(at, "edit", &format!("black.png {arguments}"));
        assert_eq!(found, code, "{arguments}: {said}");
        assert!(said.contains(words), "{arguments}: {said}");
    }
    let (_, said) = fails(at, "edit", "missing.png --variation 0.5");
    assert!(said.contains("missing.png"), "{said}");
    assert!(!at.join("edited.png").exists());
}
