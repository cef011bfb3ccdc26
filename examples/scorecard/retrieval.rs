//! Finds the data set's images nearest to a model's image, pixel by pixel.

use image::RgbImage;
use image::imageops::{FilterType, resize};
use rayon::prelude::*;

/// The side at which images are compared, in pixels.
const SIDE: u32 = 16;

/// An image, scaled down, as a vector with values in [0, 1].
pub(crate) fn features(image: &RgbImage) -> Vec<f32> {
    let small = resize(image, SIDE, SIDE, FilterType::Triangle);
    small.into_raw().into_iter().map(|value| f32::from(value) / 255.0).collect()
}

/// Squared distance.
pub(crate) fn distance(a: &[f32], b: &[f32]) -> f32 {
    a.iter().zip(b).map(|(a, b)| (a - b) * (a - b)).sum()
}

/// Images of the data set, among which those of a model are looked up.
pub(crate) struct Gallery<L> {
    entries: Vec<(L, Vec<f32>)>,
}

impl<L: Sync> Gallery<L> {
    pub(crate) fn new(entries: impl IntoIterator<Item = (L, RgbImage)>) -> Self {
        let entries = entries.into_iter();
        Self { entries: entries.map(|(label, image)| (label, features(&image))).collect() }
    }

    pub(crate) fn len(&self) -> usize {
        self.entries.len()
    }

    /// The labels of the nearest images, the nearest first, with their distances.
    pub(crate) fn nearest(&self, image: &RgbImage, count: usize) -> Vec<(&L, f32)> {
        let wanted = features(image);
        let mut all: Vec<(&L, f32)> =
            self.entries.iter().map(|(label, f)| (label, distance(f, &wanted))).collect();
        all.sort_by(|a, b| a.1.total_cmp(&b.1));
        all.truncate(count);
        all
    }

    /// For each image the labels of its nearest ones.
    pub(crate) fn all_nearest(&self, images: &[RgbImage], count: usize) -> Vec<Vec<(&L, f32)>> {
        images.par_iter().map(|image| self.nearest(image, count)).collect()
    }
}
