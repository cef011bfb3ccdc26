//! Another sampler for the residual: DDIM (Song, Meng and Ermon, 2021), without noise between the
//! steps, beside the ancestral one of the release.
//!
//! ```sh
//! cargo run --release --example ddim_residual
//! ```
//!
//! Writes `ddim_residual.png`: without a residual, ancestral in 8 steps, DDIM in 8, 4, 2 and 1, and
//! ancestral in 64; and `ddim_residual.csv` and `.svg`, how far each is from the last.

use std::process::ExitCode;

use hart_examples::images::enlarge;
use hart_examples::research::{Pipeline, Results};
use hart_examples::{exit, say};
use hart_pipeline::burn::tensor::Tensor;
use hart_pipeline::diffusion::sampler::RESIDUAL_SCALE;
use hart_pipeline::generation::{ResidualSampling, Step};
use hart_pipeline::image::grid;
use hart_pipeline::{GenerationHook, HartBackend, Image, Request, Result};

/// x_{t-1} = √ᾱ_{t-1}·x̂_0 + √(1 - ᾱ_{t-1})·ε: the step of DDIM with η = 0.
struct Ddim;

impl<B: HartBackend> GenerationHook<B> for Ddim {
    fn name(&self) -> Option<String> {
        Some("DDIM".to_string())
    }

    fn residual(&mut self, _: &Step<'_, B>, on: ResidualSampling<'_, B>) -> Result<Tensor<B, 3>> {
        let mut x = on.start;
        let condition = on.head.embed_condition(on.condition, x.dims(), &on.settings)?;
        for step in on.schedule.steps().iter().rev() {
            let [noise, _] = on.head.predict(step, x.clone(), condition.clone(), &on.settings);
            let estimate = x * step.sqrt_reciprocal_alpha
                - noise.clone() * step.sqrt_reciprocal_alpha_minus_one;
            let before = step.alpha_before;
            x = estimate.clamp(-1.0, 1.0) * before.sqrt() + noise * (1.0 - before).sqrt();
        }
        Ok(x * RESIDUAL_SCALE)
    }
}

fn main() -> ExitCode {
    exit(compare())
}

fn compare() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let request = Request::new("a penguin, 3D style, on a pink background").seed(1);
    let steps = |steps: &str| request.clone().diffusion_steps(steps);
    let ancestral =
        |request: &Request| pipeline.generate(request, &mut ()).map(|mut all| all.remove(0));
    let ddim = |count: &str| -> Result<Image> {
        pipeline.generate(&steps(count), &mut Ddim).map(|mut all| all.remove(0))
    };
    let images = [
        ("no residual", ancestral(&request.clone().residual(false))?),
        ("ancestral, 8 steps", ancestral(&steps("8"))?),
        ("DDIM, 8 steps", ddim("8")?),
        ("DDIM, 4 steps", ddim("4")?),
        ("DDIM, 2 steps", ddim("2")?),
        ("DDIM, 1 step", ddim("1")?),
        ("ancestral, 64 steps", ancestral(&steps("64"))?),
    ];
    let enlarged = images.iter().map(|(_, image)| Ok(enlarge(image, 4)?.pixels().clone()));
    grid(&enlarged.collect::<anyhow::Result<Vec<_>>>()?)?.save("ddim_residual.png")?;
    let finest = images[6].1.pixels().rgb();
    let mut results = Results::new("ddim_residual", &["image", "of 255 from the last"]);
    for (place, (name, image)) in images.iter().enumerate() {
        let apart = image.pixels().rgb().iter().zip(finest).map(|(a, b)| a.abs_diff(*b) as f64);
        results.add(*name, &[place as f64, apart.sum::<f64>() / finest.len() as f64])?;
    }
    results.finish()?;
    say("ddim_residual.png")
}
