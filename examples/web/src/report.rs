//! Scales and words, told to JavaScript while an image is made.

use std::ops::ControlFlow;

use hart_pipeline::observer::ScaleDone;
use hart_pipeline::{Error, Event, Observer, Outcome, Result};
use js_sys::{Function, Uint8Array};
use serde_json::{Value, json};
use wasm_bindgen::JsValue;

use crate::about::unknown_words;
use crate::failure::failure;
use crate::picture::{Picture, to_rgba};

/// Calls a function of JavaScript with every event: its description as JSON and, of a scale, the bytes of
/// its preview.
pub(crate) struct Report<'a> {
    function: &'a Function,
    /// Whether previews are decoded.
    previews: bool,
    /// What the function threw, which ends the work.
    thrown: Option<JsValue>,
}

impl<'a> Report<'a> {
    pub(crate) fn new(function: &'a Function, previews: bool) -> Self {
        Self { function, previews, thrown: None }
    }

    /// The one image of the work that was reported.
    ///
    /// # Errors
    /// What the function threw, else the error of the work.
    pub(crate) fn picture(self, outcomes: Result<Vec<Outcome>>) -> Result<Picture, JsValue> {
        if let Some(thrown) = self.thrown {
            return Err(thrown);
        }
        let image = outcomes.and_then(|mut outcomes| match outcomes.pop() {
            Some(outcome) => outcome.into_image(),
            None => Err(Error::Cancelled),
        });
        image.and_then(|image| Picture::new(&image)).map_err(|error| failure(&error))
    }

    fn tell(&mut self, event: &Value, bytes: JsValue) -> ControlFlow<()> {
        match self.function.call2(&JsValue::NULL, &event.to_string().into(), &bytes) {
            Ok(_) => ControlFlow::Continue(()),
            Err(thrown) => {
                self.thrown = Some(thrown);
                ControlFlow::Break(())
            }
        }
    }

    fn scale(&mut self, done: ScaleDone<'_>) -> ControlFlow<()> {
        let mut event = json!({
            "kind": "scale", "scale": done.scale, "scales": done.scales,
            "rows": done.grid.rows, "columns": done.grid.columns,
        });
        // A preview that cannot be decoded is left out: the image itself will say why.
        let preview = if self.previews { done.preview_of(0).ok() } else { None };
        let Some(preview) = preview else { return self.tell(&event, JsValue::UNDEFINED) };
        event["width"] = preview.width().into();
        event["height"] = preview.height().into();
        self.tell(&event, Uint8Array::from(&to_rgba(&preview)[..]).into())
    }
}

impl Observer for Report<'_> {
    fn event(&mut self, event: Event<'_>) -> ControlFlow<()> {
        match event {
            Event::Scale(done) => self.scale(done),
            Event::PromptCut { tokens, kept, .. } => {
                let event = json!({ "kind": "cut", "tokens": tokens, "kept": kept });
                self.tell(&event, JsValue::UNDEFINED)
            }
            Event::UnknownWords { words, .. } => {
                let event = json!({ "kind": "unknown", "words": unknown_words(words) });
                self.tell(&event, JsValue::UNDEFINED)
            }
            _ => ControlFlow::Continue(()),
        }
    }
}
