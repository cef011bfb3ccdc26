//! What transformer and residual head are trained with, together (section 6).
//!
//! The loss is made of plain tensor operations: on `Autodiff<B>` it has gradients. All that is
//! random in it is a value, [`StepDraws`], so that a training run follows from its seed and can be
//! continued exactly.

use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use hart_ar::sampling::{choose, filter};
use hart_ar::{TextCondition, Transformer, cross_entropy, kept_tokens};
use hart_core::ops::pick_rows;
use hart_core::random::{Pick, generator, uniform};
use hart_core::{Error, HartBackend, Result, ScaleSchedule};
use hart_diffusion::schedule::TRAINING_STEPS;
use hart_diffusion::{DiffusionDraws, DiffusionLoss, DiffusionTerms, ResidualNetwork};
use rand_distr::{Distribution, StandardNormal};
use rayon::prelude::*;

use crate::generation::to_host;

/// Largest logits kept when the code that the residual is measured from is sampled.
const TOP_K: usize = 600;
/// Their cumulative probability.
const TOP_P: f64 = 0.96;
/// The share of the last scale that is dropped: normal with this mean and deviation, cut to
/// [`MASK_RANGE`].
const MASK_RATIO: [f64; 2] = [1.0, 0.25];
/// The range of that share.
const MASK_RANGE: [f64; 2] = [0.5, 1.0];

/// Images as tokens, what the transformer and the residual head learn to predict.
#[derive(Debug, Clone)]
pub struct TokenBatch<B: Backend> {
    /// For each image the codes of all scales, one behind the other.
    pub codes: Vec<Vec<usize>>,
    /// What the scales before the last one leave over, `[batch, last tokens, Z]`.
    pub residual: Tensor<B, 3>,
    /// The inputs of scales 1 … S-1, `[batch, total tokens - 1, Z]`
    /// ([`hart_tokenizer::Quantizer::teacher_forcing`]).
    pub images_so_far: Tensor<B, 3>,
    /// The codebook, `[V, Z]`.
    pub codebook: Tensor<B, 2>,
}

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

/// The parts of the loss and what they were computed from.
#[derive(Debug, Clone)]
pub struct HartTerms<B: Backend> {
    /// Cross entropy of every predicted code in nats, `[batch, tokens]`.
    pub cross_entropies: Tensor<B, 2>,
    /// The residual head's loss.
    pub diffusion: DiffusionTerms<B>,
    /// Logits of all predicted codes, `[batch, tokens, V]`.
    pub logits: Tensor<B, 3>,
    /// The true codes, `[batch, tokens]` row by row.
    pub targets: Vec<usize>,
    /// The codes that residuals were measured from, `[batch, kept]` row by row.
    pub chosen: Vec<usize>,
    /// The condition of the residual head, `[batch, kept, C]`.
    pub condition: Tensor<B, 3>,
}

impl<B: Backend> HartTerms<B> {
    /// Mean cross entropy of all predicted codes in nats, `[1]`.
    pub fn cross_entropy(&self) -> Tensor<B, 1> {
        self.cross_entropies.clone().mean()
    }

    /// Mean cross entropy under `weights`, one for each predicted token of an image
    /// ([`hart_ar::scale_weights`]), `[1]`.
    pub fn weighted_cross_entropy(&self, weights: &[f32]) -> Tensor<B, 1> {
        let device = self.cross_entropies.device();
        let weights = TensorData::new(weights.to_vec(), [1, weights.len()]);
        let weights = Tensor::from_data(weights, (&device, DType::F32));
        (self.cross_entropies.clone() * weights).mean()
    }

