//! A model on the GPU of a browser, through WebGPU: nothing of it may wait, so everything that ends in a
//! picture is a promise.

use std::rc::Rc;

use hart_pipeline::backend::Wgpu;
use hart_pipeline::burn::backend::wgpu::{WgpuDevice, graphics::WebGpu, init_setup_async};
use hart_pipeline::{HartPipeline, Precision};
use wasm_bindgen::JsValue;
use wasm_bindgen::prelude::wasm_bindgen;

use crate::failure::failure;
use crate::picture::Picture;
use crate::report::unknown;
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

    /// Width of the images that the model was trained with.
    #[wasm_bindgen(getter)]
    pub fn width(&self) -> usize {
        self.pipeline.image_size().columns
    }

    /// Height of the images that the model was trained with.
    #[wasm_bindgen(getter)]
    pub fn height(&self) -> usize {
        self.pipeline.image_size().rows
    }

    /// The words that the model knows, in the order of the alphabet; nothing when it does not say.
    #[wasm_bindgen(getter)]
    pub fn words(&self) -> Option<Vec<String>> {
        let known = self.pipeline.text_encoder().known_words()?;
        Some(known.iter().map(str::to_string).collect())
    }

    /// The words of a prompt that the model does not know, as JSON.
    pub fn unknown(&self, prompt: &str) -> String {
        unknown(&self.pipeline.text_encoder().unknown_words(prompt)).to_string()
    }

    /// Makes an image. `settings` are JSON.
    ///
    /// # Errors
    /// `InvalidInput` for a setting out of its range.
    pub fn generate(&self, settings: &str) -> Result<js_sys::Promise, JsValue> {
        let request = Settings::parse(settings).and_then(|settings| settings.request());
        let request = request.map_err(|error| failure(&error))?;
        let pipeline = Rc::clone(&self.pipeline);
        Ok(wasm_bindgen_futures::future_to_promise(async move {
            let images = pipeline.generate_async(&request).await;
            let picture = images.and_then(|images| Picture::new(&images[0]));
            picture.map(JsValue::from).map_err(|error| failure(&error))
        }))
    }
}
