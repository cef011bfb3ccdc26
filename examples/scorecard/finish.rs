//! Flat or three-dimensional: a small classifier of the finish of a drawing.
//!
//! Flat drawings have areas of one colour and sharp edges, three-dimensional ones are shaded
//! everywhere. So the features are a histogram of the differences between neighbouring pixels.

use image::RgbImage;

/// Upper bounds of the differences in each bin.
const STEPS: [i32; 7] = [1, 3, 6, 12, 24, 48, 96];
/// Passes over the images in training.
const PASSES: usize = 400;
/// Learning rate.
const RATE: f64 = 0.5;

/// A logistic regression; positive for three-dimensional.
pub(crate) struct Finish {
    weights: Vec<f64>,
    mean: Vec<f64>,
    deviation: Vec<f64>,
}

fn features(image: &RgbImage) -> Vec<f64> {
    let mut counts = vec![0.0; STEPS.len() + 1];
    let (width, height) = image.dimensions();
    for y in 0..height - 1 {
        for x in 0..width - 1 {
            let here = image.get_pixel(x, y).0;
            for (dx, dy) in [(1, 0), (0, 1)] {
                let there = image.get_pixel(x + dx, y + dy).0;
                let step = (0..3).map(|c| (i32::from(here[c]) - i32::from(there[c])).abs()).max();
                let size = STEPS.iter().position(|&end| step.unwrap_or(0) <= end);
                counts[size.unwrap_or(STEPS.len())] += 1.0;
            }
        }
    }
    // Equal neighbours are mostly background: shares are those of the others.
    let moving: f64 = counts[1..].iter().sum::<f64>().max(1.0);
    counts[1..].iter().map(|count| count / moving).collect()
}

impl Finish {
    /// Trained on the data set's drawings.
    pub(crate) fn learn(flat: &[RgbImage], round: &[RgbImage]) -> Self {
        let labelled: Vec<(Vec<f64>, f64)> = flat
            .iter()
            .map(|image| (features(image), 0.0))
            .chain(round.iter().map(|image| (features(image), 1.0)))
            .collect();
        let count = labelled.len() as f64;
        let width = STEPS.len();
        let mean: Vec<f64> =
            (0..width).map(|i| labelled.iter().map(|(f, _)| f[i]).sum::<f64>() / count).collect();
        let variance =
            |i: usize| labelled.iter().map(|(f, _)| (f[i] - mean[i]).powi(2)).sum::<f64>() / count;
        let deviation = (0..width).map(|i| variance(i).sqrt().max(1e-6)).collect();
        let mut model = Self { weights: vec![0.0; width + 1], mean, deviation };
        for _ in 0..PASSES {
            let mut gradient = vec![0.0; width + 1];
            for (features, label) in &labelled {
                let x = model.normalize(features);
                let error = 1.0 / (1.0 + (-model.score(&x)).exp()) - label;
                gradient.iter_mut().zip(x.iter().chain(&[1.0])).for_each(|(g, x)| *g += error * x);
            }
            let step = |(w, g): (&mut f64, f64)| *w -= RATE * g / count;
            model.weights.iter_mut().zip(gradient).for_each(step);
        }
        model
    }

    fn normalize(&self, features: &[f64]) -> Vec<f64> {
        let statistics = self.mean.iter().zip(&self.deviation);
        features.iter().zip(statistics).map(|(x, (mean, dev))| (x - mean) / dev).collect()
    }

    fn score(&self, x: &[f64]) -> f64 {
        self.weights.iter().zip(x.iter().chain(&[1.0])).map(|(w, x)| w * x).sum()
    }

    /// The share of images that are classified as three-dimensional.
    pub(crate) fn round_share(&self, images: &[RgbImage]) -> f64 {
        let is_round = |p: &&RgbImage| self.score(&self.normalize(&features(p))) > 0.0;
        images.iter().filter(is_round).count() as f64 / images.len().max(1) as f64
    }
}
