//! Measures a model on the emoji data set; every number comes with its chance level and its
//! ceiling.
//!
//! ```sh
//! cargo run --release --example scorecard -- --data data/emoji --out scorecard
//! ```
//!
//! The judges are the data set's own images and code that reads pixels; there is no other model.
//! The output folder gets `scorecard.json`, the table as `scorecard.md`, and contact sheets of the
//! images that the numbers were computed from.

mod captioned;
mod finish;
mod frechet;
mod painter;
mod scores;
mod table;
mod tokenizer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use hart_core::HartBackend;
use hart_examples::named::fetch;
use hart_examples::pipeline::PipelineArguments;
use hart_examples::{run_on, say};
use hart_pipeline::backend::OnBackend;
use hart_pipeline::{Effort, HartPipeline, Request};

use crate::painter::Painter;
use crate::scores::{Part, Scores};
use crate::table::Table;

/// Measures a model on the emoji data set.
#[derive(Parser)]
struct Arguments {
    /// Folder of the data set, made by `build_dataset`.
    #[arg(long, value_name = "DIR", default_value = "data/emoji")]
    data: PathBuf,
    /// Folder to write.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Records of things the model was taught later, to be measured too.
    #[arg(long, value_name = "FILE")]
    new: Option<PathBuf>,
    /// Prompts as people type them, a JSON object a line, such as examples/data/prompts.jsonl.
    #[arg(long, value_name = "FILE")]
    prompts: Option<PathBuf>,
    /// The most images for one score; they are spread evenly over the records.
    #[arg(long, value_name = "N", default_value_t = 1200)]
    most: usize,
    /// Compute only these scores, separated by commas.
    #[arg(long, value_name = "SCORES", value_delimiter = ',')]
    only: Vec<Part>,
    /// Guidance [default: the model's own].
    #[arg(long, value_name = "X")]
    guidance: Option<f64>,
    /// How much is computed: exact, fast or faster.
    #[arg(long, value_name = "LEVEL", default_value = "exact")]
    effort: Effort,
    /// Seed of the first image.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_on(Some(arguments.pipeline.device()), Program(arguments))
}

struct Program(Arguments);

impl OnBackend for Program {
    type Output = anyhow::Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Self::Output {
        let arguments = self.0;
        ensure!(arguments.most > 0, "`--most` is 0, expected at least 1");
        std::fs::create_dir_all(&arguments.out)?;
        let pipeline: HartPipeline<B> = fetch(arguments.pipeline.builder()?)?.build(&device)?;
        let mut settings = Request::default().seed(arguments.seed).effort(arguments.effort);
        if let Some(guidance) = arguments.guidance {
            settings = settings.guidance(guidance);
        }
        let painter = Painter::new(&pipeline, &arguments.out, settings);
        let files = [&arguments.new, &arguments.prompts].map(Option::as_deref);
        let scores = Scores::open(&arguments.data, files, painter, arguments.most)?;
        let mut table = Table::default();
        scores.compute(&arguments.only, &mut table)?;
        table.save(&arguments.out)?;
        say(table.markdown())
    }
}
