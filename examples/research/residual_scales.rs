//! Which detail does the residual bring? It is sampled for the finest map; here only the part of it
//! that a coarser map can hold is added.
//!
//! ```sh
//! cargo run --release --example residual_scales
//! ```
//!
//! Writes `residual_scales.csv` and `residual_scales.svg`: images without a residual, with one that is
//! averaged over the cells of each scale, and with all of it.

use std::process::ExitCode;

use hart_examples::exit;
use hart_examples::research::{Pipeline, Results, Sample};
use hart_pipeline::burn::tensor::Tensor;
use hart_pipeline::generation::{ResidualSampling, Step};
use hart_pipeline::tokenizer::quantizer::{to_map, to_tokens};
use hart_pipeline::tokenizer::resize::Resize;
use hart_pipeline::{GenerationHook, Grid, HartBackend, Result};

/// Adds what a map of this size holds of the residual.
struct Averaged(Option<Grid>);

impl<B: HartBackend> GenerationHook<B> for Averaged {
    fn name(&self) -> Option<String> {
        Some("averaged residual".to_string())
    }

    fn residual(
        &mut self,
        step: &Step<'_, B>,
        sampling: ResidualSampling<'_, B>,
    ) -> Result<Tensor<B, 3>> {
        let residual = sampling.sample()?;
        let Some(grid) = self.0 else { return Ok(residual.zeros_like()) };
        let device = residual.device();
        let averaged = Resize::area(step.grid, grid, &device).apply(to_map(residual, step.grid));
        Ok(to_tokens(Resize::bicubic(grid, step.grid, &device).apply(averaged)))
    }
}

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let sample = Sample::open(pipeline.image_size())?;
    let mut results = Results::new("residual_scales", &["side", "recognised", "decibels"]);
    let grids = pipeline.scales()?.grids().to_vec();
    for grid in std::iter::once(None).chain(grids.into_iter().map(Some)) {
        let quality = sample.measure(&pipeline, &|request| request, &mut Averaged(grid))?;
        let label = grid.map_or("no residual".to_string(), |grid| format!("{grid} cells"));
        let side = grid.map_or(0, |grid| grid.rows) as f64;
        results.add(label, &[side, quality.recognised, quality.decibels])?;
    }
    results.finish()
}
