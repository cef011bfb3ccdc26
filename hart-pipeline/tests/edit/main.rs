//! Editing with the model compiled in.

mod hostile;
mod masked;
mod whole;

use std::sync::LazyLock;

use hart_pipeline::backend::{Flex, default_device};
use hart_pipeline::{HartPipeline, Pixels, Request};

type Pipeline = HartPipeline<Flex>;

static PIPELINE: LazyLock<Pipeline> =
    LazyLock::new(|| Pipeline::embedded(&default_device()).expect("the model compiled in"));

/// What the model makes of a prompt.
fn made(prompt: &str, seed: u64) -> Pixels {
    let images = PIPELINE.generate(&Request::new(prompt).seed(seed)).expect("an image");
    images[0].pixels().clone()
}

static HEART: LazyLock<Pixels> = LazyLock::new(|| made("a red heart, flat style", 7));

/// The side of the images that the model makes, in pixels.
fn side() -> usize {
    PIPELINE.image_size().rows
}

/// The mean difference of two images of one size, from 0 to 255.
fn difference(one: &Pixels, other: &Pixels) -> f64 {
    let pairs = one.rgb().iter().zip(other.rgb());
    let sum: u64 = pairs.map(|(&a, &b)| u64::from(a.abs_diff(b))).sum();
    sum as f64 / one.rgb().len() as f64
}

/// An image without a pattern.
fn noise(width: usize, height: usize) -> Pixels {
    let mut state = 1u32;
    let mut byte = || {
        state = state.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (state >> 24) as u8
    };
    Pixels::new(width, height, (0..width * height * 3).map(|_| byte()).collect()).expect("pixels")
}
