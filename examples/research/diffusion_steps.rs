//! How many steps does the residual head need?
//!
//! ```sh
//! cargo run --release --example diffusion_steps
//! ```
//!
//! Writes `diffusion_steps.csv` and `diffusion_steps.svg`: images without a residual, and with one
//! sampled in 1 to 50 steps.

use std::process::ExitCode;
use std::time::Instant;

use hart_examples::exit;
use hart_examples::research::{Pipeline, Results, Sample};

const STEPS: [usize; 9] = [0, 1, 2, 4, 8, 16, 25, 32, 50];

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let sample = Sample::open(pipeline.image_size())?;
    let mut results =
        Results::new("diffusion_steps", &["steps", "recognised", "decibels", "seconds"]);
    for steps in STEPS {
        let start = Instant::now();
        let quality = sample.measure(
            &pipeline,
            &|request| match steps {
                0 => request.residual(false),
                _ => request.diffusion_steps(steps.to_string()),
            },
            &mut (),
        )?;
        let label = if steps == 0 { "no residual".to_string() } else { format!("{steps} steps") };
        let seconds = start.elapsed().as_secs_f64();
        results.add(label, &[steps as f64, quality.recognised, quality.decibels, seconds])?;
    }
    results.finish()
}
