//! Edits of a whole image: variations, restyling, enlarging, changes by prompt.

use std::path::Path;

use burn::tensor::{DType, Tensor, TensorData};
use hart_pipeline::backend::{Flex, default_device};
use hart_pipeline::edit::Edit;
use hart_pipeline::{Error, Grid, Pixels};

use crate::{HEART, PIPELINE, difference, made, noise, side};

fn edited(edit: &Edit) -> Pixels {
    PIPELINE.edit(edit).expect("an edited image")[0].pixels().clone()
}

/// An image as the tokenizer gives it back.
fn reconstructed(image: &Pixels) -> Pixels {
    let tokenizer = &PIPELINE.model().expect("a model").tokenizer;
    let planes = TensorData::new(image.to_planes(), [1, 3, image.height(), image.width()]);
    let planes = Tensor::<Flex, 4>::from_data(planes, (&default_device(), DType::F32));
    let latent = tokenizer.encode_latent(planes, &mut ());
    let decoded: Vec<f32> =
        tokenizer.decode_latent(latent, &mut ()).into_data().iter::<f32>().collect();
    Pixels::from_planes(Grid::new(image.height(), image.width()), &decoded).expect("pixels")
}

#[test]
fn without_strength_the_image_is_only_encoded_and_decoded() {
    let expected = reconstructed(&HEART);
    for edit in [
        Edit::variation(HEART.clone(), 0.0),
        Edit::restyle(HEART.clone(), "a robot, 3D style", 0.0),
    ] {
        assert_eq!(edited(&edit), expected);
    }
}

#[test]
fn with_all_strength_it_is_an_image_of_the_prompt() {
    let prompt = "a green apple, flat style";
    let edit = Edit::restyle(HEART.clone(), prompt, 1.0).seed(9);
    assert_eq!(edited(&edit), made(prompt, 9));
}

/// Drawings of the repository's sample, with their prompts.
fn drawings() -> Vec<(Pixels, String)> {
    let folder =
        Path::new(env!("CARGO_MANIFEST_DIR")).join("../examples/data/sample/images/object");
    let drawing = |(name, style): (&str, &str)| {
        let file = format!("{name}.{}.white.png", style.to_lowercase());
        let pixels = Pixels::open(folder.join(file)).expect("a drawing of the sample");
        (pixels, format!("a {name}, {style} style"))
    };
    ["horse", "fish", "bus", "bee", "pear", "key"]
        .into_iter()
        .flat_map(|name| [(name, "3D"), (name, "flat")])
        .map(drawing)
        .collect()
}

/// An image with left and right exchanged.
fn mirrored(image: &Pixels) -> Pixels {
    let (width, height) = (image.width(), image.height());
    let places = (0..height).flat_map(|y| (0..width).rev().map(move |x| (x, y)));
    let pixels = places.flat_map(|(x, y)| image.at(x, y));
    Pixels::new(width, height, pixels.collect()).expect("as many pixels")
}

#[test]
fn the_stronger_the_further_from_the_source() {
    // Without a prompt: with its own one the model knows what the drawing looks like.
    let drawings = drawings();
    let distance = |strength: f64| -> f64 {
        let distance = |(seed, (source, _)): (u64, &(Pixels, String))| {
            let edit = Edit::variation(source.clone(), strength).seed(seed);
            difference(&edited(&edit), source)
        };
        (0..).zip(&drawings).map(distance).sum()
    };
    let distances = [0.0, 1.0 / 6.0, 0.5, 5.0 / 6.0, 1.0].map(distance);
    assert!(distances.windows(2).all(|pair| pair[0] < pair[1]), "{distances:?}");
}

#[test]
fn any_size_comes_out_as_it_came_in() {
    for (width, height) in [(1, 1), (300, 20), (33, 64), (5000, 2)] {
        let edit = Edit::variation(noise(width, height), 0.5);
        let result = edited(&edit);
        assert_eq!((result.width(), result.height()), (width, height));
    }
}

#[test]
fn small_images_are_enlarged_and_large_ones_refused() {
    let side = side();
    let third = (side as f64 / 3.0).round() as usize;
    for (size, expected) in [
        ((side / 2, side / 2), (side, side)),
        ((side / 2, side / 4), (side, side / 2)),
        ((1, 3), (third, side)),
    ] {
        let edit = Edit::enlarge(noise(size.0, size.1)).prompt("a red heart, flat style");
        let result = edited(&edit);
        assert_eq!((result.width(), result.height()), expected, "{size:?}");
    }
    for (width, height) in [(side, side), (side + 8, 5)] {
        let error = PIPELINE.edit(&Edit::enlarge(noise(width, height))).expect_err("large already");
        assert!(error.to_string().contains(&format!("{side} × {side}")), "{error}");
    }
}

#[test]
fn an_enlarged_image_is_that_image() {
    // Half of it, by the mean of four pixels.
    let side = side() / 2;
    let half = |y: usize, x: usize, channel: usize| {
        let sum: usize = [(0, 0), (0, 1), (1, 0), (1, 1)]
            .iter()
            .map(|(dy, dx)| usize::from(HEART.at(2 * x + dx, 2 * y + dy)[channel]))
            .sum();
        (sum / 4) as u8
    };
    let places = (0..side * side).map(|place| (place / side, place % side));
    let pixels = places.flat_map(|(y, x)| [0, 1, 2].map(|channel| half(y, x, channel)));
    let small = Pixels::new(side, side, pixels.collect()).expect("pixels");
    let large = edited(&Edit::enlarge(small).prompt("a red heart, flat style"));
    let (own, other) =
        (difference(&large, &HEART), difference(&large, &made("a robot, 3D style", 1)));
    assert!(own < 15.0 && own < other / 3.0, "{own}, another image {other}");
}

#[test]
fn the_noise_of_the_source_leads_back_to_it() {
    // With its own prompt the source should come out again; without its noise another drawing does. The
    // sources are mirrored, for the model knows these drawings by heart the other way round.
    let (mut explained, mut free) = (0.0, 0.0);
    for (seed, (source, prompt)) in (0..).zip(drawings()) {
        let source = mirrored(&source);
        let change = Edit::change(source.clone(), &prompt, &prompt).seed(seed);
        let restyle = Edit::restyle(source.clone(), &prompt, 8.0 / 14.0).seed(seed);
        explained += difference(&edited(&change), &source);
        free += difference(&edited(&restyle), &source);
    }
    assert!(explained < 0.95 * free, "with its noise {explained}, without {free}");
}

#[test]
fn another_prompt_changes_the_image() {
    let (source, prompt) = drawings().swap_remove(0);
    let same = edited(&Edit::change(source.clone(), &prompt, &prompt));
    let other = edited(&Edit::change(source, &prompt, "a pear, flat style"));
    assert_ne!(same, other);
}

#[test]
fn strengths_outside_of_their_range_are_refused() {
    for strength in [-0.1, 1.1, f64::NAN, f64::INFINITY] {
        for edit in [
            Edit::variation(HEART.clone(), strength),
            Edit::change(HEART.clone(), "a heart", "a cat").strength(strength),
        ] {
            let refused = PIPELINE.edit(&edit).map(|_| ());
            assert!(matches!(refused, Err(Error::Invalid { .. })), "{strength}");
        }
    }
    let edit = Edit::variation(HEART.clone(), 0.5).with(|request| request.size(128, 64));
    assert!(PIPELINE.edit(&edit).expect_err("a size").to_string().contains("size"));
    let edit = Edit::variation(HEART.clone(), 0.5).prompt(" ");
    assert!(PIPELINE.edit(&edit).is_err(), "a blank prompt");
}
