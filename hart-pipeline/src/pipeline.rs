//! The pipeline: text to pictures.

use std::ops::{ControlFlow, Range};

use burn::tensor::{Tensor, backend::Backend};
use hart_core::random::SeededDraws;
use hart_core::{Error, HartBackend, Precision, Result};

use crate::builder::PipelineBuilder;
use crate::defaults::ModelDefaults;
use crate::generate::{Stage, to_host};
use crate::image::{Image, ImageSettings, to_bytes};
use crate::lazy::LazyModel;
use crate::model::HartModel;
use crate::observer::{Event, Observer};
use crate::request::{GenerationSettings, Request, RequestItem};
use crate::text::{EncodedPrompts, TextEncoder};

/// The fewest prompts that a text encoder is loaded for which is not kept.
const PROMPTS: usize = 64;

/// Text to pictures: text encoder, model and the device they are on.
///
/// A pipeline can be shared between threads; several generations may run on it at once, since all
/// state of a generation is its own. Its memory is given back when it is dropped.
#[derive(Debug)]
pub struct HartPipeline<B: Backend> {
    parts: Parts<B>,
    precision: Precision,
    // The last field: it is dropped after the weights.
    device: Released<B>,
}

/// What a pipeline is made of.
#[derive(Debug)]
pub(crate) struct Parts<B: Backend> {
    pub(crate) model: LazyModel<B>,
    pub(crate) text_encoder: TextEncoder<B>,
    /// The model's name in the settings of pictures.
    pub(crate) name: String,
    pub(crate) batch_size: usize,
    /// Rows of pixels that are decoded at a time; `None` for all.
    pub(crate) strip_height: Option<usize>,
    pub(crate) defaults: ModelDefaults,
}

/// Gives pooled memory back to the device when it is dropped.
#[derive(Debug)]
struct Released<B: Backend>(B::Device);

impl<B: Backend> Drop for Released<B> {
    fn drop(&mut self) {
        B::memory_cleanup(&self.0);
    }
}

impl<B: HartBackend> HartPipeline<B> {
    /// Starts building a pipeline from folders on disk.
    pub fn builder() -> PipelineBuilder<B> {
        PipelineBuilder::new()
    }

    pub(crate) fn new(parts: Parts<B>, precision: Precision, device: B::Device) -> Self {
        Self { parts, precision, device: Released(device) }
    }

    /// What requests that do not say are made with.
    pub fn defaults(&self) -> &ModelDefaults {
        &self.parts.defaults
    }

    /// The model's parts, for research.
    ///
    /// # Errors
    /// Those of [`HartModel::load`] when the model waited to be loaded
    /// ([`PipelineBuilder::keep_text_encoder`]).
    pub fn model(&self) -> Result<&HartModel<B>> {
        self.parts.model.get()
    }

    /// The text encoder.
    pub fn text_encoder(&self) -> &TextEncoder<B> {
        &self.parts.text_encoder
    }

    /// The device everything is on.
    pub fn device(&self) -> &B::Device {
        &self.device.0
    }

    /// Makes all pictures of a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a prompt or setting out of its range, before anything is computed;
    /// [`Error::NonFinite`] when the weights are damaged.
    pub fn generate(&self, request: &Request) -> Result<Vec<Image>> {
        self.generate_with(request, &mut ())
    }

    /// Makes all pictures of a request under the eyes of an observer, who can cancel.
    ///
    /// # Errors
    /// As [`Self::generate`], and [`Error::Cancelled`] when the observer asked for it.
    pub fn generate_with(
        &self,
        request: &Request,
        observer: &mut dyn Observer<B>,
    ) -> Result<Vec<Image>> {
        let mut images = vec![];
        self.run(request, observer, &mut |image| images.push(image))?;
        Ok(images)
    }

    /// Makes all pictures of a request and keeps none: each is handed to the observer with
    /// [`Event::Picture`] as soon as it is finished. A request of a million pictures needs no more
    /// memory than one batch.
    ///
    /// # Errors
    /// As [`Self::generate_with`].
    pub fn generate_each(&self, request: &Request, observer: &mut dyn Observer<B>) -> Result<()> {
        self.run(request, observer, &mut drop)
    }

    fn run(
        &self,
        request: &Request,
        observer: &mut dyn Observer<B>,
        keep: &mut dyn FnMut(Image),
    ) -> Result<()> {
        let items = request.items()?;
        let Parts { model, text_encoder, batch_size, defaults, .. } = &self.parts;
        let config = &model.config().transformer;
        let steps = &config.residual_head.sampling_steps;
        let settings = request.settings(&config.scales, steps, defaults)?;
        for item in &items {
            text_encoder.tokenize(&item.prompt)?;
        }
        // Weights that are loaded anew for every call should serve many prompts.
        let batches = if text_encoder.is_kept() { 1 } else { PROMPTS.div_ceil(*batch_size) };
        for start in (0..items.len()).step_by(batches * batch_size) {
            let pictures = start..items.len().min(start + batches * batch_size);
            self.generate_batches(&items, pictures, &settings, observer, keep)?;
        }
        Ok(())
    }

