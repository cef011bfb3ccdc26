//! A trained model with gradients.

use std::path::Path;

use burn::backend::Autodiff;
use burn::module::AutodiffModule;
use hart_core::checkpoint::LoadOptions;
use hart_core::{HartBackend, Result};
use hart_diffusion::ResidualHead;
use hart_tokenizer::HybridTokenizer;

#[cfg(feature = "embedded")]
use crate::archive::Archive;
use crate::defaults::ModelDefaults;
use crate::model::{HartModel, ModelCheckpoints, ModelConfig, TransformerWeights};
use crate::pipeline::PipelineParts;
use crate::text::{
    EncoderParts, KnownWords, PromptTokenizer, SystemPrompt, TextEncoder, TextEncoderOptions,
};
use crate::training::hart::Learner;

/// A trained model, loaded so that it can be taught more, in 32 bits.
pub struct TrainableModel<B: HartBackend> {
    pub(super) learner: Learner<Autodiff<B>>,
    pub(super) unchanged: Unchanged<B>,
}

/// What of a model stays as it is when it is taught more.
pub(super) struct Unchanged<B: HartBackend> {
    pub(super) tokenizer: HybridTokenizer<B>,
    /// For its diffusion steps.
    head: ResidualHead<B>,
    pub(super) prompts: PromptTokenizer,
    pub(super) words: Option<KnownWords>,
    system_prompt: SystemPrompt,
    name: String,
    defaults: ModelDefaults,
    pub(super) device: B::Device,
}

impl<B: HartBackend> TrainableModel<B> {
    /// Loads a model's folder in the released layout, with its text encoder in `text/`: the running
    /// mean of the weights where there is one.
    ///
    /// # Errors
    /// [`Error::Io`](hart_core::Error::Io), [`Error::Malformed`](hart_core::Error::Malformed),
    /// [`Error::Config`](hart_core::Error::Config) or [`Error::Weights`](hart_core::Error::Weights),
    /// each naming the file, when one is missing, damaged or does not fit the others.
    pub fn open(folder: impl AsRef<Path>, device: &B::Device) -> Result<Self> {
        let folder = folder.as_ref();
        let defaults = ModelDefaults::open(folder)?;
        let config = ModelConfig::open(folder)?;
        let text = TextEncoderOptions {
            system_prompt: defaults.system_prompt.clone(),
            ..TextEncoderOptions::default()
        };
        let tokens = config.transformer.context_tokens;
        let encoder = TextEncoder::open(folder.join("text"), tokens, &text, device)?;
        let files = ModelCheckpoints::open(folder, TransformerWeights::Auto)?;
        let model = HartModel::load(&config, &files, LoadOptions::default(), device)?;
        let name = folder.file_name().map(|name| name.to_string_lossy().into_owned());
        let parts = PipelineParts {
            name: name.unwrap_or_else(|| folder.display().to_string()),
            defaults,
            ..PipelineParts::new(model, encoder)
        };
        Self::from_parts(parts, device)
    }

    /// Loads the model in an archive ([`crate::archive::pack`]), whose bytes are in memory; `name`
    /// is what images call it.
    ///
    /// # Errors
    /// As [`HartPipeline::from_archive`](crate::HartPipeline::from_archive).
    #[cfg(feature = "embedded")]
    pub fn from_archive(name: &str, bytes: &[u8], device: &B::Device) -> Result<Self> {
        let archive = Archive::open(name, bytes)?;
        Self::from_parts(archive.parts(LoadOptions::default(), device)?, device)
    }

    /// Loads the small model compiled into the crate.
    ///
    /// # Errors
    /// As [`HartPipeline::embedded`](crate::HartPipeline::embedded).
    #[cfg(feature = "embedded")]
    pub fn embedded(device: &B::Device) -> Result<Self> {
        Self::from_archive(crate::EMBEDDED, crate::embedded::ARCHIVE, device)
    }

    fn from_parts(parts: PipelineParts<Autodiff<B>>, device: &B::Device) -> Result<Self> {
        let PipelineParts { model, text_encoder, name, defaults, .. } = parts;
        let EncoderParts { tokenizer: prompts, model: text, system_prompt, words } =
            text_encoder.into_parts()?;
        let HartModel { tokenizer, transformer, residual_head } = model;
        let unchanged = Unchanged {
            tokenizer: tokenizer.valid(),
            head: residual_head.valid(),
            prompts,
            words,
            system_prompt,
            name,
            defaults,
            device: device.clone(),
        };
        let learner = Learner { text, transformer, residual: residual_head.network };
        Ok(Self { learner, unchanged })
    }
}

impl<B: HartBackend> Unchanged<B> {
    /// The tokens of the system prompt, none without one.
    pub(super) fn system_ids(&self, context_tokens: usize) -> Result<Vec<u32>> {
        match self.system_prompt.text() {
            Some(text) => self.prompts.system_ids(text, context_tokens),
            None => Ok(vec![]),
        }
    }

    /// The parts of a pipeline, with what was learned.
    pub(super) fn with(&self, learner: Learner<B>) -> Result<PipelineParts<B>> {
        let (tokenizer, head) = (self.tokenizer.clone(), self.head.clone());
        let prompts = self.prompts.clone();
        Ok(PipelineParts {
            name: format!("{}, fine-tuned", self.name),
            defaults: self.defaults.clone(),
            ..learner.into_parts(tokenizer, head, prompts, &self.system_prompt)?
        })
    }
}
