//! Bulk generation: a recipe in, any number of pictures with their labels out, made by as many workers as
//! there are.
//!
//! ```text
//! cargo run --release --example bulk -- run examples/data/recipes/shapes.toml --out runs/shapes
//!
//! cargo run --release --example bulk -- plan examples/data/recipes/shapes.toml --out runs/shapes
//! cargo run --release --example bulk -- work runs/shapes      # in as many terminals as you like
//! cargo run --release --example bulk -- status runs/shapes --watch
//! cargo run --release --example bulk -- verify runs/shapes --again 20
//! cargo run --release --example bulk -- index runs/shapes
//! ```
mod coverage;
mod index;
mod map;
mod plan;
mod progress;
mod run;
mod server;
mod status;
mod verify;
mod work;

use std::process::ExitCode;

use clap::{Args, Parser, Subcommand};
use hart_examples::exit;
use hart_examples::named::fetch;
use hart_examples::pipeline::PipelineArguments;
use hart_pipeline::bulk::{Model, Run, Store};

/// Makes sets of pictures with labels from a recipe.
///
/// Exit code 0: done. 1: something failed or is wrong, and was said. 2: an argument is wrong, or this
/// worker is not one of the plan's. 130 or 143: stopped by SIGINT or SIGTERM.
#[derive(Parser)]
struct Arguments {
    #[command(subcommand)]
    command: Command,
}

#[derive(Subcommand)]
enum Command {
    /// Turn a recipe into a run, and show what it covers.
    Plan(plan::Arguments),
    /// Make shards of a run until none is left. Start it as often as you like, wherever the run is seen.
    Work(work::Arguments),
    /// Show how far a run is.
    Status(status::Arguments),
    /// Read every shard of a run and compare it with its manifest and the recipe.
    Verify(verify::Arguments),
    /// Write a Parquet table of all samples.
    Index(index::Arguments),
    /// Plan a run and make it, on this machine.
    Run(run::Arguments),
}

/// What makes pictures.
#[derive(Args)]
struct ModelArguments {
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Pictures made at once [default: as memory allows]. It does not change them.
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
}

impl ModelArguments {
    fn open(&self) -> anyhow::Result<Model> {
        let mut builder = self.pipeline.builder()?;
        if let Some(pictures) = self.batch_size {
            builder = builder.batch_size(pictures);
        }
        Ok(Model::open(fetch(builder)?, &self.pipeline.device())?)
    }
}

/// A run that was planned.
fn open(address: &str) -> anyhow::Result<Run> {
    Ok(Run::open(Store::open(address)?)?)
}

fn main() -> ExitCode {
    exit(match Arguments::parse().command {
        Command::Plan(arguments) => arguments.run(),
        Command::Work(arguments) => arguments.run(),
        Command::Status(arguments) => arguments.run(),
        Command::Verify(arguments) => arguments.run(),
        Command::Index(arguments) => arguments.run(),
        Command::Run(arguments) => arguments.run(),
    })
}
