//! Shows what is in a model's folder or archive: configuration, parameters by component, and everything
//! that loading would refuse.
//!
//! ```text
//! cargo run --release --example inspect -- fixtures/hart-tiny --text-encoder fixtures/qwen-tiny
//! ```
//!
//! Files are compared first, then all weights are read once for values that are not finite. With
//! `--quick` no weight is read, so that even the largest model takes a second.

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use burn::module::Module;
use clap::Parser;
use hart_ar::{Transformer, TransformerConfig};
use hart_core::checkpoint::{Checkpoint, NameTable, check_values, inspect, parameters};
use hart_core::config::ConfigReader;
use hart_diffusion::{NoiseSchedule, ResidualHeadConfig, ResidualNetwork};
use hart_examples::named::{model_folder, text_encoder_folder};
use hart_examples::{exit, tell};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::text::model::Qwen2;
use hart_pipeline::text::{self, KnownWords, PromptTokenizer, TextEncoderConfig, open_checkpoint};
use hart_pipeline::{HartPipeline, ModelConfig, ModelDefaults, Result};
use hart_tokenizer::{AutoencoderConfig, HybridTokenizer};

/// Prints what a model's folder holds and whether its parts fit each other. The exit code is 1 if
/// they do not.
#[derive(Parser)]
struct Arguments {
    /// Folder of the model, with `llm/` and `tokenizer/` in it, or its name at the Hugging Face hub, or
    /// an archive made by `pack`.
    #[arg(value_name = "DIR|NAME|FILE")]
    model: PathBuf,
    /// Folder of the text encoder, or its name at the hub [default: `text` in the model's folder, if
    /// it exists].
    #[arg(long, value_name = "DIR|NAME")]
    text_encoder: Option<PathBuf>,
    /// List every tensor with its shape, and every one that does not fit.
    #[arg(long)]
    tensors: bool,
    /// Read no weights: values that are not finite stay unnoticed.
    #[arg(long)]
    quick: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let (tensors, quick) = (arguments.tensors, arguments.quick);
    let mut report = Report { tensors, quick, said: vec![], unpacked: None };
    let model = model_folder(&arguments.model)?;
    let text = arguments.text_encoder.as_deref().map(text_encoder_folder).transpose()?;
    if model.is_file() {
        report.archive(&model, text.as_deref())?;
    } else {
        std::fs::read_dir(&model).with_context(|| format!("cannot read {}", model.display()))?;
        report.folder(&model, text.as_deref());
    }
    match report.said.len() {
        0 => Ok(()),
        1 => bail!("1 problem was found"),
        count => bail!("{count} problems were found"),
    }
}

struct Report {
    tensors: bool,
    quick: bool,
    /// The problems found.
    said: Vec<String>,
    /// The folder an archive was unpacked into, and the archive.
    unpacked: Option<(PathBuf, PathBuf)>,
}

impl Report {
    #[cfg(not(feature = "embedded"))]
    fn archive(&mut self, archive: &Path, _: Option<&Path>) -> anyhow::Result<()> {
        bail!("{} is not a folder, and archives need the feature `embedded`", archive.display())
    }

    #[cfg(feature = "embedded")]
    fn archive(&mut self, archive: &Path, text: Option<&Path>) -> anyhow::Result<()> {
        use hart_pipeline::archive::{Existing, unpack};
        let parent = tempfile::tempdir().context("cannot unpack the archive")?;
        let folder = parent.path().join("model");
        if self.note(unpack(archive, &folder, Existing::Refused)).is_some() {
            self.unpacked = Some((folder.clone(), archive.to_path_buf()));
            self.folder(&folder, text);
        }
        Ok(())
    }

    /// Every file of a model, each whatever was wrong with those before it.
    fn folder(&mut self, model: &Path, text: Option<&Path>) {
        self.note(ModelDefaults::open(model));
        let llm = self.note(ConfigReader::open(model.join("llm/config.json")));
        let transformer = llm.as_ref().and_then(|file| self.note(TransformerConfig::read(file)));
        let head = llm.as_ref().and_then(|file| self.note(ResidualHeadConfig::read(file)));
        let autoencoder = self.note(AutoencoderConfig::open(model.join("tokenizer/config.json")));
        transformer.iter().for_each(|config| tell(format_args!("{config:#?}")));
        head.iter().for_each(|config| tell(format_args!("{config:#?}")));
        autoencoder.iter().for_each(|config| tell(format_args!("{config:#?}")));
        let whole = transformer.is_some() && head.is_some() && autoencoder.is_some();
        let config = if whole { self.note(ModelConfig::open(model)) } else { None };
        if let Some(config) = &config {
            print_sizes(config);
            self.note(NoiseSchedule::respaced(&config.residual_head.sampling_steps));
        }
        self.tokenizer(model, autoencoder.as_ref());
        self.transformer(model, config.as_ref());
        let beside = model.join("text");
        let text = text.map(Path::to_path_buf).or_else(|| beside.is_dir().then_some(beside));
        let Some(text) = text else {
            tell(format_args!("\nno text encoder was named: it is not checked"));
            return;
        };
        self.text_encoder(&text);
        // What is between the files: nothing large is read for it.
        let pipeline = HartPipeline::builder().model(model).text_encoder(&text);
        self.note(pipeline.keep_text_encoder(false).build::<DefaultBackend>(&default_device()));
    }

