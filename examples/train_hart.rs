//! Trains transformer, residual head and text encoder on images that a tokenizer has turned into
//! tokens.
//!
//! ```sh
//! cargo run --release --example train_hart -- examples/configs/sample-hart.toml
//! ```
//!
//! The run's folder gets `metrics.csv` with its plot, images of fixed prompts made during training,
//! and at every save `model/`, a model in the released layout that `text_to_image --model` takes.
//! Start the same command again to continue a run that was stopped or killed. With `start_from` a
//! trained model is taught more.

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
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_on(arguments.device.clone(), Program(arguments))
}

struct Program(Arguments);

impl OnBackend for Program {
    type Output = anyhow::Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Self::Output {
        let experiment = HartExperiment::open(&self.0.experiment)?;
        let mut progress = TrainingProgress::new(about_step, about_evaluation);
        train_hart::<B>(&experiment, &device, &mut progress)?;
        progress.finish()
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
