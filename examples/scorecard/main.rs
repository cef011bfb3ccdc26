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
mod retrieval;
mod scores;
mod table;
mod tokenizer;

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::ensure;
use clap::Parser;
use hart_core::HartBackend;
use hart_examples::named::{fetch, with_model};
use hart_examples::{run_on, say};
use hart_pipeline::backend::OnBackend;
use hart_pipeline::{Effort, HartPipeline, Precision, Request};

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
    /// Folder of the model, with its text encoder in `text/`, or its name at the Hugging Face hub
    /// [default: the embedded model].
    #[arg(long, value_name = "DIR|NAME")]
    model: Option<PathBuf>,
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
    /// Element type of the weights: f32, bf16, f16 or int8.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: Precision,
    /// Guidance [default: the model's own].
    #[arg(long, value_name = "X")]
    guidance: Option<f64>,
    /// How much is computed: exact, fast or faster.
    #[arg(long, value_name = "LEVEL", default_value = "exact")]
    effort: Effort,
    /// Seed of the first image.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Backend to use, such as flex or cuda:1 [default: the fastest compiled in].
    #[arg(long, value_name = "NAME")]
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
        let arguments = self.0;
        ensure!(arguments.most > 0, "`--most` is 0, expected at least 1");
        std::fs::create_dir_all(&arguments.out)?;
        let pipeline = open::<B>(&arguments, device)?;
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

fn open<B: HartBackend>(
    arguments: &Arguments,
    device: B::Device,
) -> anyhow::Result<HartPipeline<B>> {
    let builder = match &arguments.model {
        Some(model) => with_model(HartPipeline::builder(), model),
        #[cfg(feature = "embedded")]
        None => HartPipeline::builder().embedded(),
        #[cfg(not(feature = "embedded"))]
        None => anyhow::bail!("`--model` is needed: this program was built without a model"),
    };
    Ok(fetch(builder.precision(arguments.precision))?.build(&device)?)
}
