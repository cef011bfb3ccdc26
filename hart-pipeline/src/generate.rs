//! The doors of a pipeline that make images, and the request behind them, batch by batch.

use std::ops::ControlFlow;

use hart_core::{Error, HartBackend, Result, ScaleSchedule};
use once_cell::unsync::OnceCell;

use crate::batch::ImageBatch;
use crate::generation::{GenerationHook, GenerationSettings, wait};
use crate::image::Image;
use crate::model::HartModel;
use crate::observer::{Event, Observer, Outcome, ScaleDone, Summary, tell};
use crate::pipeline::HartPipeline;
use crate::request::{Request, RequestItem};
use crate::text::EncodedPrompts;

/// How many prompts to encode per load when the text encoder is not kept in memory.
const PROMPTS: usize = 64;

impl<B: HartBackend> HartPipeline<B> {
    /// Makes all images of a request.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a prompt or setting out of its range, before anything is computed;
    /// [`Error::NonFinite`] when the weights are damaged.
    pub fn generate(&self, request: &Request) -> Result<Vec<Image>> {
        for item in request.items()? {
            self.text_encoder.tokenize(&item.prompt)?;
        }
        let outcomes = self.generate_with(request, &mut ())?;
        outcomes.into_iter().map(Outcome::into_image).collect()
    }

    /// Makes the images of a request, reporting to an observer, which can cancel. Every image has
    /// an outcome of its own: one bad prompt in a thousand costs one image.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting out of its range, before anything is computed;
    /// [`Error::NonFinite`] when the weights are damaged.
    pub fn generate_with(
        &self,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        self.generate_with_hook(request, &mut (), observer)
    }

    /// As [`Self::generate_with`], and a hook changes what is computed.
    ///
    /// # Errors
    /// As [`Self::generate_with`], and those of the hook.
    pub fn generate_with_hook(
        &self,
        request: &Request,
        hook: &mut dyn GenerationHook<B>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        wait(self.outcomes(request, hook, observer))
    }

    /// As [`Self::generate_with`], without blocking the thread while the device computes. The GPU of a browser
    /// can be used in no other way, and scales have no previews there.
    ///
    /// # Errors
    /// As [`Self::generate_with`], and [`Error::System`] when the device fails.
    pub async fn generate_async(
        &self,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        self.outcomes(request, &mut (), observer).await
    }

    /// Makes the images of a request and keeps none: each is handed to the observer with
    /// [`Event::Image`] as soon as it is finished. A request of a million images needs no more
    /// memory than one batch.
    ///
    /// # Errors
    /// As [`Self::generate_with`].
    pub fn generate_each(&self, request: &Request, observer: &mut dyn Observer) -> Result<Summary> {
        let mut summary = Summary::default();
        let mut count = |_, outcome| match outcome {
            Outcome::Made(_) => summary.made += 1,
            Outcome::Refused(_) => summary.refused += 1,
            Outcome::Cancelled => summary.cancelled += 1,
        };
        wait(self.run(request, &mut (), observer, &mut count))?;
        Ok(summary)
    }

    /// Makes the first batch of a request for nobody, so that later ones of the same size, effort and number
    /// find everything ready: a GPU backend compiles its kernels when they are first needed, and with the
    /// feature `autotune` tries several forms of each. Both are kept on the disk for later processes
    /// ([`crate::backend`]), where this takes seconds. A processor gains nothing from it but that the memory
    /// of the weights has been touched.
    ///
    /// Every scale is reported as [`Event::WarmUp`].
    ///
    /// # Errors
    /// As [`Self::generate_with`], and [`Error::Cancelled`] when the observer ends it.
    pub fn warm_up(&self, request: &Request, observer: &mut dyn Observer) -> Result<()> {
        let (mut is_cancelled, mut left) = (false, 0);
        let mut watch = |event: Event<'_>| match event {
            Event::Started { images, .. } => {
                left = images.len();
                ControlFlow::Continue(())
            }
            Event::Scale(ScaleDone { scale, scales, grid, .. }) => {
                let flow = observer.event(Event::WarmUp { scale, scales, grid });
                is_cancelled = flow.is_break();
                flow
            }
            Event::Image { .. } => {
                left -= 1;
                if left == 0 { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
            }
            _ => ControlFlow::Continue(()),
        };
        self.generate_each(request, &mut watch)?;
        if is_cancelled { Err(Error::Cancelled) } else { Ok(()) }
    }

    /// The outcome of every image, in the order of the request.
    async fn outcomes(
        &self,
        request: &Request,
        hook: &mut dyn GenerationHook<B>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        let mut outcomes = vec![];
        let mut keep = |index, outcome| outcomes.push((index, outcome));
        self.run(request, hook, observer, &mut keep).await?;
        outcomes.sort_by_key(|(index, _)| *index);
        Ok(outcomes.into_iter().map(|(_, outcome)| outcome).collect())
    }

