//! The random part of a step: drawn from a seed, handed to the loss as a value.

use hart_ar::kept_tokens;
use hart_core::ScaleSchedule;
use hart_core::random::{Pick, generator, uniform};
use hart_diffusion::schedule::TRAINING_STEPS;
use rand_distr::{Distribution, StandardNormal};

/// The share of the last scale that is dropped: normal with this mean and deviation, cut to
/// [`MASK_RANGE`].
const MASK_RATIO: [f64; 2] = [1.0, 0.25];
/// The range of that share.
const MASK_RANGE: [f64; 2] = [0.5, 1.0];

/// The random part of one step of training.
#[derive(Debug, Clone, PartialEq)]
pub struct StepDraws {
    /// For each image whether its prompt is withheld.
    pub dropped: Vec<bool>,
    /// For each image the positions of the last scale that are fed and predicted.
    pub kept: Vec<Vec<usize>>,
    /// For each kept token how the code is picked that its residual is measured from; `None` for
    /// the true codes.
    pub picks: Option<Vec<Pick>>,
    /// For every copy of every kept token its diffusion time.
    pub times: Vec<usize>,
    /// As many times Z standard normal values.
    pub noise: Vec<f32>,
}

/// Which streams of a seed training draws from.
#[derive(Clone, Copy)]
enum Stream {
    Images = 100,
    Diffusion = 101,
}

impl StepDraws {
    /// The draws of step `step` of the run with this seed, for `batch` images: prompts withheld at
    /// the rate `drop_rate`, `copies` diffusion times for each kept token of `channels` values.
    pub fn new(
        seed: u64,
        step: u64,
        batch: usize,
        scales: &ScaleSchedule,
        drop_rate: f64,
        [copies, channels]: [usize; 2],
    ) -> Self {
        use rand::Rng as _;
        let mut images = generator(seed, Stream::Images as u64, [step, 0]);
        let mut uniform = || uniform(images.next_u64());
        let dropped = (0..batch).map(|_| uniform() < drop_rate).collect();
        // One ratio for all images: they keep as many tokens each.
        let ratio = mask_ratio(&mut generator(seed, Stream::Images as u64, [step, 1]));
        let tokens = scales.tokens(scales.last());
        let kept: Vec<Vec<usize>> = (0..batch)
            .map(|_| {
                let mut keyed: Vec<(f64, usize)> = (0..tokens).map(|p| (uniform(), p)).collect();
                keyed.sort_by(|a, b| a.0.total_cmp(&b.0));
                let order: Vec<usize> = keyed.into_iter().map(|(_, position)| position).collect();
                kept_tokens(&order, ratio)
            })
            .collect();
        let count = batch * kept.first().map_or(0, Vec::len);
        let picks = (0..count).map(|_| Pick::At(uniform() as f32 * (1.0 - f32::EPSILON)));
        let picks = Some(picks.collect());
        let rows = copies * count;
        let mut diffusion = generator(seed, Stream::Diffusion as u64, [step, 0]);
        let times = (0..rows).map(|_| diffusion.next_u32() as usize % TRAINING_STEPS).collect();
        let noise = (0..rows * channels).map(|_| StandardNormal.sample(&mut diffusion)).collect();
        Self { dropped, kept, picks, times, noise }
    }
}

/// A normal share cut to its range.
fn mask_ratio(generator: &mut impl rand::Rng) -> f64 {
    loop {
        let normal: f64 = StandardNormal.sample(generator);
        let ratio = MASK_RATIO[0] + MASK_RATIO[1] * normal;
        if (MASK_RANGE[0]..=MASK_RANGE[1]).contains(&ratio) {
            return ratio;
        }
    }
}
