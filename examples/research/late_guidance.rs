//! Until which scale is guidance needed, and which half is best kept after it?
//!
//! ```sh
//! cargo run --release --example late_guidance
//! ```
//!
//! Writes `late_guidance.csv` and `late_guidance.svg`. From some scale on images are not guided any
//! more: only the half with the prompt is used, as in Switti (arXiv 2412.01819) and for `Effort::Fast`,
//! or only the half without it, as in the code of FasterVAR.

use std::process::ExitCode;

use hart_examples::exit;
use hart_examples::research::{Pipeline, Results, Sample};
use hart_pipeline::ar::HalfLogits;
use hart_pipeline::burn::tensor::Tensor;
use hart_pipeline::generation::Step;
use hart_pipeline::{GenerationHook, HartBackend, Result};

/// How strong guidance is where there is any. The model compiled in is made for little.
const GUIDANCE: f64 = 1.5;

/// Leaves guidance out from a scale on.
struct Until {
    scale: usize,
    /// Whether the half without the prompt is used from there on, not the one with it.
    unconditional: bool,
}

impl<B: HartBackend> GenerationHook<B> for Until {
    fn name(&self) -> Option<String> {
        Some("guidance up to a scale".to_string())
    }

    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        match (step.scale < self.scale, self.unconditional) {
            (true, _) => logits.guided(step.guidance),
            (false, false) => Ok(logits.conditional),
            (false, true) => Ok(logits.unconditional.unwrap_or(logits.conditional)),
        }
    }
}

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let sample = Sample::open(pipeline.image_size())?;
    let columns = [
        "guided scales",
        "recognised, conditional half after",
        "decibels, conditional half after",
        "recognised, unconditional half after",
        "decibels, unconditional half after",
    ];
    let mut results = Results::new("late_guidance", &columns);
    for scale in 0..=pipeline.scales()?.count() {
        let [conditional, unconditional] = [false, true].map(|unconditional| {
            let mut hook = Until { scale, unconditional };
            sample.measure(&pipeline, &|request| request.guidance(GUIDANCE), &mut hook)
        });
        let (conditional, unconditional) = (conditional?, unconditional?);
        results.add(
            format!("{scale} scales guided"),
            &[
                scale as f64,
                conditional.recognised,
                conditional.decibels,
                unconditional.recognised,
                unconditional.decibels,
            ],
        )?;
    }
    results.finish()
}