    /// Gives `keep` the outcome of every image, with its index.
    async fn run(
        &self,
        request: &Request,
        hook: &mut dyn GenerationHook<B>,
        observer: &mut dyn Observer,
        keep: &mut dyn FnMut(usize, Outcome),
    ) -> Result<()> {
        let about = &self.about;
        let items = request.items()?;
        let scales = request.scales(&about.scales, about.downsampling)?;
        let settings = request.settings(&scales, &about.diffusion_steps, &about.defaults)?;
        let work = Work { pipeline: self, items, scales, settings, reshaped: OnceCell::new() };
        work.run(hook, observer, keep).await
    }
}

/// A request whose settings are in their ranges.
struct Work<'a, B: HartBackend> {
    pipeline: &'a HartPipeline<B>,
    items: Vec<RequestItem>,
    scales: ScaleSchedule,
    settings: GenerationSettings,
    /// The model for another size than it was trained with, made when it is first needed.
    reshaped: OnceCell<HartModel<B>>,
}

impl<B: HartBackend> Work<'_, B> {
    /// Makes every image and gives `keep` its outcome.
    async fn run(
        &self,
        hook: &mut dyn GenerationHook<B>,
        observer: &mut dyn Observer,
        keep: &mut dyn FnMut(usize, Outcome),
    ) -> Result<()> {
        let mut open = vec![true; self.items.len()];
        let mut settle = |index: usize, outcome| {
            open[index] = false;
            keep(index, outcome);
        };
        let result = self.run_batches(hook, observer, &mut settle).await;
        match result {
            Err(Error::Cancelled) => {
                for (index, _) in open.iter().enumerate().filter(|(_, open)| **open) {
                    keep(index, Outcome::Cancelled);
                }
                Ok(())
            }
            other => other,
        }
    }

    async fn run_batches(
        &self,
        hook: &mut dyn GenerationHook<B>,
        observer: &mut dyn Observer,
        keep: &mut dyn FnMut(usize, Outcome),
    ) -> Result<()> {
        let encoder = self.pipeline.text_encoder();
        let batch = self.batch_size();
        let mut accepted = vec![];
        for (index, item) in self.items.iter().enumerate() {
            match encoder.tokenize(&item.prompt) {
                Ok(_) => accepted.push(index),
                Err(reason) => {
                    let reported = tell(observer, Event::Refused { image: index, reason: &reason });
                    keep(index, Outcome::Refused(reason));
                    reported?;
                }
            }
        }
        // Weights that are loaded anew for every call should serve many prompts.
        let batches = if encoder.is_kept() { 1 } else { PROMPTS.div_ceil(batch) };
        for images in accepted.chunks(batches * batch) {
            self.generate(images, batch, hook, observer, keep).await?;
        }
        Ok(())
    }

    /// The model for the size of these images.
    fn model(&self) -> Result<&HartModel<B>> {
        let trained = self.pipeline.model()?;
        if self.scales == *trained.transformer.scales() {
            return Ok(trained);
        }
        self.reshaped.get_or_try_init(|| trained.with_scales(self.scales.clone()))
    }

    /// Images that are made at once: fewer of larger ones.
    fn batch_size(&self) -> usize {
        let about = &self.pipeline.about;
        let (usual, asked) = (about.scales.total_tokens(), self.scales.total_tokens());
        if asked <= usual { about.batch_size } else { (about.batch_size * usual / asked).max(1) }
    }

    /// Batches whose prompts are encoded together.
    async fn generate(
        &self,
        images: &[usize],
        batch: usize,
        hook: &mut dyn GenerationHook<B>,
        observer: &mut dyn Observer,
        keep: &mut dyn FnMut(usize, Outcome),
    ) -> Result<()> {
        let prompts: Vec<&str> =
            images.iter().map(|&index| self.items[index].prompt.as_str()).collect();
        let mut encoded = None;
        let mut first = 0;
        for images in images.chunks(batch) {
            tell(observer, Event::Started { images, scales: self.scales.count() })?;
            let encoded = match &encoded {
                Some(encoded) => encoded,
                None => &*encoded.insert(self.pipeline.text_encoder().encode(&prompts)?),
            };
            let text = encoded.part(first..first + images.len());
            first += images.len();
            self.report_prompts(images, &text, observer)?;
            // Not before the prompts are encoded: the two may not fit in memory together.
            let model = self.model()?;
            let batch = ImageBatch {
                pipeline: self.pipeline,
                model,
                settings: &self.settings,
                images,
                items: images.iter().map(|&index| &self.items[index]).collect(),
                text: &text,
            };
            batch.generate(hook, observer, keep).await?;
        }
        Ok(())
    }

    /// What of the prompts will not reach the model.
    fn report_prompts(
        &self,
        images: &[usize],
        encoded: &EncodedPrompts<B>,
        observer: &mut dyn Observer,
    ) -> Result<()> {
        let encoder = self.pipeline.text_encoder();
        let kept = encoder.context_tokens();
        for (&image, &tokens) in images.iter().zip(&encoded.lengths) {
            if tokens > kept {
                tell(observer, Event::PromptCut { image, tokens, kept })?;
            }
            let words = &encoder.unknown_words(&self.items[image].prompt)[..];
            if !words.is_empty() {
                tell(observer, Event::UnknownWords { image, words })?;
            }
        }
        Ok(())
    }
}
