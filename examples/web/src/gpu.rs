//! A model on the GPU of a browser, through WebGPU: nothing of it may wait, so everything that ends in a
//! picture is a promise.

use std::rc::Rc;

use hart_pipeline::backend::Wgpu;
use hart_pipeline::burn::backend::wgpu::{WgpuDevice, graphics::WebGpu, init_setup_async};
use hart_pipeline::{HartPipeline, Precision};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::about::{about, unknown};
use crate::failure::failure;
use crate::report::Report;
use crate::settings::Settings;

/// A model that was opened on a GPU.
#[wasm_bindgen]
#[derive(Debug)]
pub struct GpuModel {
    /// Shared with promises that outlive a call.
    pipeline: Rc<HartPipeline<Wgpu>>,
}

#[wasm_bindgen]
impl GpuModel {
    /// Opens the model in an archive; `name` is what its images call it.
    ///
    /// # Errors
    /// `BadModel` when the archive is damaged.
    pub async fn open(name: String, archive: Vec<u8>) -> Result<GpuModel, JsValue> {
        let device = WgpuDevice::default();
        init_setup_async::<WebGpu>(&device, Default::default()).await;
        let opened = HartPipeline::from_archive(&name, &archive, Precision::F32, &device);
        opened.map(|pipeline| Self { pipeline: Rc::new(pipeline) }).map_err(|error| failure(&error))
    }

    /// What is known of the model, as JSON: [`crate::about::about`].
    pub fn about(&self) -> String {
        about(&self.pipeline)
    }

    /// The words of a prompt that the model does not know, as JSON: [`crate::about::unknown`].
    pub fn unknown(&self, prompt: &str) -> String {
        unknown(&self.pipeline, prompt)
    }

    /// Makes an image. `settings` are JSON; `report` is called with every event, of which none has a preview:
    /// nothing of a GPU can be read while it works.
    ///
    /// # Errors
    /// `InvalidInput` for a setting out of its range; the promise, with whatever `report` throws.
    pub fn generate(
        &self,
        settings: &str,
        _previews: bool,
        report: js_sys::Function,
    ) -> Result<js_sys::Promise, JsValue> {
        let request = Settings::parse(settings).and_then(|settings| settings.request());
        let request = request.map_err(|error| failure(&error))?;
        let pipeline = Rc::clone(&self.pipeline);
        Ok(wasm_bindgen_futures::future_to_promise(async move {
            let mut observer = Report::new(&report, false);
            let outcomes = pipeline.generate_async(&request, &mut observer).await;
            observer.picture(outcomes).map(JsValue::from)
        }))
    }
}
