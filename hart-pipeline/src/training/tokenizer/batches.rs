//! What the steps train on.

use std::sync::Arc;

use hart_core::random::{generator, uniform};
use hart_core::{Grid, Result};
use hart_tokenizer::DecoderInput;
use rand::Rng;
use rayon::prelude::*;

use super::experiment::TokenizerExperiment;
use crate::training::data::{Order, Prefetch, Records};

/// The stream of a seed that decides what of images is decoded.
const DECODING: u64 = 130;

/// What a step trains on.
pub(super) struct Batch {
    /// Images `[batch, 3, height, width]` in [-1, 1].
    pub(super) images: Vec<f32>,
    /// What the decoder sees of each.
    pub(super) inputs: Vec<DecoderInput>,
    /// The first caption of each.
    pub(super) captions: Vec<String>,
}

/// The batches of all steps after `done`, prepared on another thread.
pub(super) fn batches(
    experiment: &TokenizerExperiment,
    records: Arc<Records>,
    size: Grid,
    done: u64,
) -> Prefetch<Batch> {
    let (run, data) = (experiment.run.clone(), experiment.data.clone());
    let loss = experiment.loss.clone();
    let mut order = Order::new(records.len(), run.seed);
    Prefetch::start(done..run.steps, move |step| {
        let items = order.batch(step, run.batch);
        let image = |(place, &item): (usize, &usize)| {
            let address = [step, place as u64];
            let image = records.varied_image(item, size, &data.augmentation, run.seed, address)?;
            Ok(image.to_planes())
        };
        let images: Result<Vec<Vec<f32>>> = items.par_iter().enumerate().map(image).collect();
        let mut draws = generator(run.seed, DECODING, [step, 0]);
        let mut draw = || uniform(draws.next_u64());
        let inputs = items.iter().map(|_| match draw() {
            kind if kind < loss.discrete_share => DecoderInput::Discrete,
            kind if kind < loss.discrete_share + loss.partial_share => {
                DecoderInput::Partial(draw() as f32)
            }
            kind if kind < loss.discrete_share + loss.partial_share + loss.predicted_share => {
                DecoderInput::Predicted
            }
            _ => DecoderInput::Continuous,
        });
        let inputs = inputs.collect();
        let captions = items.iter().map(|&item| records.get(item).captions[0].clone()).collect();
        Ok(Batch { images: images?.concat(), inputs, captions })
    })
}
