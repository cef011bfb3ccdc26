//! Every edit of a photograph at the released size with random weights: seconds, peak memory, and
//! whether sizes and kept pixels are right.
//!
//! ```text
//! cargo run --release -p hart-benches --bin edits -- --px 512 --words fixtures/qwen-tiny \\
//!     examples/data/sample/images/photo/coffee.jpg
//! ```
#![allow(clippy::print_stdout)]

use std::path::{Path, PathBuf};
use std::time::Instant;

use anyhow::{Result, ensure};
use clap::Parser;
use hart_benches::generation::random_model;
use hart_benches::machine::peak_memory_mib;
use hart_benches::setup::Setup;
use hart_core::checkpoint::LoadOptions;
use hart_core::config::ConfigReader;
use hart_core::{HartBackend, walk};
use hart_pipeline::backend::{OnBackend, on_device};
use hart_pipeline::edit::{ChangeBy, Edit, Mask};
use hart_pipeline::text::{PromptTokenizer, Qwen2, SystemPrompt, TextEncoder, TextEncoderConfig};
use hart_pipeline::{HartPipeline, PipelineParts, Pixels, Request};

/// A text encoder of one layer: what it says of prompts does not matter.
const TEXT_ENCODER: &str = r#"{"model_type": "qwen2", "hidden_size": 1536,
    "intermediate_size": 128, "num_hidden_layers": 1, "num_attention_heads": 12,
    "num_key_value_heads": 2, "vocab_size": 428, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "max_position_embeddings": 512, "tie_word_embeddings": true}"#;

/// Edits a photograph in every way.
#[derive(Parser)]
struct Arguments {
    #[command(flatten)]
    setup: Setup,
    /// Photographs, of any size.
    #[arg(required = true, value_name = "IMAGE")]
    images: Vec<PathBuf>,
    /// A folder that lends its text tokenizer, of at most 428 tokens.
    #[arg(long, value_name = "DIR")]
    words: PathBuf,
    /// Only these edits, by their names.
    #[arg(long, value_delimiter = ',', value_name = "NAMES")]
    only: Vec<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    on_device(&arguments.setup.device(), arguments)?
}

impl OnBackend for Arguments {
    type Output = Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Result<()> {
        let Setup { case, precision, effort, .. } = self.setup;
        let model = random_model::<B>(&case, precision, &device)?;
        let encoder = text_encoder::<B>(&self.words, &device)?;
        let mut parts = PipelineParts::new(model, encoder);
        parts.precision = precision;
        let pipeline = HartPipeline::from_parts(parts, &device)?;
        for path in &self.images {
            let photo = Pixels::open(path)?;
            println!("{}, {} × {} pixels", path.display(), photo.width(), photo.height());
            let is_asked = |name: &str| self.only.is_empty() || self.only.iter().any(|n| n == name);
            for (name, edit, mask) in edits(&photo)?.into_iter().filter(|(name, ..)| is_asked(name))
            {
                let edit = edit.with(|request: Request| request.effort(effort));
                let start = Instant::now();
                let edited = pipeline.edit(&edit)?.remove(0);
                let seconds = start.elapsed().as_secs_f64();
                let found = edited.pixels();
                if let Some(mask) = mask {
                    check_kept(edit.source(), found, &mask)?;
                }
                let peak = peak_memory_mib().unwrap_or(f64::NAN);
                let (width, height) = (found.width(), found.height());
                println!(
                    "{name}: {width} × {height}, {seconds:.1} s, at most {peak:.0} MiB so far"
                );
            }
        }
        Ok(())
    }
}

/// All edits of a photograph, with the mask of those that keep pixels.
fn edits(photo: &Pixels) -> Result<Vec<(&'static str, Edit, Option<Mask>)>> {
    let (width, height) = (photo.width(), photo.height());
    let mut mask = Mask::empty(width, height);
    mask.mark(width / 3, height / 3, width / 4, height / 4);
    let canvas = [width + width / 2, height];
    let outpaint = Edit::outpaint(photo.clone(), canvas, [width / 4, 0])?.prompt("a b");
    let mut around = Mask::empty(canvas[0], canvas[1]);
    around.mark(0, 0, width / 4, height);
    around.mark(width / 4 + width, 0, canvas[0] - width / 4 - width, height);
    let change = || Edit::change(photo.clone(), "a b", "c d");
    let small = shrunk(photo, 4)?;
    Ok(vec![
        ("inpaint", Edit::inpaint(photo.clone(), mask.clone()).prompt("a b"), Some(mask)),
        ("outpaint", outpaint, Some(around)),
        ("variation", Edit::variation(photo.clone(), 0.5), None),
        ("restyle", Edit::restyle(photo.clone(), "a b", 0.5), None),
        ("enlarge", Edit::enlarge(small).prompt("a b"), None),
        ("change by noise", change(), None),
        ("change by contrast", change().by(ChangeBy::Contrast), None),
    ])
}

/// Every `step`-th pixel along both axes.
fn shrunk(photo: &Pixels, step: usize) -> Result<Pixels> {
    let (width, height) = (photo.width() / step, photo.height() / step);
    let places = (0..height).flat_map(|y| (0..width).map(move |x| (x * step, y * step)));
    Ok(Pixels::new(width, height, places.flat_map(|(x, y)| photo.at(x, y)).collect())?)
}

/// Checks that all pixels that are not marked are the source's.
fn check_kept(source: &Pixels, found: &Pixels, mask: &Mask) -> Result<()> {
    let sizes = [source, found].map(|pixels| (pixels.width(), pixels.height()));
    ensure!(sizes[0] == sizes[1], "{:?} became {:?}", sizes[0], sizes[1]);
    for y in 0..source.height() {
        for x in (0..source.width()).filter(|&x| !mask.is_marked(x, y)) {
            ensure!(source.at(x, y) == found.at(x, y), "pixel {x}, {y} is not the source's");
        }
    }
    Ok(())
}

fn text_encoder<B: HartBackend>(words: &Path, device: &B::Device) -> Result<TextEncoder<B>> {
    let config = ConfigReader::parse("text/config.json", TEXT_ENCODER.as_bytes())?;
    let config = TextEncoderConfig::read(&config)?;
    let model = LoadOptions::default().finish(Qwen2::<B>::init(&config, device));
    let model = walk::map(model, &mut hart_benches::generation::Normal)?;
    let tokenizer = PromptTokenizer::open(words, None)?;
    Ok(TextEncoder::new(tokenizer, model, 300, &SystemPrompt::default())?)
}
