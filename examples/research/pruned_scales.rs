//! Which scales can do with fewer tokens? At one scale after another only a share of the tokens goes
//! through the blocks, those that differ most from the others; for the rest the results of the scale
//! before are taken (FastVAR, arXiv 2503.23367).
//!
//! ```sh
//! cargo run --release --example pruned_scales
//! ```
//!
//! Writes `pruned_scales.csv` and `pruned_scales.svg`.

use std::process::ExitCode;

use hart_examples::exit;
use hart_examples::research::{Pipeline, Results, Sample};
use hart_pipeline::ar::Computed;
use hart_pipeline::core::ScaleSchedule;
use hart_pipeline::{GenerationHook, HartBackend};

/// The shares of tokens that are computed.
const SHARES: [f64; 4] = [0.75, 0.5, 0.25, 0.125];

/// Computes a share of the tokens of one scale.
struct Pruned {
    scales: ScaleSchedule,
    scale: usize,
    share: f64,
}

impl<B: HartBackend> GenerationHook<B> for Pruned {
    fn name(&self) -> Option<String> {
        Some("one scale pruned".to_string())
    }

    fn computed(&mut self, scale: usize, usual: Computed) -> Computed {
        if scale == self.scale {
            let tokens = self.scales.tokens(scale) as f64;
            Computed::Most((tokens * self.share).ceil() as usize)
        } else if scale + 1 == self.scale {
            Computed::AllKept
        } else {
            usual
        }
    }
}

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let sample = Sample::open(pipeline.image_size())?;
    let scales = pipeline.scales()?;
    let columns = ["setting", "scale", "share", "recognised", "decibels"];
    let mut results = Results::new("pruned_scales", &columns);
    let whole = sample.measure(&pipeline, &|request| request, &mut ())?;
    results.add("all tokens", &[0.0, 0.0, 1.0, whole.recognised, whole.decibels])?;
    let mut setting = 0.0;
    // Scale 0 follows from the context, so that nothing is kept of it for scale 1.
    for scale in 2..scales.count() {
        for share in SHARES {
            let mut hook = Pruned { scales: scales.clone(), scale, share };
            let quality = sample.measure(&pipeline, &|request| request, &mut hook)?;
            setting += 1.0;
            let label = format!("{} of {} tokens", share, scales.grid(scale));
            let values = [setting, scale as f64, share, quality.recognised, quality.decibels];
            results.add(label, &values)?;
        }
    }
    results.finish()
}
