//! The loss of transformer and residual head together (section 6).
//!
//! It is made of plain tensor operations: on `Autodiff<B>` it has gradients. All that is random in
//! it is a value, [`StepDraws`], so that a training run follows from its seed and can be continued
//! exactly.

use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use hart_ar::sampling::{choose, filter};
use hart_ar::{TextCondition, Transformer, cross_entropy};
use hart_core::ops::pick_rows;
use hart_core::random::Pick;
use hart_core::{Error, HartBackend, Result, ScaleSchedule};
use hart_diffusion::{DiffusionDraws, DiffusionLoss, DiffusionTerms, ResidualNetwork};
use rayon::prelude::*;

use super::draws::StepDraws;
use crate::generation::to_host;

/// Largest logits kept when the code that the residual is measured from is sampled.
const TOP_K: usize = 600;
/// Their cumulative probability.
const TOP_P: f64 = 0.96;

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
    let logits = to_host(logits.detach())?;
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
