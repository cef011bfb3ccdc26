//! Guidance by scale: the release lets it grow from none to nearly all; here are other ways.
//!
//! ```sh
//! cargo run --release --example guidance_schedule
//! ```
//!
//! Writes `guidance_schedule.png`: a row for each schedule, a column for each prompt; and
//! `guidance_schedule.csv` and `.svg`, measured on the drawings of the sample. Where a schedule ends in
//! zeros, the unconditional half is not computed, and the row takes less time.

use std::process::ExitCode;
use std::time::Instant;

use hart_examples::images::enlarge;
use hart_examples::research::{Pipeline, Results, Sample};
use hart_examples::{exit, say};
use hart_pipeline::image::grid;
use hart_pipeline::{GenerationHook, HartBackend, Request};

/// Guidance as a function of how far the scale is towards the last, from 0 to 1.
type Guidance = fn(f64) -> f64;

struct Schedule {
    name: &'static str,
    guidance: Guidance,
    scales: usize,
}

impl<B: HartBackend> GenerationHook<B> for Schedule {
    fn name(&self) -> Option<String> {
        Some(self.name.to_string())
    }

    fn guidance(&mut self, scale: usize, _usual: f64) -> f64 {
        (self.guidance)(scale as f64 / (self.scales - 1) as f64)
    }
}

const PROMPTS: [&str; 5] = [
    "a red heart, flat style",
    "a penguin, 3D style, on a pink background",
    "a hamburger, cartoon style",
    "a large red circle above a small blue square on a yellow background",
    "a small green star left of a large purple heart on a white background",
];

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let scales = pipeline.scales()?.count();
    let schedules: [(&str, Guidance); 5] = [
        ("none", |_| 0.0),
        ("growing, as released", |way| 2.0 * way),
        ("the same everywhere", |_| 1.0),
        ("falling", |way| 2.0 * (1.0 - way)),
        ("coarse half only", |way| if way < 0.5 { 2.0 } else { 0.0 }),
    ];
    let request = Request::batch(PROMPTS).seed(1);
    let sample = Sample::open(pipeline.image_size())?;
    let columns = ["schedule", "recognised", "decibels", "seconds"];
    let mut results = Results::new("guidance_schedule", &columns);
    let mut rows = vec![];
    for (place, (name, guidance)) in schedules.into_iter().enumerate() {
        let mut hook = Schedule { name, guidance, scales };
        let start = Instant::now();
        let quality = sample.measure(&pipeline, &|request| request, &mut hook)?;
        let seconds = start.elapsed().as_secs_f64();
        results.add(name, &[place as f64, quality.recognised, quality.decibels, seconds])?;
        for image in pipeline.generate(&request, &mut hook)? {
            rows.push(enlarge(&image, 2)?.pixels().clone());
        }
    }
    // Five schedules of five prompts: the square grid has a row for each schedule.
    grid(&rows)?.save("guidance_schedule.png")?;
    results.finish()?;
    say("guidance_schedule.png")
}
