//! The model compiled into the crate.

use std::ops::ControlFlow;
use std::sync::LazyLock;

use hart_pipeline::backend::default_device;
use hart_pipeline::{Event, Image, Precision, Request};

use crate::Pipeline;

static EMBEDDED: LazyLock<Pipeline> =
    LazyLock::new(|| Pipeline::embedded(&default_device()).expect("the embedded model"));

fn paint(prompt: &str, seed: u64) -> Image {
    let images = EMBEDDED.generate(&Request::new(prompt).seed(seed));
    images.expect("an image").remove(0)
}

/// The mean colour of a part of an image.
fn mean(image: &Image, rows: std::ops::Range<usize>, columns: std::ops::Range<usize>) -> [f64; 3] {
    let mut sums = [0.0; 3];
    for row in rows.clone() {
        for column in columns.clone() {
            let pixel = image.pixels().at(column, row);
            for (sum, value) in sums.iter_mut().zip(pixel) {
                *sum += f64::from(value);
            }
        }
    }
    sums.map(|sum| sum / (rows.len() * columns.len()) as f64)
}

#[test]
fn a_red_heart_is_red_on_white() {
    let image = paint("a red heart, flat style", 7);
    let (width, height) = (image.width(), image.height());
    let [red, green, blue] = mean(&image, height / 3..height * 2 / 3, width / 3..width * 2 / 3);
    assert!(red > 150.0 && green < 120.0 && blue < 130.0, "the middle is {red} {green} {blue}");
    let corner = mean(&image, 0..2, 0..2);
    assert!(corner.iter().all(|&value| value > 235.0), "the corner is {corner:?}");
}

#[test]
fn a_background_has_the_colour_that_was_asked_for() {
    let image = paint("a red heart, flat style, on a blue background", 7);
    let [red, green, blue] = mean(&image, 0..2, 0..2);
    assert!(blue > red + 60.0 && blue > green + 30.0, "the corner is {red} {green} {blue}");
}

#[test]
fn a_seed_gives_the_same_bytes_and_another_one_others() {
    let bytes = |seed| paint("a cat, 3D style", seed).to_png().expect("a file");
    assert_eq!(bytes(3), bytes(3));
    assert_ne!(bytes(3), bytes(4));
}

#[test]
fn words_it_never_saw_are_reported() {
    let request = Request::batch(["a baroque elefant, flat style", "a red heart, flat style"]);
    let mut reported = vec![];
    let made = EMBEDDED.generate_with(&request, &mut |event: Event<'_>| {
        if let Event::UnknownWords { image, words } = event {
            reported.push((image, words.iter().map(ToString::to_string).collect::<Vec<_>>()));
        }
        ControlFlow::Continue(())
    });
    assert_eq!(made.expect("images").len(), 2);
    assert_eq!(
        reported,
        [(0, vec!["`baroque`".to_string(), "`elefant` (try `elephant`)".to_string()])]
    );
}

#[test]
fn it_paints_in_int8_too() {
    let pipeline = Pipeline::embedded_with(Precision::Int8, &default_device());
    let request = Request::new("a red heart, flat style").seed(7);
    let image = pipeline.expect("the embedded model").generate(&request).expect("an image");
    let (width, height) = (image[0].width(), image[0].height());
    let [red, green, _] = mean(&image[0], height / 3..height * 2 / 3, width / 3..width * 2 / 3);
    assert!(red > green + 40.0, "the middle is {red} {green}");
}
