//! Generations at the released size with random weights, timed part by part. The text encoder is
//! left out.

use std::ops::{Add, Sub};
use std::time::Instant;

use anyhow::{Context, Result};
use burn::module::Param;
use burn::tensor::{Distribution, Tensor, TensorData, backend::Backend, read_sync};
use hart_ar::{TextCondition, TransformerConfig};
use hart_core::checkpoint::LoadOptions;
use hart_core::random::{Draws, Pick, SeededDraws};
use hart_core::tap::Tap;
use hart_core::transfer;
use hart_core::walk;
use hart_core::{HartBackend, Precision};
use hart_pipeline::{Effort, GenerationSettings, HartModel};

use crate::counts::Counts;
use crate::phases::Phases;
use crate::released::Case;

/// A model of the released size with random weights, prepared to generate.
///
/// # Errors
/// When the backend does not compute in this precision, or there is no such case.
pub fn random_model<B: HartBackend>(
    case: &Case,
    precision: Precision,
    device: &B::Device,
) -> Result<HartModel<B>> {
    B::check_precision(precision, device)?;
    let options = LoadOptions { precision, prepare: true };
    let mut model = HartModel::<B>::init(&case.config()?, device)?;
    model.transformer = walk::map(model.transformer, &mut Normal)?;
    model.residual_head.network = walk::map(model.residual_head.network, &mut Normal)?;
    // Weights are made when they are first looked at, so that preparing holds those of one layer at a
    // time; a cast looks at all of them.
    let model = match precision {
        Precision::Bf16 | Precision::F16 => model.cast(options)?,
        _ => model,
    };
    let model = options.finish(model);
    B::sync(device)?;
    Ok(model)
}

/// A model with random weights, and what it makes images of.
#[derive(Debug)]
pub struct Generator<B: Backend> {
    model: HartModel<B>,
    text: TextCondition<B>,
    settings: GenerationSettings,
    draws: SeededDraws,
    samples_on_host: bool,
    device: B::Device,
}

impl<B: HartBackend> Generator<B> {
    /// Makes and prepares the weights.
    ///
    /// # Errors
    /// When the backend does not compute in this precision, or there is no such case.
    pub fn new(case: &Case, precision: Precision, device: &B::Device) -> Result<Self> {
        let model = random_model::<B>(case, precision, device)?;
        Ok(Self {
            text: random_text(model.transformer.config(), case.batch, device),
            model,
            settings: GenerationSettings::released(),
            draws: SeededDraws::new((0..case.batch as u64).collect::<Vec<_>>()),
            samples_on_host: false,
            device: device.clone(),
        })
    }

    /// The same with tokens that are sampled on the host, wherever the rest is computed.
    pub fn sampled_on_host(mut self, samples_on_host: bool) -> Self {
        self.samples_on_host = samples_on_host;
        self
    }

    /// The same with other guidance than the release's 4.5; 0 leaves the unconditional half out.
    pub fn guidance(mut self, guidance: f64) -> Self {
        self.settings.guidance = guidance;
        self
    }

    /// The same at another level of effort.
    pub fn effort(mut self, effort: Effort) -> Self {
        self.settings.effort = effort;
        self
    }

    /// Makes the images once: the seconds that each part took.
    ///
    /// # Errors
    /// Those of [`hart_pipeline::generation::Generation::run`].
    pub fn run(&self) -> Result<Phases<f64>> {
        let begun = Instant::now();
        self.read(|| begun.elapsed().as_secs_f64())
    }

    /// Makes the images once: what each part asked of the device.
    ///
    /// # Errors
    /// As [`Self::run`].
    pub fn count(&self) -> Result<Phases<Counts>> {
        self.read(Counts::so_far)
    }