    fn tokenizer(&mut self, model: &Path, config: Option<&AutoencoderConfig>) {
        let stored = self.note(Checkpoint::open_folder(model.join("tokenizer")));
        if let (Some(config), Some(stored)) = (config, stored) {
            let module = HybridTokenizer::<DefaultBackend>::init(config, &default_device());
            self.component("tokenizer", &module, &stored, &hart_tokenizer::NAMES);
        }
    }

    /// The transformer and the residual head in each of their files.
    fn transformer(&mut self, model: &Path, config: Option<&ModelConfig>) {
        let llm = model.join("llm");
        let there = |name: &str| std::fs::symlink_metadata(llm.join(name)).is_ok();
        let mean =
            there("ema_model.bin").then(|| Checkpoint::open_torch(llm.join("ema_model.bin")));
        let last = there("model.safetensors") || there("model.safetensors.index.json");
        // Without both, the error says which file is missed.
        let last = (last || mean.is_none()).then(|| Checkpoint::open_folder(&llm));
        for (file, stored) in [("ema_model.bin", mean), ("model.safetensors", last)] {
            let Some(stored) = stored.and_then(|stored| self.note(stored)) else { continue };
            let Some(config) = config else { continue };
            let (size, device) = (config.transformer_size(), default_device());
            let module = Transformer::<DefaultBackend>::init(&config.transformer, size, &device);
            self.component(&format!("transformer, {file}"), &module, &stored, &hart_ar::NAMES);
            let size = config.residual_head_size();
            let module = ResidualNetwork::<DefaultBackend>::init(&size, &device);
            let names = &hart_diffusion::NAMES;
            self.component(&format!("residual head, {file}"), &module, &stored, names);
        }
    }

    fn text_encoder(&mut self, folder: &Path) {
        self.note(PromptTokenizer::open(folder, None));
        self.note(KnownWords::open(folder));
        let config = self.note(TextEncoderConfig::open(folder.join("config.json")));
        let stored = self.note(open_checkpoint(folder));
        let Some(config) = config else { return };
        tell(format_args!("\ntext encoder: {config:#?}"));
        if let Some(stored) = stored {
            let module = Qwen2::<DefaultBackend>::init(&config, &default_device());
            self.component("text encoder", &module, &stored, &text::NAMES);
        }
    }

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
        let count = count as f64 / 1e6;
        tell(format_args!("\n{what}: {count:.3} M parameters in {} tensors", parameters.len()));
        if self.tensors {
            parameters.iter().for_each(|(name, shape)| tell(format_args!("  {name} {shape:?}")));
        }
        let problems = inspect::<DefaultBackend, M>(module, stored, names);
        if problems.is_empty() {
            tell(format_args!("  every tensor fits"));
        } else {
            self.say(format!("{}: {problems}", stored.path().display()));
            if self.tensors {
                problems.lines().iter().for_each(|line| tell(format_args!("  {line}")));
            } else {
                tell(format_args!("  `--tensors` lists them"));
            }
        }
        if !self.quick {
            self.note(check_values::<DefaultBackend, M>(module, stored, names));
        }
    }

    /// The value of a check, or a problem.
    fn note<T>(&mut self, checked: Result<T>) -> Option<T> {
        checked.map_err(|error| self.say(error.to_string())).ok()
    }

    /// A problem, told once.
    fn say(&mut self, problem: String) {
        let problem = match &self.unpacked {
            Some((folder, archive)) => {
                let [folder, archive] = [folder, archive].map(|path| path.display().to_string());
                problem.replace(&folder, &archive)
            }
            None => problem,
        };
        if !self.said.contains(&problem) {
            tell(format_args!("\nproblem: {problem}"));
            self.said.push(problem);
        }
    }
}

fn print_sizes(config: &ModelConfig) {
    let scales = &config.transformer.scales;
    tell(format_args!(
        "\n{} pixels, {} scales of {} tokens, {} tokens",
        config.autoencoder.image_size(),
        scales.count(),
        scales.to_json(),
        scales.total_tokens()
    ));
}
