//! Trains a hybrid tokenizer on a folder of images.
//!
//! ```sh
//! cargo run --release --example train_tokenizer -- examples/configs/sample-tokenizer.toml
//! ```
//!
//! The run's folder gets `metrics.csv` with its plot, pictures (source, discrete and continuous
//! reconstruction, and that of the codes as generation adds them) as training goes, and at every
//! save `tokenizer/` in the released layout. Start the same command again to continue a run that
//! was stopped or killed.

mod batches;
mod codes;
mod evaluation;
mod training;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use hart_core::HartBackend;
use hart_examples::data::Augmentation;
use hart_examples::run_on;
use hart_examples::training::config::{OptimizerSettings, RunSettings, check_shares, read};
use hart_examples::training::run::train;
use hart_pipeline::backend::OnBackend;
use serde::Deserialize;

use crate::training::TokenizerTraining;

/// Train a hybrid tokenizer.
#[derive(Parser)]
struct Arguments {
    /// The experiment, a TOML file
    experiment: PathBuf,
    /// The backend to run on, one of those compiled in
    #[arg(long)]
    device: Option<String>,
}

/// What the TOML file says.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Experiment {
    run: RunSettings,
    data: Data,
    /// The keys of the released `tokenizer/config.json`.
    tokenizer: toml::Table,
    #[serde(default)]
    loss: Loss,
    #[serde(default)]
    optimizer: OptimizerSettings,
    #[serde(default)]
    export: Export,
}

/// What is done to the tokenizer that is written for others.
#[derive(Debug, Clone, Default, Deserialize)]
#[serde(deny_unknown_fields)]
struct Export {
    /// Latents are scaled so that the residuals of the validation images have this standard
    /// deviation: the residual head takes them for values in ±0.6. Left as they are without it.
    residual_spread: Option<f64>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Records to train on.
    records: PathBuf,
    /// Records that are only looked at.
    validation: PathBuf,
    /// How many of the validation images are measured.
    #[serde(default = "most")]
    validation_images: usize,
    #[serde(default)]
    augmentation: Augmentation,
    /// A folder with a tokenizer of the same configuration to start from.
    start_from: Option<PathBuf>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Loss {
    /// The share of images whose decoder sees the discrete codes alone.
    discrete_share: f64,
    /// The share whose decoder sees the codes as generation adds them, and a part of what they leave
    /// over, drawn from nothing to all. The others' decoder sees all of it.
    partial_share: f64,
    /// Weight of the quantizer's loss.
    quantizer: f64,
    /// Codes that nothing was nearest to for so many steps are put where latents are; 0 for never.
    revive_after: u64,
    /// Whether everything up to the quantizer stays as it is.
    freeze_latents: bool,
    /// Weight of the adversarial loss over its adaptive one; 0 for none.
    adversarial: f64,
    /// The step from which it counts.
    adversarial_start: u64,
    /// Channels of the discriminator.
    discriminator_channels: usize,
}

impl Loss {
    fn check(&self) -> anyhow::Result<()> {
        let Self { discrete_share, partial_share, .. } = *self;
        check_shares(&[("discrete_share", discrete_share), ("partial_share", partial_share)])?;
        let sum = discrete_share + partial_share;
        ensure!(sum <= 1.0, "`discrete_share` and `partial_share` are {sum}, expected 1 at most");
        Ok(())
    }
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            discrete_share: 0.5,
            partial_share: 0.0,
            quantizer: 1.0,
            revive_after: 100,
            freeze_latents: false,
            adversarial: 0.0,
            adversarial_start: 0,
            discriminator_channels: 64,
        }
    }
}

fn most() -> usize {
    256
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_on(arguments.device.clone(), Program(arguments))
}

struct Program(Arguments);

impl OnBackend for Program {
    type Output = anyhow::Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Self::Output {
        let (experiment, text): (Experiment, _) = read(&self.0.experiment)?;
        experiment.run.check()?;
        experiment.loss.check()?;
        experiment.optimizer.check()?;
        train(TokenizerTraining::<B>::start(experiment, &text, &device)?)
    }
}
