//! Shows what is in a model's folder: configuration, parameters by component, missing and unused
//! tensors.
//!
//! ```text
//! cargo run --release --example inspect -- fixtures/hart-tiny --text-encoder fixtures/qwen-tiny
//! ```
//!
//! No weight is read, so that even the largest model takes a second.
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::bail;
use burn::module::Module;
use clap::Parser;
use hart_ar::Transformer;
use hart_core::checkpoint::{Checkpoint, NameTable, inspect, parameters};
use hart_diffusion::ResidualNetwork;
use hart_examples::exit;
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::text::model::Qwen2;
use hart_pipeline::text::{TextEncoderConfig, open_checkpoint};
use hart_pipeline::{ModelCheckpoints, ModelConfig, TransformerWeights};
use hart_tokenizer::HybridTokenizer;

/// Prints what a model's folder holds and whether its parts fit each other. The exit code is 1 if
/// they do not.
#[derive(Parser)]
struct Arguments {
    /// Folder of the model, with `llm/` and `tokenizer/` in it.
    #[arg(value_name = "DIR")]
    model: PathBuf,
    /// Folder of the text encoder.
    #[arg(long, value_name = "DIR")]
    text_encoder: Option<PathBuf>,
    /// List every tensor with its shape.
    #[arg(long)]
    tensors: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let config = ModelConfig::open(&arguments.model)?;
    print_configuration(&config);
    let device = default_device();
    let mut report = Report { tensors: arguments.tensors, problems: 0 };

    let autoencoder = &config.autoencoder;
    let tokenizer = HybridTokenizer::<DefaultBackend>::init(autoencoder, &device);
    let size = config.transformer_size();
    let transformer = Transformer::<DefaultBackend>::init(&config.transformer, size, &device);
    let head = ResidualNetwork::<DefaultBackend>::init(&config.residual_head_size(), &device);
    for (weights, file) in
        [(TransformerWeights::Ema, "ema_model.bin"), (TransformerWeights::Raw, "model.safetensors")]
    {
        match ModelCheckpoints::open(&arguments.model, weights) {
            Ok(files) => {
                let stored = &files.transformer;
                report.component(
                    &format!("transformer, {file}"),
                    &transformer,
                    stored,
                    &hart_ar::NAMES,
                );
                report.component(
                    &format!("residual head, {file}"),
                    &head,
                    stored,
                    &hart_diffusion::NAMES,
                );
                if weights == TransformerWeights::Ema {
                    let names = &hart_tokenizer::NAMES;
                    report.component("tokenizer", &tokenizer, &files.tokenizer, names);
                }
            }
            Err(error) => {
                println!("\n{file}: {error}");
                report.problems += 1;
            }
        }
    }
    if let Some(folder) = &arguments.text_encoder {
        let config = TextEncoderConfig::open(folder.join("config.json"))?;
        println!("\ntext encoder: {config:#?}");
        let model = Qwen2::<DefaultBackend>::init(&config, &device);
        let stored = open_checkpoint(folder)?;
        report.component("text encoder", &model, &stored, &hart_pipeline::text::NAMES);
    }
    if report.problems > 0 {
        bail!("found {} problems", report.problems);
    }
    Ok(())
}

fn print_configuration(config: &ModelConfig) {
    let scales = &config.transformer.scales;
    println!("{:#?}", config.transformer);
    println!("{:#?}", config.residual_head);
    println!("{:#?}", config.autoencoder);
    println!(
        "\n{} pixels, {} scales of {} tokens, {} tokens",
        config.autoencoder.image_size(),
        scales.count(),
        scales.to_json(),
        scales.total_tokens()
    );
}

struct Report {
    tensors: bool,
    problems: usize,
}

impl Report {
    /// One part of the model against its checkpoint.
    fn component<M: Module<DefaultBackend>>(
        &mut self,
        what: &str,
        module: &M,
        stored: &Checkpoint,
        names: &NameTable,
    ) {
        let parameters = parameters::<DefaultBackend, M>(module, names);
        let count: usize = parameters.values().map(|shape| shape.iter().product::<usize>()).sum();
        println!(
            "\n{what}: {:.3} M parameters in {} tensors",
            count as f64 / 1e6,
            parameters.len()
        );
        if self.tensors {
            parameters.iter().for_each(|(name, shape)| println!("  {name} {shape:?}"));
        }
        let problems = inspect::<DefaultBackend, M>(module, stored, names);
        self.problems +=
            problems.missing.len() + problems.unexpected.len() + problems.mismatched.len();
        if problems.is_empty() {
            println!("  every tensor fits");
        } else {
            println!("  in {}:{problems}", stored.path().display());
        }
    }
}
