//! An edit that is worked on: the source is encoded, a generation is held to it, and what comes out goes
//! back into the image.

use std::collections::BTreeMap;
use std::ops::ControlFlow;

use hart_core::{Error, Grid, HartBackend, Result};

use super::change::{ChangeByPrompt, Explain};
use super::contrast::{self, ChangeByContrast};
use super::frame::Frame;
use super::mask::{Mask, kept_cells};
use super::source::{HoldToSource, Kept, Source};
use super::{ChangeBy, Edit, Kind};
use crate::generation::GenerationHook;
use crate::image::{Image, Pixels};
use crate::model::HartModel;
use crate::observer::{Event, Observer, Outcome};
use crate::pipeline::HartPipeline;
use crate::request::Request;

/// What stands for a prompt where there is none; its text is taken out again before it is used.
const NO_PROMPT: &str = "image";

impl<B: HartBackend> HartPipeline<B> {
    /// Makes all results of an edit.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a mask, a strength, a prompt or a setting out of its range;
    /// [`Error::NonFinite`] when the weights are damaged.
    pub fn edit(&self, edit: &Edit) -> Result<Vec<Image>> {
        if let Some(prompt) = &edit.prompt {
            self.text_encoder().tokenize(prompt)?;
        }
        let outcomes = self.edit_with(edit, &mut ())?;
        outcomes.into_iter().map(Outcome::into_image).collect()
    }

    /// Makes the results of an edit, reporting to an observer, which can cancel. Previews are of what
    /// the model sees of the image; finished images are whole.
    ///
    /// # Errors
    /// As [`Self::edit`], but for the prompt, which only refuses its results.
    pub fn edit_with(&self, edit: &Edit, observer: &mut dyn Observer) -> Result<Vec<Outcome>> {
        edit.check()?;
        let about = &self.about;
        let (scales, cell) = (&about.scales, about.downsampling);
        let prompt = edit.prompt.as_deref();
        let request = edit.request.clone().prompts([prompt.unwrap_or(NO_PROMPT)]);
        // Without a prompt there is nothing to be guided to.
        let request = if prompt.is_some() { request } else { request.guidance(0.0) };
        if request.scales(scales, cell)? != *scales {
            let expected = "none: an edit has the size of its image";
            return Err(Error::invalid("the size of the request", "another one", expected));
        }
        let frame = edit.frame(self.image_size())?;
        let model = self.model()?;
        let source = Source::encode(model, &frame.show(&edit.source)?, self.device());
        let weights = edit.mask().map(|mask| mask.weights(edit.seam));
        let finish = Finish { edit, frame, weights };
        let kept = edit.kept(&frame, model);
        let name = edit.settings().kind;
        match &edit.kind {
            Kind::Change { from, by: ChangeBy::Contrast, .. } => {
                let settings = request.settings(scales, &about.diffusion_steps, &about.defaults)?;
                let mut hook = ChangeByContrast {
                    source: &source,
                    from: self.text_encoder().encode(&[from])?.text,
                    guidance: settings.guidance * contrast::GUIDANCE,
                    kept: kept.scales,
                    scales: scales.count(),
                };
                self.finished(&request, &mut hook, &finish, observer)
            }
            Kind::Change { from, margin, .. } => {
                let mut explain = Explain::new(&source, kept.scales, scales.count());
                let text = self.text_encoder().encode(&[from])?.text;
                let settings = request.settings(scales, &about.diffusion_steps, &about.defaults)?;
                let draws = hart_core::random::SeededDraws::new([0]);
                let generation = model.generation(&text, &settings, &draws);
                let end = generation.hook(&mut explain).run();
                let explained = explain.finish(end)?;
                let mut hook = ChangeByPrompt::new(&source, &explained, *margin, scales.count());
                self.finished(&request, &mut hook, &finish, observer)
            }
            _ => {
                let mut hook = HoldToSource {
                    source: &source,
                    kept: &kept,
                    scales: scales.count(),
                    name: &name,
                    prompted: prompt.is_some(),
                };
                self.finished(&request, &mut hook, &finish, observer)
            }
        }
    }

    /// Generates, and hands out finished images.
    fn finished(
        &self,
        request: &Request,
        hook: &mut dyn GenerationHook<B>,
        finish: &Finish<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        let mut finishing = Finishing { observer, finish, images: BTreeMap::new(), failure: None };
        let outcomes = self.generate_with_hook(request, hook, &mut finishing)?;
        if let Some(error) = finishing.failure {
            return Err(error);
        }
        let mut images = finishing.images;
        let outcomes = outcomes.into_iter().enumerate();
        Ok(outcomes
            .map(|(index, outcome)| images.remove(&index).map_or(outcome, Outcome::Made))
            .collect())
    }
}

