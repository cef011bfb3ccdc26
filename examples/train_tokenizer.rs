//! Trains a hybrid tokenizer on a folder of images.
//!
//! ```sh
//! cargo run --release --example train_tokenizer -- examples/configs/sample-tokenizer.toml
//! ```
//!
//! The run's folder gets `metrics.csv` with its plot, images made during training (source, discrete
//! and continuous reconstruction, and that of the codes as generation adds them), and at every save
//! `tokenizer/` in the released layout. Start the same command again to continue a run that was
//! stopped or killed; Ctrl-C and SIGTERM leave a snapshot first.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hart_core::HartBackend;
use hart_examples::run_on;
use hart_examples::training::TrainingProgress;
use hart_pipeline::backend::OnBackend;
use hart_pipeline::training::Measurements;
use hart_pipeline::training::tokenizer::{TokenizerExperiment, train_tokenizer};

/// Train a hybrid tokenizer.
#[derive(Parser)]
struct Arguments {
    /// The experiment, a TOML file
    experiment: PathBuf,
    /// The backend to run on, one of those compiled in
    #[arg(long)]
    device: Option<String>,
    /// Go on with a run though its experiment or its data has changed since it was begun
    #[arg(long)]
    accept_changes: bool,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_on(arguments.device.clone(), Program(arguments))
}

struct Program(Arguments);

impl OnBackend for Program {
    type Output = anyhow::Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Self::Output {
        let mut experiment = TokenizerExperiment::open(&self.0.experiment)?;
        experiment.run.accept_changes = self.0.accept_changes;
        let mut progress = TrainingProgress::new(about_step, about_evaluation)?;
        let trained = train_tokenizer::<B>(&experiment, &device, &mut progress);
        progress.finish(trained)
    }
}

fn about_step(metrics: &Measurements<'_>) -> String {
    let value = |name| metrics.get(name).unwrap_or(f64::NAN);
    format!("loss {:.5}, {} codes", value("loss"), value("codes_used"))
}

fn about_evaluation(metrics: &Measurements<'_>) -> String {
    let decibels = |of: &str| metrics.get(&format!("validation_{of}_db")).unwrap_or(f64::NAN);
    format!(
        "validation {:.2} dB discrete, {:.2} dB continuous, {:.2} dB from codes as they are",
        decibels("discrete"),
        decibels("continuous"),
        decibels("codes"),
    )
}
