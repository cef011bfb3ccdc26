//! Builds the data set of the small embedded model: emoji drawings in three designs with captions,
//! backgrounds and pairs, and procedural scenes.
//!
//! ```sh
//! cargo run --release --example build_dataset -- --out data/emoji
//! ```
//!
//! The drawings come from pinned npm packages, which `npm pack` fetches once. The result is a folder
//! of PNG files and a JSONL file for each use (`train`, `tokenizer` and four that are held out);
//! the same command gives the same bytes.
#![allow(clippy::print_stderr)]

mod concepts;
mod packages;
mod pictures;
mod render;
mod sample;
mod splits;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use hart_examples::exit;
use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::pictures::{Drawn, Record};
use crate::splits::Set;

/// Build the data set of the embedded model.
#[derive(Parser)]
struct Arguments {
    /// The folder to make
    #[arg(long)]
    out: PathBuf,
    /// Where the packages are kept [default: packages beside the folder]
    #[arg(long)]
    packages: Option<PathBuf>,
    /// Pixels a side
    #[arg(long, default_value_t = 64)]
    side: u32,
    /// Concepts to train on; fewer are spread over all kinds
    #[arg(long, default_value_t = 400)]
    concepts: usize,
    /// Pictures of two concepts
    #[arg(long, default_value_t = 3000)]
    pairs: usize,
    /// Procedural scenes
    #[arg(long, default_value_t = 6000)]
    scenes: usize,
    /// Further pictures for the tokenizer
    #[arg(long, default_value_t = 12_000)]
    extra: usize,
    /// Replace the folder when it is there
    #[arg(long)]
    force: bool,
    /// Make the small sample of the repository instead: 32 concepts and four photographs
    #[arg(long)]
    sample: bool,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    let out = &arguments.out;
    if out.exists() && !arguments.force {
        bail!("{} is there already; --force replaces it", out.display());
    }
    if !(16..=256).contains(&arguments.side) {
        bail!("`--side` is {}, expected 16 to 256", arguments.side);
    }
    let parent = match out.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    std::fs::create_dir_all(parent)
        .with_context(|| format!("cannot make the folder {}", parent.display()))?;
    let packages = arguments.packages.clone().unwrap_or_else(|| parent.join("packages"));
    eprintln!("reading the packages in {}", packages.display());
    let temporary = tempfile::Builder::new().prefix(".unfinished-").tempdir_in(parent)?;
    if arguments.sample {
        sample::build(temporary.path(), &packages)?;
    } else {
        build(arguments, temporary.path(), &packages)?;
    }
    if out.exists() {
        std::fs::remove_dir_all(out).with_context(|| format!("cannot replace {}", out.display()))?;
    }
    let finished = temporary.keep();
    std::fs::rename(&finished, out)
        .with_context(|| format!("cannot rename {} to {}", finished.display(), out.display()))?;
    Ok(())
}

fn build(arguments: &Arguments, folder: &Path, packages: &Path) -> anyhow::Result<()> {
    let concepts = concepts::read(packages, arguments.concepts)?;
    eprintln!("{} concepts, {} unseen", concepts.trained.len(), concepts.unseen.len());
    let draw = |list: &[concepts::Concept]| -> anyhow::Result<Vec<Drawn>> {
        list.par_iter().map(Drawn::new).collect()
    };
    let (trained, unseen) = (draw(&concepts.trained)?, draw(&concepts.unseen)?);
    let plan = splits::Plan {
        side: arguments.side,
        pairs: arguments.pairs,
        scenes: arguments.scenes,
        extra: arguments.extra,
    };
    let sets = plan.sets(&trained, &unseen);
    for folder_of_kind in ["objects", "pairs", "scenes", "heldout-scenes", "extra"] {
        std::fs::create_dir_all(folder.join(folder_of_kind))?;
    }
    let total: usize = sets.iter().map(|set| set.pictures.len()).sum();
    let bar = ProgressBar::new(total as u64);
    let style = ProgressStyle::with_template("{pos}/{len} [{bar:30}] {msg} {eta} left");
    bar.set_style(style.expect("a valid template").progress_chars("=> "));
    for set in &sets {
        bar.set_message(set.name);
        write_set(folder, set, &bar)?;
    }
    bar.finish_and_clear();
    splits::describe(folder, &plan, &sets, &concepts)?;
    for set in &sets {
        eprintln!("{}.jsonl: {} records", set.name, set.pictures.len());
    }
    Ok(())
}

/// Writes the pictures of a set, and its records in order.
fn write_set(folder: &Path, set: &Set<'_>, bar: &ProgressBar) -> anyhow::Result<()> {
    let records: anyhow::Result<Vec<Record>> = set
        .pictures
        .par_iter()
        .map(|make| {
            let (record, picture) = make();
            bar.inc(1);
            let path = folder.join(&record.image);
            // Several sets, and several lines of one, may have a picture in common.
            if !path.exists() {
                write_picture(&path, &picture)?;
            }
            Ok(record)
        })
        .collect();
    let mut text = String::new();
    for record in records? {
        text += &serde_json::to_string(&record)?;
        text.push('\n');
    }
    let path = folder.join(format!("{}.jsonl", set.name));
    std::fs::write(&path, text).with_context(|| format!("cannot write {}", path.display()))
}

fn write_picture(path: &Path, picture: &RgbImage) -> anyhow::Result<()> {
    let mut bytes = vec![];
    let encoder = PngEncoder::new_with_quality(
        &mut bytes,
        CompressionType::Default,
        FilterType::Adaptive,
    );
    picture.write_with_encoder(encoder).context("cannot encode a picture")?;
    hart_core::write_atomically(path, &bytes)
        .with_context(|| format!("cannot write {}", path.display()))
}
