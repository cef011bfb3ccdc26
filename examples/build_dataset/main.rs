//! Builds the data set of the small embedded model: emoji drawings in three styles with captions,
//! backgrounds and pairs, and procedural scenes.
//!
//! ```sh
//! cargo run --release --example build_dataset -- --out data/emoji
//! ```
//!
//! The drawings come from pinned npm packages, which `npm pack` fetches once. The result is a
//! folder of PNG files and a JSONL file for each use (`train`, `tokenizer` and four that are held
//! out); the same command gives the same bytes.

mod captions;
mod concepts;
mod describe;
mod folder;
mod images;
mod lists;
mod packages;
mod render;
mod sample;
mod splits;

use std::path::{Path, PathBuf};
use std::process::ExitCode;

use anyhow::{Context, bail};
use clap::Parser;
use hart_examples::{exit, note};
use indicatif::{ProgressBar, ProgressStyle};
use rayon::prelude::*;

use crate::concepts::Concept;
use crate::folder::{Unfinished, parent, write, write_image};
use crate::images::{Drawn, Record};
use crate::splits::{Plan, Set};

/// Builds the data set of the embedded model.
#[derive(Parser)]
struct Arguments {
    /// Folder to write.
    #[arg(long, value_name = "DIR", required_unless_present = "sample")]
    out: Option<PathBuf>,
    /// Folder where the packages are kept [default: `packages` beside the folder that is written].
    #[arg(long, value_name = "DIR")]
    packages: Option<PathBuf>,
    /// Side of the images, in pixels.
    #[arg(long, value_name = "N", default_value_t = 64)]
    side: u32,
    /// Number of concepts to train on; a smaller set keeps the most popular ones of every kind.
    #[arg(long, value_name = "N", default_value_t = 400)]
    concepts: usize,
    /// How many times the training set holds each object on white, the most common request.
    #[arg(long, value_name = "N", default_value_t = 3)]
    white: usize,
    /// Number of images of two concepts.
    #[arg(long, value_name = "N", default_value_t = 3000)]
    pairs: usize,
    /// Number of procedural scenes.
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    scenes: usize,
    /// Number of figures alone.
    #[arg(long, value_name = "N", default_value_t = 1500)]
    shapes: usize,
    /// Number of further images for the tokenizer.
    #[arg(long, value_name = "N", default_value_t = 12_000)]
    extra: usize,
    /// Replace the folder if it exists.
    #[arg(long)]
    force: bool,
    /// Write the repository's small sample to this folder instead: 32 concepts and four
    /// photographs.
    #[arg(long, value_name = "DIR", conflicts_with = "out")]
    sample: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(run(&Arguments::parse()))
}

fn run(arguments: &Arguments) -> anyhow::Result<()> {
    if !(16..=256).contains(&arguments.side) {
        bail!("`--side` is {}, expected 16 to 256", arguments.side);
    }
    let (place, mark) = match (&arguments.out, &arguments.sample) {
        (Some(out), _) => (out, "dataset.json"),
        (None, Some(sample)) => (sample, "captions.jsonl"),
        (None, None) => bail!("`--out` is needed: the folder to write"),
    };
    let unfinished = Unfinished::begin(place, mark, arguments.force)?;
    let packages = arguments.packages.clone().unwrap_or_else(|| parent(place).join("packages"));
    note(format_args!("reading the packages in {}", packages.display()));
    if arguments.sample.is_some() {
        sample::build(unfinished.path(), &packages)?;
    } else {
        build(arguments, unfinished.path(), &packages)?;
    }
    unfinished.finish()
}

fn build(arguments: &Arguments, folder: &Path, packages: &Path) -> anyhow::Result<()> {
    let concepts = concepts::read(packages, arguments.concepts)?;
    let trained = draw(&concepts.trained, arguments.side, "drawing")?;
    let unseen = draw(&concepts.unseen, arguments.side, "drawing unseen concepts")?;
    let plan = Plan {
        side: arguments.side,
        white: arguments.white,
        pairs: arguments.pairs,
        scenes: arguments.scenes,
        shapes: arguments.shapes,
        extra: arguments.extra,
    };
    let sets = plan.sets(&trained, &unseen);
    for kind in ["object", "pair", "scene", "heldout-scene", "shape", "extra"] {
        let path = folder.join("images").join(kind);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot create the folder {}", path.display()))?;
    }
    let bar = bar(sets.iter().map(|set| set.images.len()).sum());
    for set in &sets {
        bar.set_message(set.name);
        write_set(folder, set, &bar)?;
    }
    bar.finish_and_clear();
    describe::describe(folder, &plan, &sets, &concepts)?;
    for set in &sets {
        note(format_args!("{}.jsonl: {} records", set.name, set.images.len()));
    }
    Ok(())
}

fn bar(total: usize) -> ProgressBar {
    let style = ProgressStyle::with_template("{pos}/{len} [{bar:30}] {msg}, {eta} left");
    let style = style.expect("a valid template").progress_chars("=> ");
    ProgressBar::new(total as u64).with_style(style)
}

/// Draws concepts, on all threads.
fn draw(concepts: &[Concept], side: u32, message: &'static str) -> anyhow::Result<Vec<Drawn>> {
    let bar = bar(concepts.len()).with_message(message);
    let draw = |concept: &Concept| {
        let drawn = Drawn::new(concept, side);
        bar.inc(1);
        drawn.with_context(|| format!("cannot draw `{}`", concept.name.text))
    };
    let drawn = concepts.par_iter().map(draw).collect();
    bar.finish_and_clear();
    drawn
}

/// Writes the images of a set, and its records in order.
fn write_set(folder: &Path, set: &Set<'_>, bar: &ProgressBar) -> anyhow::Result<()> {
    let records: anyhow::Result<Vec<Record>> = set
        .images
        .par_iter()
        .map(|make| {
            let (record, image) = make();
            bar.inc(1);
            let path = folder.join(&record.image);
            // Several sets, and several lines of one, may have an image in common.
            if !path.exists() {
                write_image(&path, &image, false)?;
            }
            Ok(record)
        })
        .collect();
    let mut text = String::new();
    for record in records? {
        text += &serde_json::to_string(&record)?;
        text.push('\n');
    }
    write(&folder.join(format!("{}.jsonl", set.name)), text)
}
