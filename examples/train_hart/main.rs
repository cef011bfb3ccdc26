//! Trains transformer, residual head and text encoder on images that a tokenizer has turned into
//! tokens.
//!
//! ```sh
//! cargo run --release --example train_hart -- examples/configs/sample-hart.toml
//! ```
//!
//! The run's folder gets `metrics.csv` with its plot, pictures of fixed prompts as training goes,
//! and at every save `model/`, a model in the released layout that `text_to_image --model` takes.
//! Start the same command again to continue a run that was stopped or killed. With `start_from` a
//! trained model is taught more.

mod batches;
mod export;
mod learner;
mod part;
mod training;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use hart_core::HartBackend;
use hart_examples::run_on;
use hart_examples::training::config::{OptimizerSettings, RunSettings, check_shares, read};
use hart_examples::training::run::train;
use hart_pipeline::backend::OnBackend;
use serde::Deserialize;

use crate::training::HartTraining;

/// Train transformer, residual head and text encoder.
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
    /// The keys of the released `llm/config.json`.
    hart: toml::Table,
    /// The keys of a Qwen2 `config.json`.
    text: toml::Table,
    #[serde(default)]
    loss: Loss,
    #[serde(default)]
    optimizer: OptimizerSettings,
    pictures: Pictures,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Data {
    /// Records to train on.
    records: PathBuf,
    /// Records that are only looked at.
    validation: PathBuf,
    /// How many of the validation records are measured.
    #[serde(default = "some")]
    validation_images: usize,
    /// The folder of the tokenizer.
    tokenizer: PathBuf,
    /// The share of steps in which an image has its first caption.
    #[serde(default = "half")]
    plain_captions: f64,
    /// A model to start from, with its text encoder in `text/`.
    start_from: Option<PathBuf>,
    /// Records that are new to the model, which take the place of others in every batch.
    new: Option<PathBuf>,
    /// Their share of the batches; the others keep the model from forgetting.
    #[serde(default = "half")]
    new_share: f64,
    /// Parts that stay as they are: `text`, `transformer`, `residual`.
    #[serde(default)]
    freeze: Vec<String>,
}

#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
struct Loss {
    /// Weight of the residual head's loss.
    diffusion: f64,
    /// The share of input codes that are replaced by others, so that the transformer learns to go
    /// on from its own mistakes.
    spoiled: f64,
    /// How alike the scales count: 0 weighs every token alike, as the release was trained, 1 every
    /// scale ([`hart_ar::scale_weights`]).
    scale_balance: f64,
    /// Which code a residual is measured from.
    residual_from: ResidualFrom,
}

/// Which code the residual head's target is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Deserialize)]
#[serde(rename_all = "lowercase")]
enum ResidualFrom {
    /// One drawn from the transformer's logits, as the release was trained (section 6): the head
    /// learns to mend wrong codes, and cannot count on right ones.
    Sampled,
    /// The image's own: the head learns what is left of a code that was the nearest one.
    True,
}

impl Loss {
    fn check(&self) -> anyhow::Result<()> {
        let Self { diffusion, spoiled, scale_balance, .. } = *self;
        ensure!(
            diffusion >= 0.0 && diffusion.is_finite(),
            "`diffusion` is {diffusion}, expected a weight"
        );
        check_shares(&[("spoiled", spoiled), ("scale_balance", scale_balance)])
    }
}

impl Default for Loss {
    fn default() -> Self {
        Self {
            diffusion: 1.0,
            spoiled: 0.0,
            scale_balance: 0.0,
            residual_from: ResidualFrom::Sampled,
        }
    }
}

/// The pictures that are made as training goes, and what the model is shipped with.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
struct Pictures {
    prompts: Vec<String>,
    #[serde(default)]
    guidance: f64,
    #[serde(default)]
    top_k: usize,
    #[serde(default)]
    top_p: f64,
    #[serde(default)]
    smooth: bool,
    #[serde(default = "one")]
    temperature: f64,
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

fn some() -> usize {
    128
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
        let share = experiment.data.new_share;
        ensure!((0.0..=1.0).contains(&share), "`new_share` is {share}, expected a share");
        experiment.loss.check()?;
        experiment.optimizer.check()?;
        train(HartTraining::<B>::start(experiment, &text, &device)?)
    }
}
