//! Generations at the released size with random weights, timed part by part. The text encoder is
//! left out.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::module::Param;
use burn::tensor::{Distribution, Tensor, TensorData, backend::Backend};
use hart_ar::{TextCondition, TransformerConfig};
use hart_core::checkpoint::LoadOptions;
use hart_core::random::{Draws, SeededDraws};
use hart_core::tap::Tap;
use hart_core::walk;
use hart_core::{HartBackend, Precision};
use hart_pipeline::{Effort, GenerationSettings, HartModel};

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
            device: device.clone(),
        })
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
        let start = Instant::now();
        let mut last_tokens = LastTokens::<B> { device: &self.device, sampled: None };
        let generation = self.model.generation(&self.text, &self.settings, &self.draws);
        let latent = generation.tap(&mut last_tokens).run()?;
        B::sync(&self.device)?;
        let generated = Instant::now();
        // One by one, as the pipeline decodes.
        for image in 0..latent.dims()[0] {
            let latent = latent.clone().narrow(0, image, 1);
            drop(self.model.tokenizer.decode_latent(latent, &mut ()).into_data());
        }
        let decoded = Instant::now();
        let sampled = last_tokens.sampled.context("the last scale's tokens were not offered")?;
        Ok(Phases::sum(
            (sampled - start).as_secs_f64(),
            (generated - sampled).as_secs_f64(),
            (decoded - generated).as_secs_f64(),
        ))
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
struct LastTokens<'a, B: Backend> {
    device: &'a B::Device,
    sampled: Option<Instant>,
}

impl<B: Backend> Tap for LastTokens<'_, B> {
    fn record(&mut self, name: &str, _: &dyn Fn() -> TensorData) {
        if name == "pass.0.indices" {
            B::sync(self.device).expect("a device that computes");
            self.sampled = Some(Instant::now());
        }
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
