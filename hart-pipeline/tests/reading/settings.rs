//! Settings in every kind of file that is written.

use hart_pipeline::image::{FileFormat, ImageGrid};
use hart_pipeline::{Error, Image, ImageSettings, Pixels};

fn image(seed: u64, prompt: &str) -> Image {
    let mut settings = ImageSettings::default();
    settings.version = ImageSettings::VERSION;
    settings.seed = seed;
    settings.prompt = prompt.to_string();
    settings.software = "a test".to_string();
    let rgb = (0..8 * 6 * 3).map(|i| (i * 7 + seed) as u8).collect();
    Image::new(Pixels::new(8, 6, rgb).expect("pixels"), settings)
}

const FORMATS: [FileFormat; 3] = [FileFormat::Png, FileFormat::Jpeg, FileFormat::WebP];

#[test]
fn every_format_carries_them() {
    let image = image(u64::MAX, "ein Löwe 🦁\n\0 \"quoted\"");
    for format in FORMATS {
        let file = image.encode(format).expect("a file");
        let settings = ImageSettings::parse("image", &file).expect("settings");
        assert_eq!(&settings, image.settings(), "{format}");
        assert_eq!(file, image.encode(format).expect("a file"), "{format}");
        if format != FileFormat::Jpeg {
            assert_eq!(&super::read(&file), image.pixels(), "{format}");
        }
        let none = image.pixels().encode(format).expect("a file");
        let error = ImageSettings::parse("image", &none).expect_err("no settings").to_string();
        assert_eq!(error, "image: it has no settings of HART", "{format}");
    }
}

#[test]
fn a_grid_carries_those_of_all_its_images() {
    let images = [image(1, "a cat"), image(2, "a cat"), image(3, "a dog")];
    let grid = ImageGrid::new(&images).expect("a grid");
    assert_eq!((grid.pixels().width(), grid.pixels().height()), (16, 12));
    let folder = tempfile::tempdir().expect("a temporary folder");
    for name in ["grid.png", "grid.jpg", "grid.WEBP"] {
        let path = folder.path().join(name);
        grid.save(&path).expect("saved");
        assert_eq!(ImageSettings::read_all(&path).expect("settings"), grid.settings(), "{name}");
        let error = ImageSettings::read(&path).expect_err("three images").to_string();
        assert!(error.ends_with("it is a grid of 3 images, expected one image"), "{error}");
    }
    let one = image(9, "a bee").encode(FileFormat::Png).expect("a file");
    let path = folder.path().join("one.png");
    std::fs::write(&path, one).expect("a file");
    assert_eq!(ImageSettings::read_all(&path).expect("settings").len(), 1);
}

#[test]
fn the_ending_says_the_format() {
    for (path, expected) in [
        ("a.png", FileFormat::Png),
        ("a.b/a.JPG", FileFormat::Jpeg),
        ("a.jpeg", FileFormat::Jpeg),
        ("a.webp", FileFormat::WebP),
        ("/dev/stdout", FileFormat::Png),
    ] {
        assert_eq!(FileFormat::of(path).expect("a format"), expected, "{path}");
    }
    let error = FileFormat::of("a.gif").expect_err("not written");
    assert!(matches!(error, Error::Invalid { .. }));
    assert_eq!(
        error.to_string(),
        "the ending of a.gif is `.gif`, expected .png, .jpg or .webp, which say what is written"
    );
}

#[test]
fn settings_that_do_not_fit_are_an_error() {
    let image = image(0, &"a very long prompt ".repeat(4000));
    assert!(image.encode(FileFormat::Png).is_ok());
    let error = image.encode(FileFormat::Jpeg).expect_err("65,533 bytes at most").to_string();
    assert!(error.contains("that an EXIF block holds"), "{error}");
}