    /// Batches whose prompts are encoded together.
    fn generate_batches(
        &self,
        items: &[RequestItem],
        pictures: Range<usize>,
        settings: &GenerationSettings,
        observer: &mut dyn Observer<B>,
        keep: &mut dyn FnMut(Image),
    ) -> Result<()> {
        let prompts: Vec<&str> =
            items[pictures.clone()].iter().map(|item| item.prompt.as_str()).collect();
        let scales = self.parts.model.config().transformer.scales.count();
        let mut encoded = None;
        for start in pictures.clone().step_by(self.parts.batch_size) {
            let batch = start..pictures.end.min(start + self.parts.batch_size);
            tell(observer, Event::Started { pictures: batch.clone(), scales })?;
            let encoded = match &encoded {
                Some(encoded) => encoded,
                None => &*encoded.insert(self.parts.text_encoder.encode(&prompts)?),
            };
            let here = batch.start - pictures.start..batch.end - pictures.start;
            let (prompts, text) = (&prompts[here.clone()], encoded.part(here));
            self.report_prompts(prompts, &text, batch.start, observer)?;
            self.generate_batch(&items[batch.clone()], &text, batch, settings, observer, keep)?;
        }
        Ok(())
    }

    /// Decodes the latent of an [`Event::Scale`] to pictures as they would be if the generation
    /// ended there: `[height, width, 3]` bytes of each picture of the batch, with their side.
    ///
    /// # Errors
    /// [`Error::NonFinite`] when the weights are damaged.
    pub fn preview(&self, latent: &Tensor<B, 4>) -> Result<Vec<(usize, Vec<u8>)>> {
        let [batch, _, _, _] = latent.dims();
        (0..batch).map(|i| self.decode(latent.clone().narrow(0, i, 1))).collect()
    }

    fn generate_batch(
        &self,
        items: &[RequestItem],
        encoded: &EncodedPrompts<B>,
        pictures: Range<usize>,
        settings: &GenerationSettings,
        observer: &mut dyn Observer<B>,
        keep: &mut dyn FnMut(Image),
    ) -> Result<()> {
        let model = self.model()?;
        let scales = model.transformer.scales();
        let (first, count) = (pictures.start, scales.count());
        let draws = SeededDraws::new(items.iter().map(|item| item.seed).collect::<Vec<_>>());
        let mut report = |stage: Stage<'_, B>| match stage {
            Stage::Scale { scale, latent } => {
                let (pictures, side) = (pictures.clone(), scales.side(scale));
                tell(observer, Event::Scale { pictures, scale, scales: count, side, latent })
            }
            Stage::MaskPass { pass, passes } => tell(observer, Event::MaskPass { pass, passes }),
        };
        let latent =
            model.generate_latent(&encoded.text, settings, &draws, &mut report, &mut ())?;
        for (i, item) in items.iter().enumerate() {
            let (side, pixels) = self.decode(latent.clone().narrow(0, i, 1))?;
            let image = Image::new(side, side, pixels, self.describe(item, settings));
            tell(observer, Event::Picture { picture: first + i, image: &image })?;
            keep(image);
        }
        Ok(())
    }

    /// What of the prompts will not reach the model.
    fn report_prompts(
        &self,
        prompts: &[&str],
        encoded: &EncodedPrompts<B>,
        first: usize,
        observer: &mut dyn Observer<B>,
    ) -> Result<()> {
        let kept = self.parts.text_encoder.context_tokens();
        for (i, &tokens) in encoded.lengths.iter().enumerate().filter(|(_, n)| **n > kept) {
            tell(observer, Event::PromptCut { picture: first + i, tokens, kept })?;
        }
        for (i, prompt) in prompts.iter().enumerate() {
            let words = &self.parts.text_encoder.unknown_words(prompt)[..];
            if !words.is_empty() {
                tell(observer, Event::UnknownWords { picture: first + i, words })?;
            }
        }
        Ok(())
    }

    /// One latent `[1, Z, H, W]` to a side and `[side, side, 3]` bytes.
    fn decode(&self, latent: Tensor<B, 4>) -> Result<(usize, Vec<u8>)> {
        let tokenizer = &self.model()?.tokenizer;
        let decoded = match self.parts.strip_height {
            None => tokenizer.decode_latent(latent, &mut ()),
            Some(rows) => {
                let rows = rows * latent.dims()[2] / tokenizer.image_side();
                tokenizer.decode_latent_in_strips(latent, rows)
            }
        };
        let [_, _, side, _] = decoded.dims();
        Ok((side, to_bytes(&to_host(decoded))?))
    }

    fn describe(&self, item: &RequestItem, settings: &GenerationSettings) -> ImageSettings {
        let residual = settings.noise_schedule.is_some();
        ImageSettings {
            prompt: item.prompt.clone(),
            seed: item.seed,
            guidance: settings.guidance,
            top_k: settings.top_k,
            top_p: settings.top_p,
            smooth: settings.smooth,
            mask_passes: settings.mask_passes,
            diffusion_steps: residual.then(|| settings.diffusion_steps.clone()),
            temperature: settings.temperature,
            precision: self.precision.name().to_string(),
            model: self.parts.name.clone(),
            software: format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION")),
        }
    }
}

/// Tells the observer; its wish to stop becomes an error.
fn tell<B: Backend>(observer: &mut dyn Observer<B>, event: Event<'_, B>) -> Result<()> {
    match observer.event(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
