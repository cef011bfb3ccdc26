//! Writes a smaller copy of a model: the large weights as 8-bit integers or 16-bit floats, the same
//! folders and files.
//!
//! ```text
//! cargo run --release --example convert -- --precision int8 fixtures/hart-tiny --out hart-int8
//! ```
//!
//! Loaded in the precision it was converted to, the copy makes the same images as the original does
//! in that precision: its weights are rounded now instead of when they are loaded. No checkpoint is
//! ever in memory as a whole, neither here nor when the copy is loaded.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use hart_ar::Transformer;
use hart_core::checkpoint::{Checkpoint, Container, StoredAs, convert, stored_formats};
use hart_core::{Precision, StagedFolder, write_atomically};
use hart_diffusion::ResidualNetwork;
use hart_examples::interrupt::{Interrupt, Interrupted};
use hart_examples::named::{model_folder, text_encoder_folder};
use hart_examples::{exit, say};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::text::model::Qwen2;
use hart_pipeline::text::{self, TextEncoderConfig, open_checkpoint};
use hart_pipeline::{ModelCheckpoints, ModelConfig, TransformerWeights};
use hart_tokenizer::HybridTokenizer;
use indicatif::{ProgressBar, ProgressStyle};

/// Writes a copy of a model with its large weights in another type. Tensors that no part of the
/// model reads are left out.
#[derive(Parser)]
struct Arguments {
    /// Folder of the model, with `llm/` and `tokenizer/` in it, or its name at the Hugging Face hub.
    #[arg(value_name = "DIR|NAME")]
    model: PathBuf,
    /// Folder of the text encoder, or its name at the hub [default: `text` in the model's folder, if
    /// it exists].
    #[arg(long, value_name = "DIR|NAME")]
    text_encoder: Option<PathBuf>,
    /// Element type of the large weights: f32, bf16, f16 or int8.
    #[arg(long, value_name = "TYPE")]
    precision: Precision,
    /// Folder to write, with the text encoder in its `text/`.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
}

/// The largest of the small files beside the weights, in bytes; larger files are not copied.
const MOST: u64 = 256 << 20;

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out = &arguments.out;
    ensure!(fs::symlink_metadata(out).is_err(), "{} is there already", out.display());
    let interrupt = Interrupt::watch()?;
    let unfinished = StagedFolder::begin(out, ".convert-")?;
    let to = unfinished.path().to_path_buf();
    let copied = Copy { to, precision: arguments.precision, interrupt: &interrupt }.all(arguments);
    if let Some(signal) = interrupt.received() {
        return Err(Interrupted { signal, left: "nothing was written".to_string() }.into());
    }
    copied?;
    unfinished.finish()?;
    say(out.display())
}

/// A copy of a model that is being written.
struct Copy<'a> {
    to: PathBuf,
    precision: Precision,
    interrupt: &'a Interrupt,
}

