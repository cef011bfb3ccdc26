//! Pipelines that are not as they should be.

use hart_pipeline::bulk::Model;
use hart_pipeline::core::{Error, Grid, Result};
use hart_pipeline::text::KnownWords;
use hart_pipeline::{
    Event, Image, ModelDefaults, Observer, Outcome, Request, Summary, TextToImage,
};

use crate::model;

/// The embedded model, which fails when it is asked for some prompts.
pub(crate) struct Failing {
    /// What a prompt has to hold.
    pub(crate) at: &'static str,
    pub(crate) with: fn() -> Error,
}

impl Failing {
    /// As a model that passes for the plan's: the prompt of its fingerprint is none of those.
    pub(crate) fn model(at: &'static str, with: fn() -> Error) -> Model {
        let of_plan = model().fingerprint(Request::default()).expect("a fingerprint");
        Model::new(Box::new(Self { at, with }), of_plan.weights)
    }

    fn inner() -> &'static dyn TextToImage {
        model().pipeline()
    }
}

impl TextToImage for Failing {
    fn generate(&self, request: &Request) -> Result<Vec<Image>> {
        Self::inner().generate(request)
    }

    fn generate_with(
        &self,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        Self::inner().generate_with(request, observer)
    }

    fn generate_each(&self, request: &Request, observer: &mut dyn Observer) -> Result<Summary> {
        let items = request.items()?;
        let is_bad = |images: &[usize]| images.iter().any(|&i| items[i].prompt.contains(self.at));
        let mut failure = None;
        let result = Self::inner().generate_each(request, &mut |event: Event<'_>| {
            if let Event::Started { images, .. } = &event
                && is_bad(images)
            {
                let _ = observer.event(event);
                failure = Some((self.with)());
                return std::ops::ControlFlow::Break(());
            }
            observer.event(event)
        });
        failure.map_or(result, Err)
    }

    fn warm_up(&self, request: &Request, observer: &mut dyn Observer) -> Result<()> {
        Self::inner().warm_up(request, observer)
    }

    #[cfg(feature = "images")]
    fn edit(&self, edit: &hart_pipeline::edit::Edit) -> Result<Vec<Image>> {
        Self::inner().edit(edit)
    }

    #[cfg(feature = "images")]
    fn edit_with(
        &self,
        edit: &hart_pipeline::edit::Edit,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        Self::inner().edit_with(edit, observer)
    }

    fn defaults(&self) -> &ModelDefaults {
        Self::inner().defaults()
    }

    fn image_size(&self) -> Grid {
        Self::inner().image_size()
    }

    fn known_words(&self) -> Option<&KnownWords> {
        Self::inner().known_words()
    }
}
