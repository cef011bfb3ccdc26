//! Trains transformer, residual head and text encoder on images that a tokenizer has turned into
//! tokens.
//!
//! ```sh
//! cargo run --release --example train_hart -- examples/configs/sample-hart.toml
//! ```
//!
//! The run's folder gets `metrics.csv` with its plot, images of fixed prompts made during training,
//! and at every save `model/`, a model in the released layout that `text_to_image --model` takes.
//! Start the same command again to continue a run that was stopped or killed; Ctrl-C and SIGTERM leave
//! a snapshot first. With `start_from` a trained model is taught more.

use std::path::PathBuf;
use std::process::ExitCode;

use clap::Parser;
use hart_core::HartBackend;
use hart_examples::run_on;
use hart_examples::training::TrainingProgress;
use hart_pipeline::backend::OnBackend;
use hart_pipeline::training::Measurements;
use hart_pipeline::training::hart::{HartExperiment, train_hart};

/// Train transformer, residual head and text encoder.
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
        let mut experiment = HartExperiment::open(&self.0.experiment)?;
        experiment.run.accept_changes = self.0.accept_changes;
        let mut progress = TrainingProgress::new(about_step, about_evaluation)?;
        let trained = train_hart::<B>(&experiment, &device, &mut progress);
        progress.finish(trained)
    }
}

fn about_step(metrics: &Measurements<'_>) -> String {
    let value = |name| metrics.get(name).unwrap_or(f64::NAN);
    format!("entropy {:.3}, diffusion {:.3}", value("cross_entropy"), value("diffusion"))
}

fn about_evaluation(metrics: &Measurements<'_>) -> String {
    let value = |of: &str| metrics.get(&format!("validation_{of}")).unwrap_or(f64::NAN);
    format!("validation entropy {:.3}, diffusion {:.3}", value("cross_entropy"), value("diffusion"))
}
