//! What a pipeline consists of: text encoder, model, device.

use burn::tensor::backend::Backend;
use hart_ar::TransformerConfig;
use hart_core::checkpoint::LoadOptions;
use hart_core::{Error, Grid, HartBackend, Precision, Result, ScaleSchedule};
use once_cell::sync::OnceCell;

use crate::defaults::ModelDefaults;
use crate::model::{HartModel, ModelCheckpoints, ModelConfig};
use crate::text::TextEncoder;

/// Text to images: text encoder, model and the device they are on.
///
/// A pipeline can be shared between threads; several generations may run on it at once, since all
/// state of a generation is its own. Its memory is freed when it is dropped.
#[derive(Debug)]
pub struct HartPipeline<B: Backend> {
    pub(crate) model: LazyModel<B>,
    pub(crate) text_encoder: TextEncoder<B>,
    pub(crate) about: About,
    // The last field: it is dropped after the weights.
    device: Freed<B>,
}

/// What a pipeline is put together of by [`HartPipeline::from_parts`].
#[derive(Debug)]
#[non_exhaustive]
pub struct PipelineParts<B: Backend> {
    /// The model.
    pub model: HartModel<B>,
    /// Its text encoder.
    pub text_encoder: TextEncoder<B>,
    /// What images call the model in their settings.
    pub name: String,
    /// What suits the model.
    pub defaults: ModelDefaults,
    /// The precision its weights were loaded in.
    pub precision: Precision,
    /// Images that are made at once; `None` for what fits 2 GiB of keys and values.
    pub batch_size: Option<usize>,
    /// Rows of pixels that are decoded at a time; `None` for all.
    pub strip_height: Option<usize>,
}

impl<B: Backend> PipelineParts<B> {
    /// A model and its text encoder, with the defaults of the release.
    pub fn new(model: HartModel<B>, text_encoder: TextEncoder<B>) -> Self {
        Self {
            model,
            text_encoder,
            name: "unnamed".to_string(),
            defaults: ModelDefaults::default(),
            precision: Precision::default(),
            batch_size: None,
            strip_height: None,
        }
    }
}

/// What is known of a model without its weights, and how a pipeline uses it.
#[derive(Debug)]
pub(crate) struct About {
    /// The scales it was trained with.
    pub(crate) scales: ScaleSchedule,
    /// Pixels that a cell of the latent covers along each axis.
    pub(crate) downsampling: usize,
    /// Its diffusion steps.
    pub(crate) diffusion_steps: String,
    /// The model's name in the settings of images.
    pub(crate) name: String,
    /// Its weights file in the settings of images.
    pub(crate) weights: Option<String>,
    pub(crate) precision: Precision,
    pub(crate) batch_size: usize,
    /// Rows of pixels that are decoded at a time; `None` for all.
    pub(crate) strip_height: Option<usize>,
    pub(crate) defaults: ModelDefaults,
}

/// A model, or the files that it is loaded from when it is first needed.
#[derive(Debug)]
pub(crate) struct LazyModel<B: Backend> {
    model: OnceCell<HartModel<B>>,
    source: Option<Box<(ModelConfig, ModelCheckpoints, LoadOptions)>>,
}

/// Frees pooled memory of the device when it is dropped.
#[derive(Debug)]
struct Freed<B: Backend>(B::Device);

impl<B: Backend> Drop for Freed<B> {
    fn drop(&mut self) {
        B::memory_cleanup(&self.0);
    }
}

impl<B: Backend> LazyModel<B> {
    /// A model in memory.
    pub(crate) fn loaded(model: HartModel<B>) -> Self {
        Self { model: OnceCell::with_value(model), source: None }
    }

    /// A model that waits in its files.
    pub(crate) fn waiting(
        config: ModelConfig,
        files: ModelCheckpoints,
        options: LoadOptions,
    ) -> Self {
        Self { model: OnceCell::new(), source: Some(Box::new((config, files, options))) }
    }
}

impl<B: HartBackend> HartPipeline<B> {
    pub(crate) fn new(
        model: LazyModel<B>,
        text_encoder: TextEncoder<B>,
        about: About,
        device: B::Device,
    ) -> Self {
        Self { model, text_encoder, about, device: Freed(device) }
    }

    /// A pipeline of a model and a text encoder that are there: what a training program has just
    /// made, or an experiment has put together.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the text encoder's width or context is not the model's, or the
    /// batch size or the height of strips is 0.
    pub fn from_parts(parts: PipelineParts<B>, device: &B::Device) -> Result<Self> {
        let PipelineParts { model, text_encoder, name, defaults, precision, .. } = parts;
        let config = model.transformer.config();
        let found = [text_encoder.context_tokens(), text_encoder.width()];
        let expected = [config.context_tokens, config.context_width];
        if found != expected {
            let what = "the context (tokens, width) of the text encoder";
            return Err(Error::invalid(what, format!("{found:?}"), format!("{expected:?}")));
        }
        check_sizes(parts.batch_size, parts.strip_height)?;
        let about = About {
            scales: model.transformer.scales().clone(),
            downsampling: model.tokenizer.downsampling(),
            diffusion_steps: model.residual_head.schedule().respacing().to_string(),
            name,
            weights: None,
            precision,
            batch_size: parts.batch_size.unwrap_or_else(|| batch_size(config, precision)),
            strip_height: parts.strip_height,
            defaults,
        };
        Ok(Self::new(LazyModel::loaded(model), text_encoder, about, device.clone()))
    }

    /// Defaults for settings that a request leaves unset.
    pub fn defaults(&self) -> &ModelDefaults {
        &self.about.defaults
    }

    /// The size of the images that the model was trained with, in pixels.
    pub fn image_size(&self) -> Grid {
        self.about.scales.latent().times(self.about.downsampling)
    }

    /// The model's parts, for research.
    ///
    /// # Errors
    /// Those of [`HartModel::load`] when the model waited to be loaded
    /// ([`PipelineBuilder::keep_text_encoder`](crate::PipelineBuilder::keep_text_encoder)).
    pub fn model(&self) -> Result<&HartModel<B>> {
        self.model.model.get_or_try_init(|| match &self.model.source {
            Some(source) => {
                let (config, files, options) = &**source;
                HartModel::load(config, files, *options, &self.device.0)
            }
            None => unreachable!("a model that is not in memory has files"),
        })
    }

    /// The text encoder.
    pub fn text_encoder(&self) -> &TextEncoder<B> {
        &self.text_encoder
    }

    /// The device everything is on.
    pub fn device(&self) -> &B::Device {
        &self.device.0
    }
}

/// Checks what a pipeline may be asked to do at once.
pub(crate) fn check_sizes(batch_size: Option<usize>, strip_height: Option<usize>) -> Result<()> {
    if batch_size == Some(0) {
        return Err(Error::invalid("the batch size", 0, "at least 1"));
    }
    if strip_height == Some(0) {
        return Err(Error::invalid("the height of strips", 0, "at least 1 row of pixels"));
    }
    Ok(())
}

/// Images whose keys and values of both guidance halves fit in 2 GiB together, at most 16.
pub(crate) fn batch_size(config: &TransformerConfig, precision: Precision) -> usize {
    let tokens = config.context_tokens + config.scales.total_tokens();
    let elements = 2 * 2 * tokens * config.depth * config.width;
    ((2usize << 30) / (elements * precision.dtype().size())).clamp(1, 16)
}