    /// Makes the images once, and reads a clock or a counter before and after every part.
    fn read<T: Copy + Add<Output = T> + Sub<Output = T>>(
        &self,
        now: impl Fn() -> T,
    ) -> Result<Phases<T>> {
        let begun = now();
        let mut last_tokens = LastTokens::<B, _, _> { device: &self.device, now: &now, read: None };
        let draws: &dyn Draws = match self.samples_on_host {
            true => &OnHost(&self.draws),
            false => &self.draws,
        };
        let generation = self.model.generation(&self.text, &self.settings, draws);
        let latent = generation.tap(&mut last_tokens).run()?;
        let sampled = last_tokens.read.context("the last scale's tokens were not offered")?;
        B::sync(&self.device)?;
        let generated = now();
        // One by one, as the pipeline decodes.
        for image in 0..latent.dims()[0] {
            let latent = latent.clone().narrow(0, image, 1);
            let image = self.model.tokenizer.decode_latent(latent, &mut ());
            drop(read_sync(transfer::download(image))?);
        }
        let decoded = now();
        Ok(Phases::sum(sampled - begun, generated - sampled, decoded - generated))
    }
}

/// Matrices of normal values, as trained ones nearly are; how long 8-bit products take on some
/// processors depends on that. Their standard deviation is the one that burn's own would have.
pub struct Normal;

impl<B: Backend> walk::Map<B> for Normal {
    fn parameter<const D: usize>(
        &mut self,
        _: &walk::Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let shape = param.lazy_shape();
        if D != 2 {
            return param;
        }
        let normal = Distribution::Normal(0.0, 1.0 / (3.0 * shape[0] as f64).sqrt());
        let made = shape.clone();
        let make = move |device: &B::Device, _| Tensor::random(made.clone(), normal, device);
        Param::uninitialized(param.id, make, param.lazy_device(), false, shape)
    }
}

/// When the last scale's tokens were sampled: the transformer is done, the diffusion begins. Where
/// they are sampled on the device, this waits for it. No tensor is asked for: everything is computed
/// as for a user.
struct LastTokens<'a, B: Backend, T, F> {
    device: &'a B::Device,
    now: &'a F,
    read: Option<T>,
}

impl<B: Backend, T, F: Fn() -> T> Tap for LastTokens<'_, B, T, F> {
    fn record(&mut self, name: &str, _: &dyn Fn() -> TensorData) {
        if name == "pass.0.indices" {
            B::sync(self.device).expect("a device that computes");
            self.read = Some((self.now)());
        }
    }
}

/// The same draws, but not said to be those of seeds: tokens are sampled on the host then, where a device
/// would do it.
struct OnHost<'a>(&'a SeededDraws);

impl Draws for OnHost<'_> {
    fn token(&self, image: usize, scale: usize, position: usize) -> Pick {
        self.0.token(image, scale, position)
    }

    fn smooth_noise(&self, image: usize, scale: usize, position: usize, noise: &mut [f32]) {
        self.0.smooth_noise(image, scale, position, noise);
    }

    fn order(&self, image: usize, tokens: usize) -> Vec<usize> {
        self.0.order(image, tokens)
    }

    fn diffusion_start(&self, image: usize, position: usize, noise: &mut [f32]) {
        self.0.diffusion_start(image, position, noise);
    }

    fn diffusion_step(&self, image: usize, step: usize, position: usize, noise: &mut [f32]) {
        self.0.diffusion_step(image, step, position, noise);
    }
}

/// A context of standard normal values, every token valid.
fn random_text<B: Backend>(
    config: &TransformerConfig,
    batch: usize,
    device: &B::Device,
) -> TextCondition<B> {
    let (tokens, width) = (config.context_tokens, config.context_width);
    let mut values = vec![0.0; batch * tokens * width];
    let draws = SeededDraws::new([0]);
    for (i, row) in values.chunks_exact_mut(width).enumerate() {
        draws.diffusion_start(0, i, row);
    }
    TextCondition {
        context: Tensor::from_data(TensorData::new(values, [batch, tokens, width]), device),
        mask: vec![vec![true; tokens]; batch],
        positions: vec![(0..tokens as i64).collect(); batch],
    }
}
