//! One generation at the released size with random weights, without the text encoder: time of each
//! part and peak memory.
//!
//! ```text
//! cargo run --release -p hart-benches --bin generate -- --px 256
//! ```
#![allow(clippy::print_stdout)]

use std::time::Instant;

use anyhow::Result;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use clap::Parser;
use hart_ar::TextCondition;
use hart_benches::{peak_memory_mib, released_config};
use hart_core::checkpoint::LoadOptions;
use hart_core::random::{Draws, SeededDraws};
use hart_core::{HartBackend, Precision};
use hart_diffusion::NoiseSchedule;
use hart_pipeline::backend::{OnBackend, compiled_in, on_device};
use hart_pipeline::generate::Stage;
use hart_pipeline::{GenerationSettings, HartModel};

/// Times a generation at the released size with random weights.
#[derive(Parser)]
struct Arguments {
    /// Side of the picture: 256, 512 or 1024 pixels.
    #[arg(long, default_value_t = 256)]
    px: usize,
    /// Transformer blocks (24 in the release).
    #[arg(long, default_value_t = 24)]
    depth: usize,
    /// Pictures made at once.
    #[arg(long, default_value_t = 1)]
    batch: usize,
    /// Generations; the first one also warms up.
    #[arg(long, default_value_t = 1)]
    repeat: usize,
    /// Element type of the weights: f32, bf16, f16 or int8.
    #[arg(long, default_value = "f32")]
    precision: Precision,
    /// Backend to work on, and which GPU [default: the fastest compiled in].
    #[arg(long)]
    device: Option<String>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let device = arguments.device.clone().unwrap_or_else(|| compiled_in()[0].to_string());
    on_device(&device, arguments)?
}

impl OnBackend for Arguments {
    type Output = Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> Result<()> {
        self.precision.check::<B>(&device)?;
        let config = released_config(self.px, self.depth)?;
        let start = Instant::now();
        let options = LoadOptions { precision: self.precision, prepare: true };
        let model = HartModel::<B>::init(&config, &device)?;
        // Weights are made when they are first looked at, so that preparing holds those of one
        // layer at a time; a cast looks at all of them.
        let model = match self.precision {
            Precision::Bf16 | Precision::F16 => model.cast(options),
            _ => model,
        };
        let model = options.finish(model);
        B::sync(&device)?;
        println!("{:.1} s for random weights", start.elapsed().as_secs_f64());

        let settings = GenerationSettings {
            guidance: 4.5,
            top_k: None,
            top_p: 0.0,
            smooth: true,
            mask_passes: 1,
            noise_schedule: Some(NoiseSchedule::respaced("8")?),
            diffusion_steps: "8".to_string(),
            temperature: 1.0,
        };
        let text = random_text::<B>(&config.transformer, self.batch, &device);
        let draws = SeededDraws::new((0..self.batch as u64).collect::<Vec<_>>());
        for _ in 0..self.repeat {
            let start = Instant::now();
            let mut coarse = 0.0;
            let last = config.transformer.scales.last();
            let mut report = |stage: Stage<'_, B>| {
                if matches!(stage, Stage::Scale { scale, .. } if scale + 1 == last) {
                    coarse = start.elapsed().as_secs_f64();
                }
                Ok(())
            };
            let latent = model.generate_latent(&text, &settings, &draws, &mut report, &mut ())?;
            B::sync(&device)?;
            let generated = start.elapsed().as_secs_f64();
            for i in 0..self.batch {
                let image = model.tokenizer.decode_latent(latent.clone().narrow(0, i, 1), &mut ());
                drop(image.into_data());
            }
            let total = start.elapsed().as_secs_f64();
            println!(
                "coarse scales {coarse:.2} s, last scale with diffusion {:.2} s, decoder {:.2} s, \
                 together {total:.2} s",
                generated - coarse,
                total - generated
            );
        }
        if let Some(peak) = peak_memory_mib() {
            println!("peak resident memory {peak:.0} MiB");
        }
        Ok(())
    }
}

/// A context of standard normal values, every token valid.
fn random_text<B: Backend>(
    config: &hart_core::config::TransformerConfig,
    batch: usize,
    device: &B::Device,
) -> TextCondition<B> {
    let (tokens, width) = (config.context_tokens, config.context_width);
    let mut values = vec![0.0; batch * tokens * width];
    let draws = SeededDraws::new([0]);
    for (i, row) in values.chunks_exact_mut(width).enumerate() {
        draws.diffusion_start(0, i, row);
    }
    TextCondition {
        context: Tensor::from_data(TensorData::new(values, [batch, tokens, width]), device),
        mask: vec![vec![true; tokens]; batch],
        positions: vec![(0..tokens as i64).collect(); batch],
    }
}
