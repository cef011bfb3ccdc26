//! Building a pipeline.

use std::marker::PhantomData;
use std::path::{Path, PathBuf};

use burn::tensor::backend::Backend;
use hart_core::checkpoint::LoadOptions;
use hart_core::config::TransformerConfig;
use hart_core::{Error, HartBackend, Precision, Result};

use crate::defaults::ModelDefaults;
use crate::lazy::LazyModel;
use crate::model::{HartModel, ModelCheckpoints, ModelConfig, TransformerWeights};
use crate::pipeline::{HartPipeline, Parts};
use crate::text::{PaddingSide, SystemPrompt, TextEncoder, TextEncoderOptions};

/// Says what a pipeline is loaded from and how.
#[derive(Debug, Clone)]
pub struct PipelineBuilder<B: Backend> {
    model: Option<PathBuf>,
    text_encoder: Option<PathBuf>,
    device: B::Device,
    precision: Precision,
    weights: TransformerWeights,
    text: TextEncoderOptions,
    system_prompt: Option<SystemPrompt>,
    batch_size: Option<usize>,
    strip_height: Option<usize>,
    backend: PhantomData<B>,
}

impl<B: HartBackend> PipelineBuilder<B> {
    pub(crate) fn new() -> Self {
        Self {
            model: None,
            text_encoder: None,
            device: Default::default(),
            precision: Precision::default(),
            weights: TransformerWeights::default(),
            text: TextEncoderOptions::default(),
            system_prompt: None,
            batch_size: None,
            strip_height: None,
            backend: PhantomData,
        }
    }

    /// The model's folder, with `llm/` and `tokenizer/` in it. Needed.
    pub fn model(mut self, folder: impl AsRef<Path>) -> Self {
        self.model = Some(folder.as_ref().to_path_buf());
        self
    }

    /// The text encoder's folder, a Qwen2 model in Hugging Face's layout (default: `text` in the
    /// model's folder, where the training programs put it).
    pub fn text_encoder(mut self, folder: impl AsRef<Path>) -> Self {
        self.text_encoder = Some(folder.as_ref().to_path_buf());
        self
    }

    /// The device to work on (default: the backend's first).
    pub fn device(mut self, device: B::Device) -> Self {
        self.device = device;
        self
    }

    /// The element type of weights and activations (default [`Precision::F32`]).
    pub fn precision(mut self, precision: Precision) -> Self {
        self.precision = precision;
        self
    }

    /// Which weights of the transformer (default [`TransformerWeights::Ema`], the release's).
    pub fn weights(mut self, weights: TransformerWeights) -> Self {
        self.weights = weights;
        self
    }

    /// What is put before every prompt (default: what the model's [`ModelDefaults`] say, as a rule
    /// the released model's).
    pub fn system_prompt(mut self, prompt: SystemPrompt) -> Self {
        self.system_prompt = Some(prompt);
        self
    }

    /// Which side of short prompts is padded (default: what `tokenizer_config.json` says).
    pub fn padding_side(mut self, side: PaddingSide) -> Self {
        self.text.padding_side = Some(side);
        self
    }

    /// How many pictures are made at once (default: as many as keep the key/value cache under
    /// 2 GiB, at most 16). It changes speed and memory, not the pictures.
    pub fn batch_size(mut self, pictures: usize) -> Self {
        self.batch_size = Some(pictures);
        self
    }

    /// Whether the text encoder stays in memory (default: yes). It has twice the parameters of the
    /// transformer. Without it in memory, the model is not loaded before the first prompts are
    /// encoded and the text encoder's memory is given back, and every later request loads the text
    /// encoder again: for few requests of many pictures where memory is short.
    pub fn keep_text_encoder(mut self, keep: bool) -> Self {
        self.text.on_demand = !keep;
        self
    }

    /// Decodes pictures in strips of about so many rows of pixels (default: whole). The pictures
    /// are the same up to rounding; large ones need less than half the memory, and more time.
    pub fn strip_height(mut self, rows: usize) -> Self {
        self.strip_height = Some(rows);
        self
    }

    /// Loads everything.
    ///
    /// # Errors
    /// [`Error::Invalid`] when a folder was not named or the precision is not supported by the
    /// device, and [`Error::Io`], [`Error::Malformed`], [`Error::Config`] or [`Error::Weights`]
    /// when a file is missing, damaged or does not fit the others.
    pub fn build(self) -> Result<HartPipeline<B>> {
        let missing = |what| Error::invalid(what, "not given", "a path");
        let folder = self.model.ok_or_else(|| missing("the model's folder"))?;
        let beside = folder.join("text");
        let text_folder = self.text_encoder.or_else(|| beside.is_dir().then_some(beside));
        let text_folder = text_folder.ok_or_else(|| missing("the text encoder's folder"))?;
        self.precision.check::<B>(&self.device)?;
        if self.batch_size == Some(0) {
            return Err(Error::invalid("the batch size", 0, "at least 1"));
        }
        if self.strip_height == Some(0) {
            return Err(Error::invalid("the height of strips", 0, "at least 1 row of pixels"));
        }

        // The small files first: a mistake in them should not wait for gigabytes.
        let defaults = ModelDefaults::open(&folder)?;
        let config = ModelConfig::open(&folder)?;
        let transformer = &config.transformer;
        let options = LoadOptions { precision: self.precision, prepare: true };
        let system_prompt = self.system_prompt.unwrap_or_else(|| defaults.system_prompt.clone());
        let text = TextEncoderOptions { weights: options, system_prompt, ..self.text };
        let tokens = transformer.context_tokens;
        let encoder = TextEncoder::open(&text_folder, tokens, &text, &self.device)?;
        if encoder.width() != transformer.context_width {
            return Err(Error::Config {
                path: folder.join("llm/config.json"),
                key: "context_dim".to_string(),
                found: transformer.context_width.to_string(),
                expected: format!(
                    "{}, the width of the text encoder in {}",
                    encoder.width(),
                    text_folder.display()
                ),
            });
        }
        let files = ModelCheckpoints::open(&folder, self.weights)?;
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let name = name.unwrap_or_else(|| folder.display().to_string());
        let batch_size = self.batch_size.unwrap_or_else(|| batch_size(transformer, self.precision));
        let model = match encoder.is_kept() {
            true => {
                let model = HartModel::load(&config, &files, options, &self.device)?;
                LazyModel::loaded(config, model)
            }
            false => LazyModel::waiting(config, files, options, self.device.clone()),
        };
        let (device, precision, strip_height) = (self.device, self.precision, self.strip_height);
        let parts =
            Parts { model, text_encoder: encoder, name, batch_size, strip_height, defaults };
        Ok(HartPipeline::new(parts, precision, device))
    }
}

/// Pictures whose keys and values of both guidance halves fit in 2 GiB together.
pub(crate) fn batch_size(config: &TransformerConfig, precision: Precision) -> usize {
    let tokens = config.context_tokens + config.scales.total_tokens();
    let elements = 2 * 2 * tokens * config.depth * config.width;
    ((2usize << 30) / (elements * precision.dtype().size())).clamp(1, 16)
}
