//! The door for programs that choose the backend when they run.

use hart_core::{Grid, HartBackend, Result};

use crate::defaults::ModelDefaults;
#[cfg(feature = "images")]
use crate::edit::Edit;
use crate::image::Image;
use crate::observer::{Observer, Outcome, Summary};
use crate::pipeline::HartPipeline;
use crate::request::Request;
use crate::text::KnownWords;

/// A pipeline on whatever backend: what [`HartPipeline::open`] gives.
pub trait TextToImage: Send + Sync {
    /// Makes all images of a request.
    ///
    /// # Errors
    /// As [`HartPipeline::generate`].
    fn generate(&self, request: &Request) -> Result<Vec<Image>>;

    /// Makes the images of a request, reporting to an observer, which can cancel.
    ///
    /// # Errors
    /// As [`HartPipeline::generate_with`].
    fn generate_with(&self, request: &Request, observer: &mut dyn Observer)
    -> Result<Vec<Outcome>>;

    /// Makes the images of a request and keeps none.
    ///
    /// # Errors
    /// As [`HartPipeline::generate_each`].
    fn generate_each(&self, request: &Request, observer: &mut dyn Observer) -> Result<Summary>;

    /// Makes the first batch of a request for nobody, so that kernels are compiled and tuned.
    ///
    /// # Errors
    /// As [`HartPipeline::warm_up`].
    fn warm_up(&self, request: &Request, observer: &mut dyn Observer) -> Result<()>;

    /// Makes all results of an edit.
    ///
    /// # Errors
    /// As [`HartPipeline::edit`].
    #[cfg(feature = "images")]
    fn edit(&self, edit: &Edit) -> Result<Vec<Image>>;

    /// Makes the results of an edit, reporting to an observer, which can cancel.
    ///
    /// # Errors
    /// As [`HartPipeline::edit_with`].
    #[cfg(feature = "images")]
    fn edit_with(&self, edit: &Edit, observer: &mut dyn Observer) -> Result<Vec<Outcome>>;

    /// Defaults for settings that a request leaves unset.
    fn defaults(&self) -> &ModelDefaults;

    /// The size of the images that the model was trained with, in pixels.
    fn image_size(&self) -> Grid;

    /// The words that the model knows; `None` when it does not say, like the released one.
    fn known_words(&self) -> Option<&KnownWords>;
}

impl<B: HartBackend> TextToImage for HartPipeline<B> {
    fn generate(&self, request: &Request) -> Result<Vec<Image>> {
        self.generate(request)
    }

    fn generate_with(
        &self,
        request: &Request,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        self.generate_with(request, observer)
    }

    fn generate_each(&self, request: &Request, observer: &mut dyn Observer) -> Result<Summary> {
        self.generate_each(request, observer)
    }

    fn warm_up(&self, request: &Request, observer: &mut dyn Observer) -> Result<()> {
        self.warm_up(request, observer)
    }

    #[cfg(feature = "images")]
    fn edit(&self, edit: &Edit) -> Result<Vec<Image>> {
        self.edit(edit)
    }

    #[cfg(feature = "images")]
    fn edit_with(&self, edit: &Edit, observer: &mut dyn Observer) -> Result<Vec<Outcome>> {
        self.edit_with(edit, observer)
    }

    fn defaults(&self) -> &ModelDefaults {
        self.defaults()
    }

    fn image_size(&self) -> Grid {
        self.image_size()
    }

    fn known_words(&self) -> Option<&KnownWords> {
        self.text_encoder().known_words()
    }
}
