//! The generation: scale after scale, then the residual (sections 4.4 and 4.5).
//!
//! | module | what |
//! |---|---|
//! | [`coarse`] | all scales but the last: discrete tokens |
//! | [`last`] | the last scale: masked passes, and the residual of the diffusion head |
//! | [`hook`] | the one seam: what may be changed on the way, for editing and research |
//! | [`effort`] | how much is computed at the largest scales |
//! | [`settings`] | guidance, sampling, diffusion steps |
//!
//! ```
//! use hart_core::random::SeededDraws;
//! use hart_pipeline::{GenerationSettings, HartPipeline};
//! # #[cfg(all(feature = "flex", feature = "embedded"))] {
//! let pipeline = HartPipeline::<burn::backend::Flex>::embedded(&Default::default())?;
//! let text = pipeline.text_encoder().encode(&["a red heart, flat style"])?.text;
//!
//! let model = pipeline.model()?;
//! let settings = GenerationSettings::for_model(pipeline.defaults(), "8")?;
//! let draws = SeededDraws::new([7]);
//! let latent = model.generation(&text, &settings, &draws).run()?;
//! assert_eq!(latent.dims(), [1, 16, 8, 8]);
//! # }
//! # Ok::<(), hart_pipeline::Error>(())
//! ```

pub mod coarse;
pub mod effort;
pub mod hook;
pub(crate) mod host;
pub mod last;
pub(crate) mod noise;
mod positions;
pub mod settings;
mod step;

use std::cell::{Cell, OnceCell};

use burn::tensor::{DType, Tensor, backend::Backend};
use hart_ar::{Computed, Halves, Session, TextCondition};
use hart_core::ops::sampling::SmoothNoise;
use hart_core::random::Draws;
use hart_core::tap::{Prefixed, Tap};
use hart_core::{Error, HartBackend, Result, ScaleSchedule};

use crate::model::HartModel;
pub use effort::Effort;
pub use hook::{Batch, GenerationHook, ResidualSampling, ScaleTokens, Step};
#[cfg(feature = "images")]
pub(crate) use host::codes_to_host;
pub(crate) use host::{on_host, to_host, wait};
pub use settings::GenerationSettings;

/// Something that was finished in a generation.
#[derive(Debug)]
#[non_exhaustive]
pub enum Stage<'a, B: Backend> {
    /// A scale; with the sum of all scales so far, `[batch, Z, H, W]`.
    Scale {
        /// The scale, counted from 0.
        scale: usize,
        /// The latent so far.
        latent: &'a Tensor<B, 4>,
    },
    /// A masked pass over the last scale.
    MaskPass {
        /// The pass, counted from 0.
        pass: usize,
        /// How many passes there are.
        passes: usize,
    },
}

/// Is given every stage as it is finished, and ends the generation by returning an error.
pub type Report<'a, B> = dyn FnMut(Stage<'_, B>) -> Result<()> + 'a;

/// A generation that is about to be run: [`HartModel::generation`].
#[must_use = "nothing is computed before `run`"]
pub struct Generation<'a, B: HartBackend> {
    model: &'a HartModel<B>,
    text: &'a TextCondition<B>,
    settings: &'a GenerationSettings,
    draws: &'a dyn Draws,
    hook: Option<&'a mut dyn GenerationHook<B>>,
    report: Option<&'a mut Report<'a, B>>,
    tap: Option<&'a mut dyn Tap>,
}

impl<B: HartBackend> HartModel<B> {
    /// A generation of the latents of a batch of encoded prompts. All randomness comes from
    /// `draws`.
    pub fn generation<'a>(
        &'a self,
        text: &'a TextCondition<B>,
        settings: &'a GenerationSettings,
        draws: &'a dyn Draws,
    ) -> Generation<'a, B> {
        Generation { model: self, text, settings, draws, hook: None, report: None, tap: None }
    }
}

impl<'a, B: HartBackend> Generation<'a, B> {
    /// Lets a hook change what is computed.
    pub fn hook(mut self, hook: &'a mut dyn GenerationHook<B>) -> Self {
        self.hook = Some(hook);
        self
    }

    /// Reports every finished stage.
    pub fn report(mut self, report: &'a mut Report<'a, B>) -> Self {
        self.report = Some(report);
        self
    }

    /// Offers the intermediate tensors to a tap.
    pub fn tap(mut self, tap: &'a mut dyn Tap) -> Self {
        self.tap = Some(tap);
        self
    }

    /// Generates the latents `[batch, Z, H, W]`.
    ///
    /// # Errors
    /// [`hart_core::Error::Invalid`] when the text does not fit the model or a hook asks for the
    /// impossible, [`hart_core::Error::NonFinite`] when the weights give NaN or infinite logits,
    /// and whatever the report and the hook return.
    pub fn run(self) -> Result<Tensor<B, 4>> {
        wait(self.run_async())
    }