impl Copy<'_> {
    /// The model, and the text encoder that was named or is in its folder.
    fn all(&self, arguments: &Arguments) -> anyhow::Result<()> {
        let model = model_folder(&arguments.model)?;
        let encoder = arguments.text_encoder.as_deref().map(text_encoder_folder).transpose()?;
        self.model(&model)?;
        let beside = model.join("text");
        match encoder.or_else(|| beside.is_dir().then_some(beside)) {
            Some(encoder) => self.text_encoder(&encoder),
            None => Ok(()),
        }
    }

    fn model(&self, from: &Path) -> anyhow::Result<()> {
        let device = default_device();
        let config = ModelConfig::open(from)?;
        self.files(from, "")?;
        self.files(&from.join("llm"), "llm")?;
        self.files(&from.join("tokenizer"), "tokenizer")?;
        // Their weights are lazy and never made: only the names are needed.
        let transformer = Transformer::<DefaultBackend>::init(
            &config.transformer,
            config.transformer_size(),
            &device,
        );
        let head = ResidualNetwork::<DefaultBackend>::init(&config.residual_head_size(), &device);
        let tokenizer = HybridTokenizer::<DefaultBackend>::init(&config.autoencoder, &device);
        let weights = [
            (TransformerWeights::Ema, "llm/ema_model.bin", Container::Torch),
            (TransformerWeights::Raw, "llm/model.safetensors", Container::Safetensors),
        ];
        let index = from.join("llm/model.safetensors.index.json");
        let there = weights.iter().filter(|(weights, name, _)| {
            from.join(name).is_file() || (*weights == TransformerWeights::Raw && index.is_file())
        });
        let mut tokenizer_done = false;
        for (weights, name, container) in there {
            let files = ModelCheckpoints::open(from, *weights)?;
            let stored = &files.transformer;
            let mut formats =
                stored_formats(&transformer, stored, &hart_ar::NAMES, self.precision)?;
            formats.extend(stored_formats(&head, stored, &hart_diffusion::NAMES, self.precision)?);
            self.weights(stored, &formats, *container, name)?;
            if !tokenizer_done {
                let (names, name) = (&hart_tokenizer::NAMES, "tokenizer/model.safetensors");
                let formats = stored_formats(&tokenizer, &files.tokenizer, names, self.precision)?;
                self.weights(&files.tokenizer, &formats, Container::Safetensors, name)?;
                tokenizer_done = true;
            }
        }
        let folder = from.join("llm");
        ensure!(tokenizer_done, "found no transformer weights in {}", folder.display());
        Ok(())
    }

    fn text_encoder(&self, from: &Path) -> anyhow::Result<()> {
        let config = TextEncoderConfig::open(from.join("config.json"))?;
        let model = Qwen2::<DefaultBackend>::init(&config, &default_device());
        let stored = open_checkpoint(from)?;
        let formats = stored_formats(&model, &stored, &text::NAMES, self.precision)?;
        self.files(from, "text")?;
        self.weights(&stored, &formats, Container::Safetensors, "text/model.safetensors")
    }

    /// Writes one checkpoint and prints its sizes.
    fn weights(
        &self,
        stored: &Checkpoint,
        formats: &BTreeMap<String, StoredAs>,
        container: Container,
        name: &str,
    ) -> anyhow::Result<()> {
        let path = self.to.join(name);
        let style = ProgressStyle::with_template("{msg} [{bar:30}] {pos} of {len} tensors, {eta}")?;
        let bar = ProgressBar::new(0).with_style(style).with_message(name.to_string());
        convert(stored, formats, container, &path, &|done, count| {
            bar.set_length(count as u64);
            bar.set_position(done as u64);
            self.interrupt.flow()
        })?;
        bar.finish_and_clear();
        let before = stored.names().filter_map(|name| stored.get(name));
        let before: usize = before.map(|tensor| tensor.bytes()).sum();
        let after = fs::metadata(&path)?.len() as f64 / 1e6;
        say(format_args!("{name}: {:.1} MB became {after:.1} MB", before as f64 / 1e6))
    }

    /// Copies the files beside the weights: configurations, vocabularies, settings.
    fn files(&self, from: &Path, to: &str) -> anyhow::Result<()> {
        let target = self.to.join(to);
        fs::create_dir_all(&target)?;
        let entries =
            fs::read_dir(from).with_context(|| format!("cannot read {}", from.display()))?;
        for entry in entries {
            let entry = entry?;
            let (path, name) = (entry.path(), entry.file_name());
            let kind = path.extension().is_some_and(|kind| kind == "json" || kind == "txt");
            if !kind || name.to_string_lossy().ends_with(".index.json") {
                continue;
            }
            // Links that lead nowhere and the like are no part of a model: what it needs of them was
            // missed already.
            if !fs::metadata(&path).is_ok_and(|small| small.is_file() && small.len() <= MOST) {
                continue;
            }
            let content = fs::read(&path);
            let content = content.with_context(|| format!("cannot read {}", path.display()))?;
            write_atomically(target.join(name), &content)?;
        }
        Ok(())
    }
}
