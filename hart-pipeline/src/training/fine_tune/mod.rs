//! Fine-tuning in memory: a trained model, more images, as many steps as a program wants, and a
//! pipeline in between or at the end.
//!
//! ```
//! # #[cfg(all(feature = "flex", feature = "embedded"))] {
//! use hart_pipeline::backend::Flex;
//! use hart_pipeline::training::data::Records;
//! use hart_pipeline::training::fine_tune::{FineTune, FineTuneSettings, TrainableModel};
//! use hart_pipeline::{Pixels, Request};
//!
//! let red = Pixels::new(1, 1, vec![255, 0, 0])?;
//! let records = Records::from_images([(red, vec!["a wall, flat style".to_string()])])?;
//! let model = TrainableModel::<Flex>::embedded(&Default::default())?;
//! let mut settings = FineTuneSettings::new(2);
//! settings.batch = 2;
//! let mut tuning = FineTune::start(model, records, settings, &mut ())?;
//! let before = tuning.step()?.cross_entropy;
//! assert!(tuning.step()?.cross_entropy < before);
//! let images = tuning.pipeline()?.generate(&Request::new("a wall, flat style"))?;
//! # assert_eq!(images.len(), 1);
//! # }
//! # Ok::<(), hart_pipeline::Error>(())
//! ```

mod model;
mod settings;

use std::sync::Arc;

use burn::backend::Autodiff;
use hart_core::nn::Prepare;
use hart_core::{HartBackend, Precision, Result};
use hart_diffusion::DiffusionLoss;

pub use model::TrainableModel;
use model::Unchanged;
pub use settings::FineTuneSettings;

use super::data::{Order, Records, check_images};
use super::hart::{Batches, DataSet, Learned, Learner, Part, Rates, Shape, TokenCache};
use super::observer::TrainingObserver;
use super::optimizer::Trainee;
use super::run::diverged;
use crate::pipeline::HartPipeline;

/// A model that is being taught more images.
pub struct FineTune<B: HartBackend> {
    settings: FineTuneSettings,
    learner: Trainee<Autodiff<B>, Learner<Autodiff<B>>>,
    unchanged: Unchanged<B>,
    batches: Batches,
    order: Order,
    diffusion: DiffusionLoss,
    done: u64,
}

/// What a step of fine-tuning measured, before it changed the weights.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct StepMetrics {
    /// Cross entropy, and the diffusion loss by its weight.
    pub loss: f64,
    /// Mean cross entropy of the predicted codes, in nats.
    pub cross_entropy: f64,
    /// The residual head's loss.
    pub diffusion: f64,
    /// The share of codes that are the most likely ones.
    pub accuracy: f64,
    /// The length of the gradient before it was clipped.
    pub gradient: f64,
}

impl<B: HartBackend> FineTune<B> {
    /// Turns the images of the records into tokens, and makes ready for the first step.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) for a setting out of its range,
    /// [`Error::Malformed`](hart_core::Error::Malformed) for images that cannot be read, with all of
    /// them, and [`Error::Cancelled`](hart_core::Error::Cancelled) when the
    /// observer ends the encoding.
    pub fn start(
        model: TrainableModel<B>,
        records: Records,
        settings: FineTuneSettings,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Self> {
        settings.check()?;
        let TrainableModel { learner, unchanged } = model;
        let Unchanged { tokenizer, device, .. } = &unchanged;
        let (mut checked, _) = check_images(vec![records], false, None, &mut *observer)?;
        let records = checked.remove(0);
        let tokens = TokenCache::of(&records, tokenizer, device, observer)?;
        let order = Order::new(records.len(), settings.seed);
        let data = Arc::new(DataSet { records, tokens });
        let config = learner.transformer.config();
        let batches = Batches {
            data,
            new: None,
            grammar: None,
            system: unchanged.system_ids(config.context_tokens)?,
            prompts: unchanged.prompts.clone(),
            shape: Shape {
                scales: config.scales.clone(),
                codebook: unchanged.tokenizer.quantizer.codebook_shape(),
                context_tokens: config.context_tokens,
                repeats: settings.repeats,
            },
            rates: Rates {
                plain: settings.plain_captions,
                spoiled: settings.loss.spoiled,
                dropped: config.condition_drop_rate,
                residual_from: settings.loss.residual_from,
            },
            seed: settings.seed,
        };
        Ok(Self {
            learner: Trainee::new(learner.freeze(&settings.freeze), settings.optimizer.clone()),
            unchanged,
            batches,
            order,
            diffusion: DiffusionLoss::default(),
            done: 0,
            settings,
        })
    }

    /// Makes a step. After [`FineTuneSettings::steps`] further ones are made at the final rate.
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) for a caption that cannot be tokenized, and
    /// [`Error::Diverged`](hart_core::Error::Diverged) when a loss or the gradient is not finite:
    /// the model is as it was before the step.
    pub fn step(&mut self) -> Result<StepMetrics> {
        self.learn().map_err(|error| diverged(self.done + 1, error))
    }

    fn learn(&mut self) -> Result<StepMetrics> {
        let FineTuneSettings { steps, batch, optimizer, loss, .. } = &self.settings;
        let items = self.order.batch(self.done, *batch);
        let part = Part {
            batch: self.batches.make(self.done, &items)?,
            learner: self.learner.module.clone(),
            tokenizer: self.unchanged.tokenizer.clone(),
            device: self.unchanged.device.clone(),
        };
        let weights = [loss.diffusion, loss.scale_balance];
        let Learned { cross_entropy, diffusion, accuracy, gradients } =
            part.learn(&self.diffusion, weights, 1.0)?;
        let mut accumulated = self.learner.accumulator();
        accumulated.add(&self.learner.module, gradients);
        let rate = optimizer.rate(self.done, *steps);
        let loss = cross_entropy + diffusion * loss.diffusion;
        let gradient = self.learner.step(accumulated, rate)?;
        self.done += 1;
        Ok(StepMetrics { loss, cross_entropy, diffusion, accuracy, gradient })
    }

    /// Steps that were made.
    pub fn done(&self) -> u64 {
        self.done
    }

    /// A pipeline with the running mean of the weights, as the model is by now.
    ///
    /// # Errors
    /// Those of [`HartPipeline::from_parts`].
    pub fn pipeline(&self) -> Result<HartPipeline<B>> {
        let mut parts = self.unchanged.with(self.learner.averaged())?;
        if let Some(words) = &self.unchanged.words {
            let captions = self.batches.data.records.captions();
            let words = captions.fold(words.clone(), |words, caption| words.with(caption));
            parts.text_encoder = parts.text_encoder.with_known_words(words);
        }
        parts.model.prepare(Precision::F32);
        HartPipeline::from_parts(parts, &self.unchanged.device)
    }
}
