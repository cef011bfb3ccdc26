//! One batch of images: generated, decoded, described.

use burn::tensor::Tensor;
use hart_core::random::SeededDraws;
use hart_core::{Grid, HartBackend, Result};

use crate::generation::{Batch, GenerationHook, GenerationSettings, Stage, on_host, wait};
use crate::image::{Image, ImageSettings, Pixels};
use crate::model::HartModel;
use crate::observer::{Event, Observer, Outcome, ScaleDone, tell};
use crate::pipeline::HartPipeline;
use crate::request::RequestItem;
use crate::text::EncodedPrompts;

/// The images of a batch, ready to be made.
pub(crate) struct ImageBatch<'a, B: HartBackend> {
    pub(crate) pipeline: &'a HartPipeline<B>,
    /// The model, for the size of these images.
    pub(crate) model: &'a HartModel<B>,
    pub(crate) settings: &'a GenerationSettings,
    /// Their indices in the request.
    pub(crate) images: &'a [usize],
    pub(crate) items: Vec<&'a RequestItem>,
    pub(crate) text: &'a EncodedPrompts<B>,
}

impl<B: HartBackend> ImageBatch<'_, B> {
    /// Makes the images and gives `keep` each with its index.
    pub(crate) async fn generate(
        &self,
        hook: &mut dyn GenerationHook<B>,
        observer: &mut dyn Observer,
        keep: &mut dyn FnMut(usize, Outcome),
    ) -> Result<()> {
        let (images, scales) = (self.images, self.model.transformer.scales());
        let seeds: Vec<u64> = self.items.iter().map(|item| item.seed).collect();
        let prompts: Vec<&str> = self.items.iter().map(|item| item.prompt.as_str()).collect();
        hook.begin(&Batch { images, prompts: &prompts, seeds: &seeds })?;
        let draws = SeededDraws::new(seeds);
        let mut report = |stage: Stage<'_, B>| match stage {
            Stage::Scale { scale, latent } => {
                let decode = |place| wait(self.decode(latent.clone().narrow(0, place, 1)));
                let (grid, count) = (scales.grid(scale), scales.count());
                let done = ScaleDone { images, scale, scales: count, grid, decode: &decode };
                tell(observer, Event::Scale(done))
            }
            Stage::MaskPass { pass, passes } => tell(observer, Event::MaskPass { pass, passes }),
        };
        let generation = self.model.generation(&self.text.text, self.settings, &draws);
        let latent = generation.hook(hook).report(&mut report).run_async().await?;
        for (place, (&index, item)) in images.iter().zip(&self.items).enumerate() {
            let pixels = self.decode(latent.clone().narrow(0, place, 1)).await?;
            let image = self.described(item, hook.name(), pixels);
            // An image that was handed out was made, even if the observer cancels now.
            let cancelled = tell(observer, Event::Image { index, image: &image });
            keep(index, Outcome::Made(image));
            cancelled?;
        }
        Ok(())
    }

    fn described(&self, item: &RequestItem, hook: Option<String>, pixels: Pixels) -> Image {
        let settings = self.describe(item, hook, &pixels);
        Image::new(pixels, settings)
    }

    /// One latent `[1, Z, H, W]` to pixels.
    async fn decode(&self, latent: Tensor<B, 4>) -> Result<Pixels> {
        let decoded = self.decoded(latent);
        let [_, _, rows, columns] = decoded.dims();
        Pixels::from_planes(Grid::new(rows, columns), &on_host(decoded).await?)
    }

    /// One latent to values around [-1, 1], `[1, 3, height, width]`.
    fn decoded(&self, latent: Tensor<B, 4>) -> Tensor<B, 4> {
        let tokenizer = &self.model.tokenizer;
        match self.pipeline.about.strip_height {
            None => tokenizer.decode_latent(latent, &mut ()),
            Some(rows) => {
                tokenizer.decode_latent_in_strips(latent, rows / tokenizer.downsampling())
            }
        }
    }

    fn describe(&self, item: &RequestItem, hook: Option<String>, pixels: &Pixels) -> ImageSettings {
        let (about, encoder) = (&self.pipeline.about, self.pipeline.text_encoder());
        let settings = self.settings;
        let schedule = settings.noise_schedule.as_ref();
        ImageSettings {
            version: ImageSettings::VERSION,
            prompt: item.prompt.clone(),
            seed: item.seed,
            size: Some([pixels.width(), pixels.height()]),
            guidance: settings.guidance,
            top_k: settings.top_k,
            top_p: settings.top_p,
            smooth: settings.smooth,
            mask_passes: settings.mask_passes,
            diffusion_steps: schedule.map(|schedule| schedule.respacing().to_string()),
            temperature: settings.temperature,
            effort: settings.effort.to_string(),
            hook,
            system_prompt: Some(encoder.system_prompt().to_settings()),
            padding_side: Some(encoder.tokenizer().padding_side().name().to_string()),
            precision: about.precision.name().to_string(),
            strip_height: about.strip_height,
            model: about.name.clone(),
            weights: about.weights.clone(),
            backend: Some(B::name(self.pipeline.device())),
            software: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
            ..ImageSettings::default()
        }
    }
}