    /// As [`Self::run`], without blocking the thread while the device computes.
    ///
    /// # Errors
    /// As [`Self::run`], and [`hart_core::Error::System`] when the device fails.
    pub async fn run_async(self) -> Result<Tensor<B, 4>> {
        let Self { model, text, settings, draws, hook, report, tap } = self;
        let (mut release, mut silent, mut deaf) = ((), |_: Stage<'_, B>| Ok(()), ());
        let hook = hook.unwrap_or(&mut release);
        let draws = hook.draws(Box::new(draws));
        let text = &hook.text(text.clone());
        let scales = model.transformer.scales();
        let ratios = (0..scales.count()).map(|scale| {
            let guided = settings.effort.is_guided(scales, scale);
            if guided { settings.guidance * scales.ratio(scale) } else { 0.0 }
        });
        let guidance: Vec<f64> =
            ratios.enumerate().map(|(scale, usual)| hook.guidance(scale, usual)).collect();
        let computed = |scale| hook.computed(scale, settings.effort.computed(scales, scale));
        let computed = (0..scales.count()).map(computed).collect();
        let device = text.context.device();
        let [entries, _] = model.tokenizer.quantizer.codebook_shape();
        let seeds = draws.seeds().filter(|_| settings.smooth);
        let smooth_noise = seeds.and_then(|s| B::smooth_noise(s, scales, entries, &device));
        let run = Run {
            model,
            smooth_noise,
            settings,
            computed,
            guided_until: guidance.iter().rposition(|&guidance| guidance != 0.0),
            guidance,
            codebook: OnceCell::new(),
            sampled_there: Cell::new(false),
            batch: text.context.dims()[0],
            device,
        };
        let mut around = Around {
            hook,
            draws: &*draws,
            report: report.unwrap_or(&mut silent),
            tap: tap.unwrap_or(&mut deaf),
        };
        let latent = run.generate(text, &mut around).await?;
        if run.sampled_there.get() {
            check_finite(&latent).await?;
        }
        Ok(latent)
    }
}

/// What stays the same through all steps of one generation.
struct Run<'a, B: Backend> {
    model: &'a HartModel<B>,
    settings: &'a GenerationSettings,
    /// For each scale which tokens go through the blocks.
    computed: Vec<Computed>,
    /// For each scale.
    guidance: Vec<f64>,
    /// The last scale with any guidance: later ones leave the unconditional half out.
    guided_until: Option<usize>,
    /// The codebook on the host, `[V, Z]` row by row; read where tokens are sampled there.
    codebook: OnceCell<Vec<f32>>,
    /// The noise of smooth sampling, where the backend makes it at once.
    smooth_noise: Option<SmoothNoise<B>>,
    /// Whether tokens were sampled on the device, where nobody has looked at the logits.
    sampled_there: Cell<bool>,
    batch: usize,
    device: B::Device,
}

/// Whoever looks at or changes what is computed.
struct Around<'a, 'r, B: HartBackend> {
    hook: &'a mut dyn GenerationHook<B>,
    draws: &'a dyn Draws,
    report: &'a mut Report<'r, B>,
    tap: &'a mut dyn Tap,
}

impl<'r, B: HartBackend> Around<'_, 'r, B> {
    /// Does a part of the work, whose tensors are offered to the tap under `prefix`.
    async fn within<T>(
        &mut self,
        prefix: String,
        work: impl AsyncFnOnce(&mut Around<'_, 'r, B>) -> T,
    ) -> T {
        let mut tap = Prefixed { prefix, tap: &mut *self.tap };
        let (hook, report) = (&mut *self.hook, &mut *self.report);
        work(&mut Around { hook, draws: self.draws, report, tap: &mut tap }).await
    }
}

impl<B: HartBackend> Run<'_, B> {
    async fn generate(
        &self,
        text: &TextCondition<B>,
        around: &mut Around<'_, '_, B>,
    ) -> Result<Tensor<B, 4>> {
        let passes = self.passes(around)?;
        let kept = passes.iter().rev().skip(1).map(|pass| pass.len()).sum();
        let transformer = &self.model.transformer;
        let mut session = match around.hook.negative(text)? {
            Some(negative) if self.halves(0) == Halves::Both => {
                Session::with_negative(transformer, text, &negative, kept, around.tap)?
            }
            _ => Session::new(transformer, text, kept, self.halves(0), around.tap)?,
        };
        let coarse = self.coarse_scales(&mut session, around).await?;
        self.last_scale(&mut session, coarse, &passes, around).await
    }

    fn scales(&self) -> &ScaleSchedule {
        self.model.transformer.scales()
    }

    /// The halves of guidance that are computed at a scale: later guidance needs the keys and
    /// values of all scales before it.
    fn halves(&self, scale: usize) -> Halves {
        match self.guided_until {
            Some(last) if scale <= last => Halves::Both,
            _ => Halves::Conditional,
        }
    }
}

/// The one look at a generation whose tokens are sampled on the device: logits that are not finite
/// leave their mark on the latent.
///
/// # Errors
/// [`Error::NonFinite`].
async fn check_finite<B: Backend>(latent: &Tensor<B, 4>) -> Result<()> {
    let sum = latent.clone().cast(DType::F32).sum();
    if on_host(sum).await?.iter().all(|sum| sum.is_finite()) {
        return Ok(());
    }
    let what = "the logits of some scale, and with them the latent,".to_string();
    Err(Error::NonFinite { what })
}
