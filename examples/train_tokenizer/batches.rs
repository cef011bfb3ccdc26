//! What the steps train on.

use std::sync::Arc;

use hart_core::random::{generator, uniform};
use hart_examples::data::Records;
use hart_examples::training::prefetch::{Order, Prefetch};
use hart_tokenizer::DecoderInput;
use rand::Rng;
use rayon::prelude::*;

use crate::Experiment;

/// The stream of a seed that decides what of images is decoded.
const DECODING: u64 = 130;

/// What a step trains on.
pub(crate) struct Batch {
    /// Images `[batch, 3, side, side]` in [-1, 1].
    pub(crate) images: Vec<f32>,
    /// What the decoder sees of each.
    pub(crate) inputs: Vec<DecoderInput>,
}

/// The batches of all steps after `done`, prepared on another thread.
pub(crate) fn batches(
    experiment: &Experiment,
    records: Arc<Records>,
    side: usize,
    done: u64,
) -> Prefetch<Batch> {
    let (run, data) = (experiment.run.clone(), experiment.data.clone());
    let loss = experiment.loss.clone();
    let mut order = Order::new(records.len(), run.seed);
    Prefetch::start(done..run.steps, move |step| {
        let items = order.batch(step, run.batch);
        let image = |(place, &item): (usize, &usize)| {
            let address = [step, place as u64];
            records.varied(item, side, &data.augmentation, run.seed, address)
        };
        let images: anyhow::Result<Vec<Vec<f32>>> =
            items.par_iter().enumerate().map(image).collect();
        let mut draws = generator(run.seed, DECODING, [step, 0]);
        let mut draw = || uniform(draws.next_u64());
        let inputs = items.iter().map(|_| match draw() {
            kind if kind < loss.discrete_share => DecoderInput::Discrete,
            kind if kind < loss.discrete_share + loss.partial_share => {
                DecoderInput::Partial(draw() as f32)
            }
            _ => DecoderInput::Continuous,
        });
        Ok(Batch { inputs: inputs.collect(), images: images?.concat() })
    })
}
