//! What the steps train on.

use std::sync::Arc;

use hart_core::random::{generator, uniform};
use hart_examples::data::Records;
use hart_examples::training::prefetch::{Order, Prefetch};
use rand::Rng;
use rayon::prelude::*;

use crate::Experiment;

/// The stream of a seed that decides which images are decoded with their residual.
const DECODING: u64 = 130;

/// What a step trains on.
pub(crate) struct Batch {
    /// Images `[batch, 3, side, side]` in [-1, 1].
    pub(crate) images: Vec<f32>,
    /// For each image whether its decoder sees the residual.
    pub(crate) continuous: Vec<bool>,
}

/// The batches of all steps after `done`, prepared on another thread.
pub(crate) fn batches(
    experiment: &Experiment,
    records: Arc<Records>,
    side: usize,
    done: u64,
) -> Prefetch<Batch> {
    let (run, data) = (experiment.run.clone(), experiment.data.clone());
    let share = experiment.loss.discrete_share;
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
        let mut discrete = || uniform(draws.next_u64()) >= share;
        Ok(Batch {
            images: images?.concat(),
            continuous: items.iter().map(|_| discrete()).collect(),
        })
    })
}
