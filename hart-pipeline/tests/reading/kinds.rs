//! Every kind of file comes out as a viewer shows it.

use std::io::Cursor;

use hart_pipeline::image::ReadOptions;
use hart_pipeline::{Error, Pixels};
use image::codecs::gif::GifEncoder;
use image::codecs::jpeg::JpegEncoder;
use image::codecs::png::PngEncoder;
use image::codecs::webp::WebPEncoder;
use image::{
    DynamicImage, Frame, GrayAlphaImage, ImageBuffer, ImageFormat, LumaA, Rgba, RgbaImage,
};

use super::{LOSSLESS, file, read, refused, sample, with_exif};

/// 8 × 8 pixels (32 x, 32 y, 255 on the diagonal), in the seven passes of an interlaced file.
const INTERLACED: &[u8] = include_bytes!("../data/interlaced.png");

/// The EXIF block with nothing but an orientation.
fn orientation(value: u8) -> Vec<u8> {
    let entry = [&[0x12, 0x01, 3, 0, 1, 0, 0, 0, value, 0, 0, 0][..], &[0; 4]].concat();
    [&b"II*\0\x08\0\0\0\x01\0"[..], &entry].concat()
}

#[test]
fn a_file_is_known_by_its_content() {
    for format in LOSSLESS {
        assert!(read(&file(sample(), format)).rgb() == sample().as_raw(), "{format:?}");
    }
    let grey = DynamicImage::from(sample()).into_luma8();
    let jpeg = read(&file(grey.clone(), ImageFormat::Jpeg));
    let apart = jpeg.rgb().chunks(3).zip(grey.iter()).map(|(rgb, &grey)| rgb[1].abs_diff(grey));
    assert!(apart.max() < Some(24), "JPEG");
}

#[test]
fn an_image_is_turned_as_its_exif_block_says() {
    let upright = sample();
    // Where the orientations put the file's first pixel and the last one of its first row.
    let corners = |(right, bottom): (usize, usize)| {
        [
            (1, (0, 0), (right, 0)),
            (2, (right, 0), (0, 0)),
            (3, (right, bottom), (0, bottom)),
            (4, (0, bottom), (right, bottom)),
            (5, (0, 0), (0, bottom)),
            (6, (right, 0), (right, bottom)),
            (7, (right, bottom), (right, 0)),
            (8, (0, bottom), (0, 0)),
        ]
    };
    for format in ["png", "webp"] {
        for turn in 1..=8 {
            let mut bytes = vec![];
            match format {
                "png" => with_exif(PngEncoder::new(&mut bytes), &upright, orientation(turn)),
                _ => with_exif(WebPEncoder::new_lossless(&mut bytes), &upright, orientation(turn)),
            }
            let turned = read(&bytes);
            let size = (turned.width(), turned.height());
            assert_eq!(size, if turn < 5 { (6, 4) } else { (4, 6) }, "{format}, {turn}");
            let (_, first, last) = corners((size.0 - 1, size.1 - 1))[usize::from(turn) - 1];
            assert_eq!(turned.at(first.0, first.1), upright[(0, 0)].0, "{format}, {turn}");
            assert_eq!(turned.at(last.0, last.1), upright[(5, 0)].0, "{format}, {turn}");
        }
    }
    let mut jpeg = vec![];
    with_exif(JpegEncoder::new(&mut jpeg), &upright, orientation(6));
    assert_eq!((read(&jpeg).width(), read(&jpeg).height()), (4, 6));
}

#[test]
fn transparent_parts_show_the_background() {
    let clear = GrayAlphaImage::from_pixel(3, 3, LumaA([0, 0]));
    for file in [file(clear, ImageFormat::Png), file(RgbaImage::new(3, 3), ImageFormat::WebP)] {
        assert_eq!(read(&file).rgb(), [255; 27]);
        let on_blue = ReadOptions::default().background([0, 0, 255]).decode("clear.png", &file);
        assert_eq!(on_blue.expect("an image").pixels.at(1, 1), [0, 0, 255]);
    }
    let half = file(RgbaImage::from_pixel(2, 2, Rgba([255, 0, 100, 128])), ImageFormat::Png);
    // (100 · 128 + 255 · 127) / 255 = 177.2, and 255 · 127 / 255 = 127.
    assert_eq!(read(&half).at(1, 1), [255, 127, 177]);
    let half = ImageBuffer::from_pixel(2, 2, Rgba([0xffff_u16, 0, 100 * 257, 0x8080]));
    assert_eq!(read(&file(half, ImageFormat::Png)).at(1, 1), [255, 127, 177]);
    let gif = file(RgbaImage::from_pixel(2, 2, Rgba([9, 9, 9, 0])), ImageFormat::Gif);
    assert_eq!(read(&gif).at(1, 1), [255; 3]);
}

#[test]
fn sixteen_bits_are_rounded_and_greys_are_coloured() {
    for (deep, expected) in [(0_u16, 0), (0x8000, 128), (0x7fff, 127), (0xffff, 255), (200, 1)] {
        let grey = ImageBuffer::from_pixel(2, 2, image::Luma([deep]));
        for format in [ImageFormat::Png, ImageFormat::Tiff] {
            assert_eq!(read(&file(grey.clone(), format)).at(0, 0), [expected; 3], "{deep}");
        }
    }
}

#[test]
fn interlaced_files_are_read() {
    let pixels = read(INTERLACED);
    let expected = (0..8_u8)
        .flat_map(|y| (0..8).flat_map(move |x| [32 * x, 32 * y, if x == y { 255 } else { 0 }]));
    assert!(pixels.rgb().iter().copied().eq(expected));
}

