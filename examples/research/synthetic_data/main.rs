//! Can a classifier learn from pictures that a model made? It is to tell the two shapes of a scene and how
//! they lie, and is tested on scenes drawn by code, none of which it has seen.
//!
//! ```sh
//! cargo run --release --example synthetic_data
//! ```
//!
//! Pictures come from `examples/data/recipes/shapes.toml` and the model compiled in, as a run of bulk
//! generation in `runs/synthetic-data`: ten minutes the first time, and what is there is not made again.
//! Beside each classifier stands one that learned from as many scenes drawn by code. Writes
//! `synthetic_data.csv` and `synthetic_data.svg`. A number behind `--` says of how many pictures is learned
//! at most.

mod classifier;
mod pictures;

use std::path::Path;
use std::process::ExitCode;

use anyhow::Context;
use hart_examples::exit;
use hart_examples::research::Results;

use classifier::Classifier;
use hart_examples::research::Backend;

/// Numbers of pictures that are learned from.
const AMOUNTS: [usize; 5] = [250, 500, 1000, 2000, 4000];
/// Scenes that all classifiers are tested on.
const TESTS: usize = 1000;
/// The run of bulk generation.
const RUN: &str = "runs/synthetic-data";

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let most = match std::env::args().nth(1) {
        Some(text) => text.parse().context("expected a number of pictures")?,
        None => usize::MAX,
    };
    let amounts: Vec<usize> = AMOUNTS.into_iter().filter(|amount| *amount <= most).collect();
    let most = *amounts.last().context("expected at least 250 pictures")?;
    let (made, side) = pictures::made(Path::new(RUN), most)?;
    let drawn = pictures::drawn(0, most, side)?;
    let tests = pictures::drawn(1, TESTS, side)?;

    let columns = ["pictures", "right, of made pictures", "right, of drawn scenes"];
    let mut results = Results::new("synthetic_data", &columns);
    for amount in amounts {
        let mut row = vec![amount as f64];
        for all in [&made, &drawn] {
            let classifier = Classifier::<Backend>::learn(&all[..amount], side)?;
            row.push(classifier.share_right(&tests));
        }
        results.add(format!("{amount} pictures"), &row)?;
    }
    results.finish()
}
