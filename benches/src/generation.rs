//! Generations at the released size with random weights, timed part by part. The text encoder is
//! left out.

use std::time::Instant;

use anyhow::{Context, Result};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use hart_ar::TextCondition;
use hart_core::checkpoint::LoadOptions;
use hart_core::config::TransformerConfig;
use hart_core::random::{Draws, SeededDraws};
use hart_core::tap::Tap;
use hart_core::{HartBackend, Precision};
use hart_diffusion::NoiseSchedule;
use hart_pipeline::{GenerationSettings, HartModel};

use crate::phases::Phases;
use crate::released::{Case, DIFFUSION_STEPS};

/// A model with random weights, and what it makes pictures of.
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
        precision.check::<B>(device)?;
        let config = case.config()?;
        let options = LoadOptions { precision, prepare: true };
        let model = HartModel::<B>::init(&config, device)?;
        // Weights are made when they are first looked at, so that preparing holds those of one
        // layer at a time; a cast looks at all of them.
        let model = match precision {
            Precision::Bf16 | Precision::F16 => model.cast(options)?,
            _ => model,
        };
        let model = options.finish(model);
        B::sync(device)?;
        Ok(Self {
            model,
            text: random_text(&config.transformer, case.batch, device),
            settings: settings()?,
            draws: SeededDraws::new((0..case.batch as u64).collect::<Vec<_>>()),
            device: device.clone(),
        })
    }

    /// Makes the pictures once: the seconds that each part took.
    ///
    /// # Errors
    /// Those of [`HartModel::generate_latent`].
    pub fn run(&self) -> Result<Phases<f64>> {
        let start = Instant::now();
        let mut last_tokens = LastTokens::default();
        let latent = self.model.generate_latent(
            &self.text,
            &self.settings,
            &self.draws,
            &mut |_| Ok(()),
            &mut last_tokens,
        )?;
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

/// When the last scale's tokens were sampled: the transformer is done, the diffusion begins. They
/// are sampled on the host, so that nothing of the transformer is still under way.
#[derive(Default)]
struct LastTokens {
    sampled: Option<Instant>,
}

impl Tap for LastTokens {
    fn record(&mut self, name: &str, _: &dyn Fn() -> TensorData) {
        if name == "m0.idx" {
            self.sampled = Some(Instant::now());
        }
    }

    // It asks for no tensors: everything is computed as for a user.
    fn is_listening(&self) -> bool {
        false
    }
}

/// The release's.
fn settings() -> Result<GenerationSettings> {
    let steps = DIFFUSION_STEPS.to_string();
    Ok(GenerationSettings {
        guidance: 4.5,
        top_k: None,
        top_p: 0.0,
        smooth: true,
        mask_passes: 1,
        noise_schedule: Some(NoiseSchedule::respaced(&steps)?),
        diffusion_steps: steps,
        temperature: 1.0,
    })
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
