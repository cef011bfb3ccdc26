//! Sources and masks as people have them, and as nobody should.

use std::io::Cursor;

use hart_pipeline::edit::{Edit, Mask, MaskFrom};
use hart_pipeline::image::ReadOptions;
use hart_pipeline::{Error, Pixels};
use image::codecs::gif::GifEncoder;
use image::{DynamicImage, Frame, ImageBuffer, ImageFormat, Rgb, RgbImage, Rgba, RgbaImage};

use crate::{PIPELINE, noise, side};

fn png(image: impl Into<DynamicImage>) -> Vec<u8> {
    let mut file = Cursor::new(vec![]);
    image.into().write_to(&mut file, ImageFormat::Png).expect("a PNG file");
    file.into_inner()
}

/// Files of 24 × 20 pixels whose pixels are not three bytes each.
fn files() -> Vec<(&'static str, Vec<u8>)> {
    let mut inks = vec![];
    let encoder = jpeg_encoder::Encoder::new(&mut inks, 90);
    let sheet: Vec<u8> = (0..24 * 20 * 4).map(|i| (i * 7 % 200) as u8).collect();
    encoder.encode(&sheet, 24, 20, jpeg_encoder::ColorType::Cmyk).expect("a JPEG file");
    let deep = ImageBuffer::from_fn(24, 20, |x, y| Rgb([x as u16 * 2700, y as u16 * 3200, 0x8080]));
    let clear = RgbaImage::from_fn(24, 20, |x, y| Rgba([200, 10 * y as u8, 0, 10 * x as u8]));
    let mut animation = vec![];
    let frames = [[200, 0, 0, 255], [0, 200, 0, 255]];
    let frames = frames.map(|colour| Frame::new(RgbaImage::from_pixel(24, 20, Rgba(colour))));
    GifEncoder::new(&mut animation).encode_frames(frames).expect("a GIF file");
    vec![
        ("inks.jpg", inks),
        ("sixteen-bits.png", png(DynamicImage::ImageRgb16(deep))),
        ("transparent.png", png(clear)),
        ("animation.gif", animation),
    ]
}

/// Asserts that a result has the source's size, and outside of the mask its pixels.
fn assert_kept(result: &Pixels, source: &Pixels, mask: &Mask) {
    assert_eq!((result.width(), result.height()), (source.width(), source.height()));
    let places = (0..source.height()).flat_map(|y| (0..source.width()).map(move |x| (x, y)));
    let kept = places.filter(|&(x, y)| !mask.is_marked(x, y));
    assert!(kept.into_iter().all(|(x, y)| result.at(x, y) == source.at(x, y)));
}

fn edited(edit: &Edit) -> Pixels {
    PIPELINE.edit(edit).expect("an edited image")[0].pixels().clone()
}

#[test]
fn whatever_a_file_holds_is_edited_as_a_viewer_shows_it() {
    for (name, file) in files() {
        let source = ReadOptions::default().decode(name, &file).expect(name).pixels;
        let mut mask = Mask::empty(24, 20);
        mask.mark(4, 6, 9, 8);
        let edit = Edit::inpaint(source.clone(), mask.clone()).prompt("a red heart, flat style");
        let result = edited(&edit);
        assert_kept(&result, &source, &mask);
        assert_ne!(result, source, "{name}");
        let varied = edited(&Edit::variation(source.clone(), 0.5));
        assert_eq!((varied.width(), varied.height()), (24, 20), "{name}");
    }
}

#[test]
fn masks_are_read_from_such_files_as_well() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for (name, file) in files() {
        let path = folder.path().join(name);
        std::fs::write(&path, file).expect("a file");
        let read = |from| Mask::read(&path, from, ReadOptions::default());
        // Only one of them has transparent parts; none is white at all.
        let erased = read(MaskFrom::Transparency { tolerance: 100 });
        match name {
            "transparent.png" => assert!(erased.expect("a mask").marked() > 100),
            _ => assert!(erased.is_err(), "{name}"),
        }
        if let Err(error) = read(MaskFrom::White { tolerance: 0 }) {
            assert!(error.to_string().contains(name), "{error}");
        }
    }
}

#[test]
fn an_image_of_20000_pixels_is_edited_where_it_is_marked() {
    let source = noise(20_000, 300);
    let mut mask = Mask::empty(20_000, 300);
    mask.mark(19_000, 100, 120, 90);
    let edit = Edit::inpaint(source.clone(), mask.clone()).prompt("a red heart, flat style");
    let result = edited(&edit);
    assert_kept(&result, &source, &mask);
    assert_ne!(result, source);
    let whole = edited(&Edit::restyle(source, "a red heart, flat style", 0.5));
    assert_eq!((whole.width(), whole.height()), (20_000, 300));
}

#[test]
fn one_with_more_pixels_than_are_read_is_refused_before_they_are() {
    // 400 million pixels of one bit, in few bytes.
    let mut file = vec![];
    let mut encoder = png::Encoder::new(&mut file, 20_000, 20_000);
    encoder.set_color(png::ColorType::Grayscale);
    encoder.set_depth(png::BitDepth::One);
    let mut writer = encoder.write_header().expect("a header");
    writer.write_image_data(&vec![0; 2_500 * 20_000]).expect("pixels");
    writer.finish().expect("a file");
    let error = ReadOptions::default().decode("wall.png", &file).expect_err("too large");
    let said = error.to_string();
    assert!(said.contains("wall.png") && said.contains("20000 × 20000"), "{said}");
}

#[test]
fn one_pixel_is_an_image() {
    let pixel = Pixels::new(1, 1, vec![200, 20, 30]).expect("a pixel");
    let mut mask = Mask::empty(1, 1);
    mask.mark(0, 0, 1, 1);
    assert!(matches!(
        PIPELINE.edit(&Edit::inpaint(pixel.clone(), Mask::empty(1, 1)).prompt("a cat")),
        Err(Error::Invalid { .. })
    ));
    let size = |edit: Edit| {
        let result = edited(&edit.prompt("a red heart, flat style"));
        (result.width(), result.height())
    };
    assert_eq!(size(Edit::inpaint(pixel.clone(), mask)), (1, 1));
    assert_eq!(size(Edit::variation(pixel.clone(), 1.0)), (1, 1));
    assert_eq!(size(Edit::restyle(pixel.clone(), "a cat", 0.5)), (1, 1));
    assert_eq!(size(Edit::change(pixel.clone(), "a cat", "a dog")), (1, 1));
    assert_eq!(size(Edit::outpaint(pixel.clone(), [9, 5], [4, 2]).expect("a canvas")), (9, 5));
    assert_eq!(size(Edit::enlarge(pixel)), (side(), side()));
    // A mask of another size, in either direction.
    let source = Pixels::new(2, 1, RgbImage::new(2, 1).into_raw()).expect("pixels");
    let wrong = PIPELINE.edit(&Edit::inpaint(source, Mask::empty(1, 2)).prompt("a cat"));
    assert!(wrong.expect_err("another size").to_string().contains("2 × 1, as the image has"));
}
