//! All that is trained.

use std::path::Path;

use burn::module::Module;
use burn::tensor::backend::Backend;
use hart_ar::Transformer;
use hart_core::checkpoint::{Checkpoint, LoadOptions, load};
use hart_core::{HartBackend, Result};
use hart_diffusion::{ResidualHead, ResidualNetwork};
use hart_tokenizer::HybridTokenizer;

use super::configs::Configs;
use super::experiment::LearnerPart;
use crate::model::HartModel;
use crate::pipeline::PipelineParts;
use crate::text::{self, PromptTokenizer, Qwen2, SystemPrompt, TextEncoder};

/// Text encoder, transformer and residual head.
#[derive(Module, Debug)]
pub(in crate::training) struct Learner<B: Backend> {
    pub(in crate::training) text: Qwen2<B>,
    pub(in crate::training) transformer: Transformer<B>,
    pub(in crate::training) residual: ResidualNetwork<B>,
}

impl<B: Backend> Learner<B> {
    /// The same learner with some of its parts kept as they are.
    pub(in crate::training) fn freeze(mut self, parts: &[LearnerPart]) -> Self {
        for part in parts {
            match part {
                LearnerPart::Text => self.text = self.text.no_grad(),
                LearnerPart::Transformer => self.transformer = self.transformer.no_grad(),
                LearnerPart::Residual => self.residual = self.residual.no_grad(),
            }
        }
        self
    }
}

impl<B: HartBackend> Learner<B> {
    /// A learner with fresh weights that follow from a seed, or those of the model in a folder.
    pub(super) fn start(
        configs: &Configs,
        seed: u64,
        folder: Option<&Path>,
        device: &B::Device,
    ) -> Result<Self> {
        let size = configs.model.transformer_size();
        let learner = Self {
            text: Qwen2::init(&configs.text, device),
            transformer: Transformer::init(&configs.model.transformer, size, device),
            residual: ResidualNetwork::init(&configs.model.residual_head_size(), device),
        };
        match folder {
            Some(folder) => learner.load(folder),
            None => Ok(Self {
                text: learner.text.initialize(seed)?,
                transformer: learner.transformer.initialize(seed)?,
                residual: learner.residual.initialize(seed)?,
            }),
        }
    }

    fn load(self, folder: &Path) -> Result<Self> {
        let options = LoadOptions::default();
        let model = Checkpoint::open_torch(folder.join("llm/ema_model.bin"))?;
        let words = text::open_checkpoint(folder.join("text"))?;
        Ok(Self {
            text: load(self.text, &words, &text::NAMES, options)?,
            transformer: load(self.transformer, &model, &hart_ar::NAMES, options)?,
            residual: load(self.residual, &model, &hart_diffusion::NAMES, options)?,
        })
    }

    /// The learner as a model with its text encoder: over `tokenizer`, with prompts as they were in
    /// training, and with the diffusion steps of `head`, whose network is replaced.
    pub(in crate::training) fn into_parts(
        self,
        tokenizer: HybridTokenizer<B>,
        mut head: ResidualHead<B>,
        prompts: PromptTokenizer,
        system_prompt: &SystemPrompt,
    ) -> Result<PipelineParts<B>> {
        let Self { text, transformer, residual } = self;
        let tokens = transformer.config().context_tokens;
        let encoder = TextEncoder::new(prompts, text, tokens, system_prompt)?;
        head.network = residual;
        let model = HartModel { tokenizer, transformer, residual_head: head };
        Ok(PipelineParts::new(model, encoder))
    }
}
