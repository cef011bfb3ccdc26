//! The one seam of a generation: what may be changed on the way.
//!
//! Editing, effort levels, marks and experiments are hooks; nothing else in the loop knows of them.
//! Every method has the behaviour of the release as its default, so that a hook says only what it
//! does otherwise. The unit type is the hook that changes nothing.

use burn::tensor::{Int, Tensor, backend::Backend};
use hart_ar::{Computed, HalfLogits, TextCondition};
use hart_core::random::Draws;
use hart_core::tap::Tap;
use hart_core::{Grid, HartBackend, Result};
use hart_diffusion::{NoiseSchedule, ResidualHead, SamplerSettings};

use crate::model::HartModel;

/// Changes what a generation computes.
///
/// ```
/// use hart_core::HartBackend;
/// use hart_pipeline::generation::GenerationHook;
///
/// /// Guidance for the first scales only: later ones take half the time.
/// struct EarlyGuidance(usize);
///
/// impl<B: HartBackend> GenerationHook<B> for EarlyGuidance {
///     fn name(&self) -> Option<String> {
///         Some(format!("guidance for {} scales", self.0))
///     }
///
///     fn guidance(&mut self, scale: usize, usual: f64) -> f64 {
///         if scale < self.0 { usual } else { 0.0 }
///     }
/// }
/// ```
pub trait GenerationHook<B: HartBackend> {
    /// What images say of it in their settings. An image made with a hook cannot be made again
    /// without it.
    fn name(&self) -> Option<String> {
        None
    }

    /// A batch of images is begun by a pipeline.
    ///
    /// # Errors
    /// Those of the hook; the request ends with them.
    fn begin(&mut self, batch: &Batch<'_>) -> Result<()> {
        let _ = batch;
        Ok(())
    }

    /// The draws of the batch, from those that its seeds give.
    fn draws<'d>(&mut self, draws: Box<dyn Draws + 'd>) -> Box<dyn Draws + 'd> {
        draws
    }

    /// The encoded prompts of the batch.
    fn text(&mut self, text: TextCondition<B>) -> TextCondition<B> {
        text
    }

    /// What guidance leads away from, a negative prompt for each of the batch; `None` for the empty
    /// prompt.
    ///
    /// # Errors
    /// Those of the hook; the generation ends with them.
    fn negative(&mut self, text: &TextCondition<B>) -> Result<Option<TextCondition<B>>> {
        let _ = text;
        Ok(None)
    }

    /// The guidance of a scale, instead of the `usual` one. All scales are asked for before the
    /// first is computed: where no scale from this one on has any (0), the unconditional half is
    /// not computed, in the residual head neither.
    fn guidance(&mut self, scale: usize, usual: f64) -> f64 {
        let _ = scale;
        usual
    }

    /// Which tokens of a scale go through the blocks, instead of what the effort of the request says:
    /// [`Computed::Most`] needs an earlier scale with [`Computed::AllKept`]. All scales are asked for
    /// before the first is computed.
    fn computed(&mut self, scale: usize, usual: Computed) -> Computed {
        let _ = scale;
        usual
    }

    /// The row-major positions of a scale that are computed for an image, increasing, the same
    /// number for all images of the batch; `None` for all. The others add nothing to the latent.
    fn positions(&mut self, scale: usize, image: usize) -> Option<Vec<usize>> {
        let _ = (scale, image);
        None
    }

    /// The logits `[batch, positions, V]` that tokens are sampled from, made of those of the halves of
    /// guidance.
    ///
    /// # Errors
    /// Those of [`HalfLogits::guided`], and of the hook; the generation ends with them.
    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        logits.guided(step.guidance)
    }

    /// The tokens that were sampled.
    ///
    /// # Errors
    /// Those of the hook; the generation ends with them.
    fn tokens(&mut self, step: &Step<'_, B>, tokens: ScaleTokens<B>) -> Result<ScaleTokens<B>> {
        let _ = step;
        Ok(tokens)
    }

    /// The latent `[batch, Z, H, W]` after a scale, which the next one continues.
    ///
    /// # Errors
    /// Those of the hook; the generation ends with them.
    fn latent(&mut self, scale: usize, latent: Tensor<B, 4>) -> Result<Tensor<B, 4>> {
        let _ = scale;
        Ok(latent)
    }

    /// The residual `[batch, positions, Z]` that is added to the tokens of the last scale.
    ///
    /// # Errors
    /// Those of the sampling, and of the hook.
    fn residual(
        &mut self,
        step: &Step<'_, B>,
        sampling: ResidualSampling<'_, B>,
    ) -> Result<Tensor<B, 3>> {
        let _ = step;
        sampling.sample()
    }
}

impl<B: HartBackend> GenerationHook<B> for () {}

/// The images of a batch that a pipeline begins.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub struct Batch<'a> {
    /// Their indices in the request.
    pub images: &'a [usize],
    /// Their prompts.
    pub prompts: &'a [&'a str],
    /// Their seeds.
    pub seeds: &'a [u64],
}

/// Where a generation is.
#[derive(Debug)]
#[non_exhaustive]
pub struct Step<'a, B: Backend> {
    /// The model.
    pub model: &'a HartModel<B>,
    /// The scale, counted from 0.
    pub scale: usize,
    /// The scale's map.
    pub grid: Grid,
    /// The masked pass over the last scale, counted from 0; 0 at all other scales.
    pub pass: usize,
    /// For each image the row-major positions that are computed.
    pub positions: &'a [Vec<usize>],
    /// The guidance of the scale.
    pub guidance: f64,
    /// The latent before the scale, `[batch, Z, H, W]`.
    pub latent: &'a Tensor<B, 4>,
}

/// The tokens of a step.
#[derive(Debug, Clone)]
pub struct ScaleTokens<B: Backend> {
    /// The chosen codes, `[batch, positions]`. At the last scale the residual head is conditioned
    /// on them.
    pub indices: Tensor<B, 2, Int>,
    /// What is added to the image, `[batch, positions, Z]`: the chosen codes themselves, or their
    /// smooth mixture.
    pub vectors: Tensor<B, 3>,
}

/// All that the residual of a pass is sampled from.
#[non_exhaustive]
pub struct ResidualSampling<'a, B: HartBackend> {
    /// The residual head.
    pub head: &'a ResidualHead<B>,
    /// Its steps.
    pub schedule: &'a NoiseSchedule,
    /// Guidance and temperature.
    pub settings: SamplerSettings,
    /// The condition `[rows, positions, C]`: the conditional rows, and behind them the
    /// unconditional ones where these are computed.
    pub condition: Tensor<B, 3>,
    /// The noise that sampling starts from, `[batch, positions, Z]`.
    pub start: Tensor<B, 3>,
    /// The noise of a step by its index in sampling order, `[batch, positions, Z]`.
    pub noise: Box<dyn Fn(usize) -> Tensor<B, 3> + 'a>,
    /// Is offered the samples of every step.
    pub tap: &'a mut dyn Tap,
}

impl<B: HartBackend> ResidualSampling<'_, B> {
    /// Samples the residual by ancestral sampling, as the release does: `[batch, positions, Z]`.
    ///
    /// # Errors
    /// [`hart_core::Error::Invalid`] when shapes were changed so that they do not fit any more.
    pub fn sample(self) -> Result<Tensor<B, 3>> {
        let Self { head, schedule, settings, condition, start, noise, tap } = self;
        head.sample(schedule, condition, start, noise, &settings, tap)
    }
}
