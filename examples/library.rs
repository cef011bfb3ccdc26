//! A program that knows `hart-pipeline` and nothing else: it opens a pipeline on a backend named at
//! run time, streams previews, cancels, generates with a hook of its own, and fine-tunes.
//!
//! ```sh
//! cargo run --release --example library examples/data/sample/captions.jsonl
//! ```
//!
//! `scripts/check-outside` compiles it in a package outside the workspace.
#![deny(warnings)]

use std::io::Write;
use std::ops::ControlFlow;

use hart_pipeline::ar::HalfLogits;
use hart_pipeline::backend::{Flex, default_device};
use hart_pipeline::burn::tensor::Tensor;
use hart_pipeline::generation::{GenerationHook, Step};
use hart_pipeline::training::data::Records;
use hart_pipeline::training::fine_tune::{FineTune, FineTuneSettings, TrainableModel};
use hart_pipeline::{Event, HartBackend, HartPipeline, Outcome, Request, Result};

/// Flattens the logits of the first scales: their tokens become nearly random.
struct Loosen {
    scales: usize,
    seen: usize,
}

impl<B: HartBackend> GenerationHook<B> for Loosen {
    fn name(&self) -> Option<String> {
        Some(format!("loosened for {} scales", self.scales))
    }

    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        let logits = logits.guided(step.guidance)?;
        self.seen += 1;
        Ok(if step.scale < self.scales { logits / 20.0 } else { logits })
    }
}

fn main() -> std::result::Result<(), Box<dyn std::error::Error>> {
    let prompt = "a red heart, flat style";
    let records = std::env::args().nth(1).ok_or("name a file of captions")?;

    // A backend that is chosen by its name, and no type parameter.
    let pipeline = HartPipeline::builder().embedded().open("flex")?;
    let mut previews = vec![];
    let mut watch = |event: Event<'_>| {
        if let Event::Scale(done) = event {
            previews.push(done.preview());
        }
        ControlFlow::Continue(())
    };
    let outcomes = pipeline.generate_with(&Request::new(prompt).seed(7), &mut watch)?;
    let image = outcomes[0].image().ok_or("no image")?;
    let previews = previews.into_iter().collect::<Result<Vec<_>>>()?;
    assert!(previews.len() > 1);
    assert_eq!(previews.last().map(|last| &last[0]), Some(image.pixels()));

    let mut scales = 0;
    let mut cancel = |event: Event<'_>| {
        scales += usize::from(matches!(event, Event::Scale(_)));
        if scales == 3 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    };
    let outcomes = pipeline.generate_with(&Request::new(prompt), &mut cancel)?;
    assert!(matches!(outcomes[..], [Outcome::Cancelled]) && scales == 3);

    let refused = HartPipeline::builder().embedded().open("abacus").err().ok_or("no error")?;
    let mut out = std::io::stdout();
    writeln!(out, "{refused}")?;

    let pipeline = HartPipeline::<Flex>::embedded(&default_device())?;
    let mut hook = Loosen { scales: 5, seen: 0 };
    let outcomes =
        pipeline.generate_with_hook(&Request::new(prompt).seed(7), &mut hook, &mut ())?;
    let loosened = outcomes[0].image().ok_or("no image")?;
    assert!(hook.seen >= previews.len(), "{} of {} scales", hook.seen, previews.len());
    assert_ne!(loosened.pixels(), image.pixels());

    let model = TrainableModel::<Flex>::embedded(&default_device())?;
    let mut settings = FineTuneSettings::new(10);
    settings.batch = 4;
    let records = Records::open(records)?;
    let mut tuning = FineTune::start(model, records, settings, &mut ())?;
    for _ in 0..10 {
        let metrics = tuning.step()?;
        writeln!(out, "step {}: cross entropy {:.3}", tuning.done(), metrics.cross_entropy)?;
    }
    let tuned = tuning.pipeline()?.generate(&Request::new(prompt).seed(7))?;
    assert_eq!((tuned[0].width(), tuned[0].height()), (image.width(), image.height()));
    assert_ne!(tuned[0].pixels(), image.pixels());
    Ok(())
}
