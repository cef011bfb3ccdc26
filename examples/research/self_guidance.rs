//! Scale by scale self-guidance (SSG): the logits of a scale are led away from what the scale before
//! would say of it. Costs no pass through the model.
//!
//! l + β·(l - prior), where the prior is the logits of the scale before, enlarged, with the low
//! frequencies of those at hand.
//!
//! ```sh
//! cargo run --release --example self_guidance
//! ```
//!
//! Writes `self_guidance.csv` and `self_guidance.svg`.

use std::f64::consts::PI;
use std::process::ExitCode;

use hart_examples::exit;
use hart_examples::research::{Pipeline, Results, Sample};
use hart_pipeline::ar::HalfLogits;
use hart_pipeline::burn::tensor::{Tensor, TensorData};
use hart_pipeline::generation::Step;
use hart_pipeline::tokenizer::quantizer::{to_map, to_tokens};
use hart_pipeline::tokenizer::resize::Resize;
use hart_pipeline::{GenerationHook, Grid, HartBackend, Result};

const STRENGTHS: [f64; 6] = [0.0, 0.1, 0.25, 0.5, 1.0, 2.0];

/// Leads away from the scale before.
struct SelfGuidance<B: HartBackend> {
    strength: f64,
    /// The logits of the scale before as a map `[batch, V, rows, columns]`.
    before: Option<(Tensor<B, 4>, Grid)>,
}

impl<B: HartBackend> GenerationHook<B> for SelfGuidance<B> {
    fn name(&self) -> Option<String> {
        Some("self-guidance".to_string())
    }

    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        let logits = logits.guided(step.guidance)?;
        let map = to_map(logits.clone(), step.grid);
        let before = self.before.replace((map.clone(), step.grid));
        let Some((before, grid)) = before.filter(|_| step.scale > 0) else { return Ok(logits) };
        // Frequencies that the map of the scale before can hold are those of the logits at hand.
        let [rows, columns] = [(grid.rows, step.grid.rows), (grid.columns, step.grid.columns)]
            .map(|(kept, all)| low_pass::<B>(kept, all, &map.device()));
        let low = |map: Tensor<B, 4>| {
            let columns = columns.clone().unsqueeze::<4>();
            rows.clone().unsqueeze::<4>().matmul(map).matmul(columns.swap_dims(2, 3))
        };
        let enlarged = Resize::bicubic(grid, step.grid, &map.device()).apply(before);
        let prior = enlarged.clone() - low(enlarged) + low(map.clone());
        Ok(to_tokens(map.clone() + (map - prior) * self.strength))
    }
}

/// The projection `[all, all]` of a row onto its first `kept` frequencies of the discrete cosine
/// transform.
fn low_pass<B: HartBackend>(kept: usize, all: usize, device: &B::Device) -> Tensor<B, 2> {
    let n = all as f64;
    let wave = |frequency: usize, place: usize| {
        let norm = if frequency == 0 { 1.0 / n } else { 2.0 / n };
        norm.sqrt() * (PI / n * (place as f64 + 0.5) * frequency as f64).cos()
    };
    let entry = |i: usize, j: usize| (0..kept).map(|f| wave(f, i) * wave(f, j)).sum::<f64>() as f32;
    let values = (0..all * all).map(|index| entry(index / all, index % all)).collect::<Vec<f32>>();
    Tensor::from_data(TensorData::new(values, [all, all]), device)
}

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let sample = Sample::open(pipeline.image_size())?;
    let mut results = Results::new("self_guidance", &["strength", "recognised", "decibels"]);
    for strength in STRENGTHS {
        let mut hook = SelfGuidance { strength, before: None };
        let quality = sample.measure(&pipeline, &|request| request, &mut hook)?;
        let values = [strength, quality.recognised, quality.decibels];
        results.add(format!("strength {strength}"), &values)?;
    }
    results.finish()
}