impl Edit {
    /// What the model sees of the image.
    fn frame(&self, model: Grid) -> Result<Frame> {
        let (width, height) = (self.source.width(), self.source.height());
        let frame = match &self.kind {
            Kind::Inpaint { mask } => {
                let bounds = mask.bounds().unwrap_or([0, 0, width, height]);
                Frame::around(bounds, width, height, model)
            }
            _ => Frame::whole(width, height, model),
        };
        if matches!(self.kind, Kind::Enlarge) && frame.inner.width <= width {
            let (most_wide, most_high) = (model.columns, model.rows);
            let expected =
                format!("less than {most_wide} × {most_high}, which is what the model makes");
            return Err(Error::invalid(
                "the size of the image to enlarge",
                format!("{width} × {height}"),
                expected,
            ));
        }
        Ok(frame)
    }

    /// What of a generation is the source's.
    fn kept<B: HartBackend>(&self, frame: &Frame, model: &HartModel<B>) -> Kept {
        let scales = model.transformer.scales();
        let latent = scales.latent();
        let by_strength = |strength: f64| {
            let kept = ((1.0 - strength) * scales.count() as f64).round() as usize;
            Kept { scales: kept, cells: vec![false; latent.cells()] }
        };
        match &self.kind {
            Kind::Inpaint { mask } | Kind::Outpaint { mask } => {
                let marked = frame.show_mask(mask);
                let cells = kept_cells(&marked, latent, model.tokenizer.downsampling());
                Kept { scales: 0, cells }
            }
            Kind::Variation { strength } | Kind::Restyle { strength } => by_strength(*strength),
            Kind::Change { by, strength, .. } => {
                let kept = by_strength(strength.unwrap_or(by.strength()));
                // The last scale is never the source's.
                Kept { scales: kept.scales.min(scales.last()), ..kept }
            }
            Kind::Enlarge => {
                let times = frame.inner.width as f64 / frame.seen.width as f64;
                let fits = |grid: &&Grid| grid.columns as f64 * times <= latent.columns as f64;
                let kept = scales.grids().iter().filter(fits).count();
                Kept { scales: kept, cells: vec![false; latent.cells()] }
            }
        }
    }

    /// Which pixels are new, where not all are.
    fn mask(&self) -> Option<&Mask> {
        match &self.kind {
            Kind::Inpaint { mask } | Kind::Outpaint { mask } => Some(mask),
            _ => None,
        }
    }
}

/// From what the model makes to what the edit gives.
struct Finish<'a> {
    edit: &'a Edit,
    frame: Frame,
    /// How much of every pixel is new, where not all is.
    weights: Option<Vec<f32>>,
}

impl Finish<'_> {
    fn image(&self, made: &Image) -> Result<Image> {
        let edit = self.edit;
        let pixels = match (&edit.kind, &self.weights) {
            (Kind::Enlarge, _) => self.frame.inner(made.pixels())?,
            (_, Some(weights)) => self.paste(weights, &self.frame.cut(made.pixels())?)?,
            (_, None) => self.frame.cut(made.pixels())?,
        };
        let mut settings = made.settings().clone();
        settings.prompt = edit.prompt.clone().unwrap_or_default();
        settings.size = Some([pixels.width(), pixels.height()]);
        settings.edit = Some(edit.settings());
        Ok(Image::new(pixels, settings))
    }

    /// The source with new pixels by their weights.
    fn paste(&self, weights: &[f32], new: &Pixels) -> Result<Pixels> {
        let source = &self.edit.source;
        let mut rgb = source.rgb().to_vec();
        let seen = self.frame.seen;
        for (row, line) in new.rgb().chunks_exact(3 * seen.width).enumerate() {
            let first = (seen.y + row) * source.width() + seen.x;
            for (place, new) in line.chunks_exact(3).enumerate() {
                let weight = weights[first + place];
                let old = &mut rgb[3 * (first + place)..][..3];
                for (old, &new) in old.iter_mut().zip(new) {
                    let mixed = f32::from(*old) * (1.0 - weight) + f32::from(new) * weight;
                    *old = mixed.round() as u8;
                }
            }
        }
        Pixels::new(source.width(), source.height(), rgb)
    }
}

/// Hands an observer finished images instead of what the model made.
struct Finishing<'a> {
    observer: &'a mut dyn Observer,
    finish: &'a Finish<'a>,
    images: BTreeMap<usize, Image>,
    failure: Option<Error>,
}

impl Observer for Finishing<'_> {
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Image { index, image } => match self.finish.image(image) {
                Ok(image) => {
                    let image = &*self.images.entry(index).or_insert(image);
                    self.observer.event(Event::Image { index, image })
                }
                Err(error) => {
                    self.failure = Some(error);
                    ControlFlow::Break(())
                }
            },
            // Of the word that stands for no prompt.
            Event::UnknownWords { .. } | Event::PromptCut { .. }
                if self.finish.edit.prompt.is_none() =>
            {
                ControlFlow::Continue(())
            }
            other => self.observer.event(other),
        }
    }
}