    /// The loss: cross entropy and diffusion loss added, `[1]`.
    pub fn total(&self) -> Tensor<B, 1> {
        self.cross_entropy() + self.diffusion.total()
    }
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

/// The loss of transformer and residual head on a batch of images under their prompts.
///
/// # Errors
/// [`Error::Invalid`] when shapes or draws do not fit each other, [`Error::NonFinite`] when a logit
/// is NaN or infinite, which means that the training has diverged.
pub fn hart_loss<B: HartBackend>(
    transformer: &Transformer<B>,
    residual_network: &ResidualNetwork<B>,
    diffusion: &DiffusionLoss,
    text: &TextCondition<B>,
    batch: &TokenBatch<B>,
    draws: &StepDraws,
) -> Result<HartTerms<B>> {
    let scales = transformer.scales();
    check(scales, batch, draws)?;
    let text = text.without(&draws.dropped);
    let predicted = transformer.predict(&text, batch.images_so_far.clone(), &draws.kept)?;
    let targets = targets(scales, &batch.codes, &draws.kept);
    let [images, tokens, _] = predicted.logits.dims();
    let device = predicted.logits.device();
    let upload = |codes: &[usize], shape: [usize; 2]| {
        let codes: Vec<i64> = codes.iter().map(|&code| code as i64).collect();
        Tensor::<B, 2, Int>::from_data(TensorData::new(codes, shape), &device)
    };
    let targets_there = upload(&targets, [images, tokens]);
    let cross_entropies = cross_entropy(predicted.logits.clone(), targets_there);

    let kept = draws.kept[0].len();
    let truth = |image: &[usize]| image[tokens - kept..].to_vec();
    let chosen = match &draws.picks {
        Some(picks) => pick(predicted.logits.clone().narrow(1, tokens - kept, kept), picks)?,
        None => targets.chunks_exact(tokens).flat_map(truth).collect(),
    };
    let rows = upload(&chosen, [images, kept]).reshape([images * kept]);
    let codes = batch.codebook.clone().select(0, rows);
    let channels = codes.dims()[1];
    let residual = pick_rows(batch.residual.clone(), &draws.kept);
    let residual = residual.reshape([images * kept, channels]) - codes.clone();
    let codes = codes.reshape([images, kept, channels]);
    let condition = transformer.residual_condition(predicted.hidden, codes);
    let width = condition.dims()[2];
    let noise = TensorData::new(draws.noise.clone(), [draws.times.len(), channels]);
    let noise = Tensor::from_data(noise, (&device, DType::F32));
    let diffusion = diffusion.forward(
        residual_network,
        residual,
        condition.clone().reshape([images * kept, width]),
        &DiffusionDraws { times: draws.times.clone(), noise },
    )?;
    let logits = predicted.logits;
    Ok(HartTerms { cross_entropies, diffusion, logits, targets, chosen, condition })
}

/// The true codes of all predicted tokens, row by row.
fn targets(scales: &ScaleSchedule, codes: &[Vec<usize>], kept: &[Vec<usize>]) -> Vec<usize> {
    let images = codes.iter().zip(kept);
    images
        .flat_map(|(codes, kept)| {
            let (earlier, last) = codes.split_at(codes.len() - scales.tokens(scales.last()));
            earlier.iter().copied().chain(kept.iter().map(|&position| last[position]))
        })
        .collect()
}

/// A code for every row of `[batch, kept, V]`.
fn pick<B: Backend>(logits: Tensor<B, 3>, picks: &[Pick]) -> Result<Vec<usize>> {
    let entries = logits.dims()[2];
    let logits = to_host(logits.detach());
    let rows = logits.par_chunks_exact(entries).zip(picks);
    rows.map(|(logits, &pick)| {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(Error::NonFinite { what: "the logits in training".to_string() });
        }
        Ok(choose(&filter(logits, TOP_K, TOP_P), pick))
    })
    .collect()
}

fn check<B: Backend>(
    scales: &ScaleSchedule,
    batch: &TokenBatch<B>,
    draws: &StepDraws,
) -> Result<()> {
    let images = batch.codes.len();
    let total: usize = (0..scales.count()).map(|scale| scales.tokens(scale)).sum();
    let [entries, channels] = batch.codebook.dims();
    let fits = |codes: &Vec<usize>| codes.len() == total && codes.iter().all(|&c| c < entries);
    if images == 0 || !batch.codes.iter().all(fits) {
        let expected = format!("{total} codes below {entries} for each image");
        let found: Vec<usize> = batch.codes.iter().map(Vec::len).collect();
        return Err(Error::invalid("the codes of the images", format!("{found:?}"), expected));
    }
    let residual = [images, scales.tokens(scales.last()), channels];
    if batch.residual.dims() != residual {
        let found = batch.residual.dims();
        return Err(Error::shape("the shape of the residual", &found, format!("{residual:?}")));
    }
    let kept = draws.kept.iter().map(Vec::len).sum::<usize>();
    let fits = draws.dropped.len() == images
        && draws.kept.len() == images
        && draws.picks.as_ref().is_none_or(|picks| picks.len() == kept)
        && draws.noise.len() == draws.times.len() * channels;
    if fits {
        return Ok(());
    }
    let found = format!("some for {} images with {kept} kept tokens", draws.dropped.len());
    Err(Error::invalid("the draws of a step", found, format!("some for {images} images")))
}
