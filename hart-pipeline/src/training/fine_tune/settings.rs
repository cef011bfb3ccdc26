//! The settings of a fine-tuning.

use hart_core::Result;

use crate::training::experiment::{check, check_shares};
use crate::training::hart::{LearnerPart, LossSettings};
use crate::training::optimizer::OptimizerSettings;

/// How a model is taught more.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct FineTuneSettings {
    /// All random draws follow from it.
    pub seed: u64,
    /// Steps that are planned: the learning rate falls until then.
    pub steps: u64,
    /// Images a step.
    pub batch: usize,
    /// The optimizer.
    pub optimizer: OptimizerSettings,
    /// What is minimised.
    pub loss: LossSettings,
    /// The share of steps in which an image has its first caption.
    pub plain_captions: f64,
    /// Diffusion times and noises that are drawn for each token of the last scale.
    pub repeats: usize,
    /// Parts that stay as they are.
    pub freeze: Vec<LearnerPart>,
}

impl FineTuneSettings {
    /// A fine-tuning of `steps` steps of 16 images, a tenth of them warm-up, everything else as in
    /// training.
    pub fn new(steps: u64) -> Self {
        let optimizer = OptimizerSettings { warm_up: steps / 10, ..Default::default() };
        Self {
            seed: 0,
            steps,
            batch: 16,
            optimizer,
            loss: LossSettings::default(),
            plain_captions: 0.5,
            repeats: 4,
            freeze: vec![],
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) for the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        let counts =
            [("steps", self.steps), ("batch", self.batch as u64), ("repeats", self.repeats as u64)];
        for (key, count) in counts {
            check(count > 0, "fine-tuning", key, count, "at least 1")?;
        }
        check_shares("fine-tuning", &[("plain_captions", self.plain_captions)])?;
        self.loss.check()?;
        self.optimizer.check()
    }
}
