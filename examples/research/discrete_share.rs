//! How often should the decoder see the codes alone while a tokenizer is trained? HART's paper takes
//! half of the images.
//!
//! ```sh
//! cargo run --release --example discrete_share
//! ```
//!
//! Trains a small tokenizer on the repository's sample for each share, some minutes altogether, in
//! `runs/discrete-share-…`; start it again to go on. Writes `discrete_share.csv` and
//! `discrete_share.svg`: decibels of reconstructions from the codes alone, and from all of the latent.

use std::process::ExitCode;

use hart_examples::exit;
use hart_examples::research::{Results, train_tokenizer};
use hart_pipeline::training::tokenizer::TokenizerExperiment;

const SHARES: [f64; 5] = [0.0, 0.25, 0.5, 0.75, 1.0];

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let columns = ["share", "decibels from codes", "decibels from all"];
    let mut results = Results::new("discrete_share", &columns);
    for share in SHARES {
        let mut experiment = TokenizerExperiment::open("examples/configs/sample-tokenizer.toml")?;
        experiment.run.folder = format!("runs/discrete-share-{:.0}", 100.0 * share).into();
        experiment.loss.discrete_share = share;
        train_tokenizer(&experiment)?;
        let [codes, all] = last(&experiment.run.folder.join("metrics.csv"))?;
        results.add(format!("a share of {share}"), &[share, codes, all])?;
    }
    results.finish()
}

/// The last decibels in the metrics of a run, from codes alone and from all of the latent.
fn last(path: &std::path::Path) -> anyhow::Result<[f64; 2]> {
    let mut table = csv::Reader::from_path(path)?;
    let names = table.headers()?.clone();
    let place = |name: &str| names.iter().position(|other| other == name);
    let columns = ["validation_discrete_db", "validation_continuous_db"].map(place);
    let mut found = [f64::NAN; 2];
    for row in table.records() {
        let row = row?;
        for (found, column) in found.iter_mut().zip(columns) {
            let value = column.and_then(|column| row.get(column)?.parse().ok());
            *found = value.unwrap_or(*found);
        }
    }
    Ok(found)
}
