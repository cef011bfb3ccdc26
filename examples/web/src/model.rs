//! A model that was opened, and the images it makes.

use hart_pipeline::backend::Flex;
use hart_pipeline::edit::Edit;
use hart_pipeline::{HartPipeline, Observer, Outcome, Precision, Result};
use js_sys::Function;
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::about::{about, unknown};
use crate::failure::failure;
use crate::picture::{Picture, from_rgba, mask};
use crate::report::Report;
use crate::settings::Settings;

/// A model that was opened.
#[wasm_bindgen]
#[derive(Debug)]
pub struct Model {
    pipeline: HartPipeline<Flex>,
}

#[wasm_bindgen]
impl Model {
    /// Opens the model in an archive; `name` is what its images call it.
    ///
    /// # Errors
    /// `BadModel` when the archive is damaged.
    #[wasm_bindgen(constructor)]
    pub fn new(name: &str, archive: &[u8]) -> Result<Model, JsValue> {
        let opened = HartPipeline::from_archive(name, archive, Precision::F32, &Default::default());
        opened.map(|pipeline| Self { pipeline }).map_err(|error| failure(&error))
    }

    /// What is known of the model, as JSON: [`crate::about::about`].
    pub fn about(&self) -> String {
        about(&self.pipeline)
    }

    /// The words of a prompt that the model does not know, as JSON: [`crate::about::unknown`].
    pub fn unknown(&self, prompt: &str) -> String {
        unknown(&self.pipeline, prompt)
    }

    /// Makes an image. `settings` are JSON; `report` is called with every event, `previews` says whether
    /// those of scales have one.
    ///
    /// # Errors
    /// `InvalidInput` for a setting out of its range, and whatever `report` throws.
    pub fn generate(
        &self,
        settings: &str,
        previews: bool,
        report: &Function,
    ) -> Result<Picture, JsValue> {
        made(report, previews, |observer| {
            let request = Settings::parse(settings)?.request()?;
            self.pipeline.generate_with(&request, observer)
        })
    }

    /// Makes the marked part of an image anew. The image and its mask have four bytes a pixel.
    ///
    /// # Errors
    /// As [`Self::generate`], and `InvalidInput` for a mask of another size or without a mark.
    #[expect(clippy::too_many_arguments, reason = "bindings pass no structures")]
    pub fn inpaint(
        &self,
        settings: &str,
        width: usize,
        height: usize,
        image: &[u8],
        marks: &[u8],
        previews: bool,
        report: &Function,
    ) -> Result<Picture, JsValue> {
        made(report, previews, |observer| {
            let settings = Settings::parse(settings)?;
            let (image, mask) = (from_rgba(width, height, image)?, mask(width, height, marks)?);
            self.edit(Edit::inpaint(image, mask), &settings, observer)
        })
    }

    /// Makes an image once more, with `strength` of its scales new.
    ///
    /// # Errors
    /// As [`Self::generate`].
    pub fn vary(
        &self,
        settings: &str,
        width: usize,
        height: usize,
        image: &[u8],
        previews: bool,
        report: &Function,
    ) -> Result<Picture, JsValue> {
        made(report, previews, |observer| {
            let settings = Settings::parse(settings)?;
            let image = from_rgba(width, height, image)?;
            self.edit(Edit::variation(image, settings.strength()), &settings, observer)
        })
    }
}

impl Model {
    fn edit(
        &self,
        edit: Edit,
        settings: &Settings,
        observer: &mut dyn Observer,
    ) -> Result<Vec<Outcome>> {
        // Asked first, so that a wrong setting is an error and not a panic in `with`.
        let request = settings.request()?;
        let edit = match settings.prompt() {
            Some(prompt) => edit.prompt(prompt),
            None => edit,
        };
        self.pipeline.edit_with(&edit.with(|_| request), observer)
    }
}

/// The one image of some work that reports to JavaScript.
fn made(
    report: &Function,
    previews: bool,
    work: impl FnOnce(&mut dyn Observer) -> Result<Vec<Outcome>>,
) -> Result<Picture, JsValue> {
    let mut observer = Report::new(report, previews);
    let outcomes = work(&mut observer);
    observer.picture(outcomes)
}
