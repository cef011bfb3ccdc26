//! Finds the known images nearest to a model's image, pixel by pixel.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;

/// The side at which images are compared, in pixels.
const SIDE: u32 = 16;

/// An image, scaled down, as a vector with values in [0, 1].
pub fn features(image: &RgbImage) -> Vec<f32> {
    let small = resize(image, SIDE, SIDE, FilterType::Triangle);
    small.into_raw().into_iter().map(|value| f32::from(value) / 255.0).collect()
}

/// Squared distance.
pub fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Known images, among which those of a model are looked up.
pub struct Gallery<L> {
    entries: Vec<(L, Vec<f32>)>,
}

impl<L: Sync> Gallery<L> {
    /// Images with their labels.
    pub fn new(entries: impl IntoIterator<Item = (L, RgbImage)>) -> Self {
        let entries = entries.into_iter();
        Self { entries: entries.map(|(label, image)| (label, features(&image))).collect() }
    }

    /// The number of known images.
    pub fn len(&self) -> usize {
        self.entries.len()
    }

    /// Whether no image is known.
    pub fn is_empty(&self) -> bool {
        self.entries.is_empty()
    }

    /// The labels of the nearest images, the nearest first, with their distances.
    pub fn nearest(&self, image: &RgbImage, count: usize) -> Vec<(&L, f32)> {
        let wanted = features(image);
        let mut all: Vec<(&L, f32)> =
            self.entries.iter().map(|(label, f)| (label, distance(f, &wanted))).collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1));
        all.truncate(count);
        all
    }

    /// For each image the labels of its nearest ones.
    pub fn all_nearest(&self, images: &[RgbImage], count: usize) -> Vec<Vec<(&L, f32)>> {
        images.par_iter().map(|image| self.nearest(image, count)).collect()
    }
}