#[test]
fn the_inks_of_a_jpeg_become_colours() {
    // Cyan, magenta, yellow and black inks, and the colours that paper has then.
    let cases = [
        ([0, 0, 0, 0], [255, 255, 255]),
        ([255, 0, 0, 0], [0, 255, 255]),
        ([0, 255, 0, 0], [255, 0, 255]),
        ([0, 0, 0, 255], [0, 0, 0]),
        ([0, 0, 0, 127], [128, 128, 128]),
    ];
    for (inks, expected) in cases {
        let mut bytes = vec![];
        let encoder = jpeg_encoder::Encoder::new(&mut bytes, 100);
        let sheet = inks.repeat(16 * 16);
        encoder.encode(&sheet, 16, 16, jpeg_encoder::ColorType::Cmyk).expect("a JPEG file");
        let found = read(&bytes).at(8, 8);
        let apart = found.iter().zip(expected).map(|(a, b)| a.abs_diff(b)).max();
        assert!(apart <= Some(2), "{inks:?} is {found:?}, expected {expected:?}");
    }
}

#[test]
fn of_an_animation_the_first_frame_is_read() {
    let [first, second] = [[200, 0, 0, 255], [0, 200, 0, 255]]
        .map(|colour| RgbaImage::from_pixel(4, 4, Rgba(colour)));
    let mut gif = vec![];
    let frames = [first.clone(), second.clone()].map(Frame::new);
    GifEncoder::new(&mut gif).encode_frames(frames).expect("a GIF file");

    let mut apng = vec![];
    let mut encoder = png::Encoder::new(&mut apng, 4, 4);
    encoder.set_color(png::ColorType::Rgba);
    encoder.set_animated(2, 0).expect("two frames");
    let mut writer = encoder.write_header().expect("a header");
    for frame in [&first, &second] {
        writer.write_image_data(frame).expect("a frame");
    }
    writer.finish().expect("a PNG file");

    for (name, file) in [("gif", gif), ("png", apng), ("webp", animated_webp(&[first, second]))] {
        let read = ReadOptions::default().decode(name, &file).expect("an image");
        assert!(read.is_animated, "{name}");
        assert_eq!(read.pixels.at(2, 2), [200, 0, 0], "{name}");
    }
    for format in LOSSLESS {
        let still = ReadOptions::default().decode("still", &file(sample(), format));
        assert!(!still.expect("an image").is_animated, "{format:?}");
    }
}

/// A WebP file of several frames of 4 × 4 pixels, which no crate of ours writes.
fn animated_webp(frames: &[RgbaImage]) -> Vec<u8> {
    let chunk = |name: &[u8], content: &[u8]| {
        let length = (content.len() as u32).to_le_bytes();
        let padding = &[0][..content.len() % 2];
        [name, &length, content, padding].concat()
    };
    let size = [3, 0, 0, 3, 0, 0];
    let mut chunks = chunk(b"VP8X", &[&[0x12, 0, 0, 0][..], &size].concat());
    chunks.extend(chunk(b"ANIM", &[0; 6]));
    for frame in frames {
        // What follows the file's header is the chunk of its pixels.
        let still = file(frame.clone(), ImageFormat::WebP);
        let place_size_time = [&[0; 6][..], &size, &[100, 0, 0, 2]].concat();
        chunks.extend(chunk(b"ANMF", &[&place_size_time, &still[12..]].concat()));
    }
    chunk(b"RIFF", &[&b"WEBP"[..], &chunks].concat())
}

#[test]
fn limits_can_be_raised() {
    let small = ReadOptions::default().max_pixels(23);
    let png = file(sample(), ImageFormat::Png);
    let error = small.decode("large.png", &png).expect_err("24 pixels").to_string();
    assert!(error.contains("large.png: the image has 6 × 4 pixels, more than the 23"), "{error}");
    assert!(small.max_pixels(24).decode("large.png", &png).is_ok());
}

#[test]
fn a_file_of_another_kind_is_called_what_it_is() {
    let cases: [(&[u8], &str); 10] = [
        (b"", "empty"),
        (b"version https://git-lfs.github.com/spec/v1\noid sha256:0\n", "git lfs pull"),
        (b"\n<!DOCTYPE html><html>", "web page"),
        (b"<?xml version=\"1.0\"?><svg>", "SVG"),
        (b"\0\0\0\x1cftypavif\0\0\0\0", "AVIF"),
        (b"\0\0\0\x1cftypheic\0\0\0\0", "HEIC"),
        (b"\0\0\0\x1cftypisom\0\0\0\0", "video"),
        (b"\xff\x0a\0\0", "JPEG XL"),
        (b"8BPS\0\x01", "Photoshop"),
        (b"a cat", "not an image"),
    ];
    for (file, expected) in cases {
        let reason = refused(file);
        assert!(reason.starts_with("photo.jpg: "), "{reason}");
        assert!(reason.contains(expected), "{expected}: {reason}");
    }
    let missing = Pixels::open("no/such/image.png").expect_err("no file");
    assert!(matches!(missing, Error::Io { .. }));
}

/// Bytes that only begin like an image are no reason to panic.
#[test]
fn signatures_alone_are_errors() {
    for format in LOSSLESS.into_iter().chain([ImageFormat::Jpeg]) {
        let mut bytes = file(sample(), format);
        bytes.truncate(12);
        bytes.extend(Cursor::new([0x55; 4096]).into_inner());
        assert!(ReadOptions::default().decode("noise", &bytes).is_err(), "{format:?}");
    }
}
