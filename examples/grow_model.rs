//! Makes the beginning of a larger model from a trained one: with a tokenizer of twice the pixels,
//! with whole tokens for more words, or both.
//!
//! ```sh
//! cargo run --release --example grow_model -- runs/embedded --out runs/grown --finer \
//!     --captions examples/data/captions.toml --records data/emoji64/train.jsonl
//! ```
//!
//! The larger model does at first what the smaller one does: with `--finer`, an image of doubled
//! pixels has the tokens that it had before, and what is decoded is finer only by its size. Training
//! goes on from there: `start_from` of `train_tokenizer` takes the folder's `tokenizer/`, that of
//! `train_hart` the folder.

use std::fs;
use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, ensure};
use clap::Parser;
use hart_core::checkpoint::{Checkpoint, LoadOptions, save_safetensors};
use hart_core::config::ConfigReader;
use hart_core::{HartBackend, StagedFolder, write_atomically};
use hart_examples::interrupt::Interrupt;
use hart_examples::named::model_folder;
use hart_examples::{exit, say};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::training::captions::CaptionGrammar;
use hart_pipeline::training::data::{Record, Records};
use hart_pipeline::training::hart::add_words;
use hart_tokenizer::{AutoencoderConfig, HybridTokenizer};
use serde_json::{Value, json};

/// Makes the beginning of a larger model from a trained one.
#[derive(Parser)]
struct Arguments {
    /// Folder of the trained model, with its text encoder in `text/`, or its name at the Hugging Face
    /// hub.
    #[arg(value_name = "DIR|NAME")]
    model: PathBuf,
    /// Folder to write, which must not be there yet.
    #[arg(long, value_name = "DIR")]
    out: PathBuf,
    /// Give the tokenizer twice the pixels and as many tokens.
    #[arg(long, required_unless_present = "captions")]
    finer: bool,
    /// Give the words of this grammar's captions a token each.
    #[arg(long, value_name = "FILE", requires = "records")]
    captions: Option<PathBuf>,
    /// Records that the captions are made of; their own captions count as well.
    #[arg(long, value_name = "FILE", requires = "captions")]
    records: Vec<PathBuf>,
    /// Seed of weights that are new and of no effect yet.
    #[arg(long, value_name = "N", default_value_t = 1)]
    seed: u64,
}

fn main() -> ExitCode {
    exit(grow(&Arguments::parse()))
}

fn grow(arguments: &Arguments) -> anyhow::Result<()> {
    let out = &arguments.out;
    ensure!(fs::symlink_metadata(out).is_err(), "{} is there already", out.display());
    let model = model_folder(&arguments.model)?;
    // What has begun to be written is written to its end.
    let _watched = Interrupt::watch()?;
    let staged = StagedFolder::begin(out, ".grow-")?;
    let defaults = "generation.json";
    if model.join(defaults).exists() {
        copy(&model.join(defaults), &staged.path().join(defaults))?;
    }
    copy_folder(&model.join("llm"), &staged.path().join("llm"))?;
    let parts = ["tokenizer", "text"].map(|part| [model.join(part), staged.path().join(part)]);
    let [[tokenizer, new_tokenizer], [text, new_text]] = &parts;
    let mut lines = vec![];
    if arguments.finer {
        lines.push(make_finer::<DefaultBackend>(tokenizer, new_tokenizer, arguments.seed)?);
    } else {
        copy_folder(tokenizer, new_tokenizer)?;
    }
    if let Some(captions) = &arguments.captions {
        lines.push(teach_words(text, new_text, captions, &arguments.records)?);
    } else {
        copy_folder(text, new_text)?;
    }
    staged.finish()?;
    lines.iter().try_for_each(say)?;
    say(out.display())
}

/// Writes the tokenizer in the folder `from` for twice the pixels, and says how many.
fn make_finer<B: HartBackend>(from: &Path, to: &Path, seed: u64) -> anyhow::Result<String> {
    let path = from.join("config.json");
    let config = AutoencoderConfig::open(&path)?;
    let about = |error: hart_core::Error| anyhow::Error::from(error).context(show(&path));
    let finer = config.finer().map_err(about)?;
    let (checkpoint, device) = (Checkpoint::open_folder(from)?, Default::default());
    let tokenizer = HybridTokenizer::<B>::from_checkpoint(
        &config,
        &checkpoint,
        LoadOptions::default(),
        &device,
    )?;
    let tokenizer = tokenizer.finer(&config, seed)?;
    let text = fs::read(&path).with_context(|| show(&path))?;
    let mut file: Value = serde_json::from_slice(&text).with_context(|| show(&path))?;
    file["ch_mult"] = json!(finer.channel_multipliers);
    let text = format!("{file:#}");
    // What is written is what was meant.
    let read = AutoencoderConfig::read(&ConfigReader::parse(&path, text.as_bytes())?)?;
    ensure!(read == finer, "{} has keys that the finer tokenizer has not", path.display());
    fs::create_dir_all(to).with_context(|| show(to))?;
    write_atomically(to.join("config.json"), text.as_bytes())?;
    save_safetensors(to.join("model.safetensors"), &tokenizer.tensors(&finer)?)?;
    Ok(format!("tokenizer: {} pixels instead of {}", finer.image_size(), config.image_size()))
}

/// Writes the text encoder in the folder `from` with a token for every word, and says how many are
/// new.
fn teach_words(
    from: &Path,
    to: &Path,
    captions: &Path,
    records: &[PathBuf],
) -> anyhow::Result<String> {
    let grammar = CaptionGrammar::open(captions)?;
    let sets = records.iter().map(Records::open).collect::<Result<Vec<_>, _>>()?;
    let all = || sets.iter().flat_map(Records::iter);
    grammar.check(all())?;
    let mut words = grammar.words(all());
    let own = |record: &Record| record.captions.clone();
    let own = all().flat_map(own).flat_map(|caption| words_of(&caption));
    words.extend(own);
    let new = add_words::<DefaultBackend>(from, &words, to, &default_device())?;
    Ok(format!("text encoder: {new} new tokens for {} words", words.len()))
}

fn words_of(caption: &str) -> Vec<String> {
    hart_pipeline::text::words::words(caption).collect()
}

fn copy_folder(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::create_dir_all(to).with_context(|| show(to))?;
    for entry in fs::read_dir(from).with_context(|| show(from))? {
        let entry = entry.with_context(|| show(from))?;
        if entry.path().is_file() {
            copy(&entry.path(), &to.join(entry.file_name()))?;
        }
    }
    Ok(())
}

fn copy(from: &Path, to: &Path) -> anyhow::Result<()> {
    fs::copy(from, to).map(drop).with_context(|| show(from))
}

fn show(path: &Path) -> String {
    path.display().to_string()
}
