//! All that is trained.

use std::path::Path;

use anyhow::{Context, bail, ensure};
use burn::module::Module;
use burn::tensor::backend::Backend;
use hart_ar::Transformer;
use hart_core::HartBackend;
use hart_core::checkpoint::{Checkpoint, LoadOptions, load};
use hart_core::config::{AutoencoderConfig, ConfigReader, TransformerConfig};
use hart_diffusion::ResidualNetwork;
use hart_examples::training::text::TextFiles;
use hart_pipeline::ModelConfig;
use hart_pipeline::text::{self, Qwen2, TextEncoderConfig};

use crate::Experiment;

/// Text encoder, transformer and residual head.
#[derive(Module, Debug)]
pub(crate) struct Learner<B: Backend> {
    pub(crate) text: Qwen2<B>,
    pub(crate) transformer: Transformer<B>,
    pub(crate) residual: ResidualNetwork<B>,
}

/// The configurations of all parts.
#[derive(Debug, Clone)]
pub(crate) struct Configs {
    pub(crate) model: ModelConfig,
    pub(crate) text: TextEncoderConfig,
    /// `llm/config.json` as it is exported.
    pub(crate) model_json: serde_json::Value,
    /// `text/config.json` as it is exported.
    pub(crate) text_json: serde_json::Value,
}

impl Configs {
    /// Reads them from the experiment and the tokenizer's folder; what one says for several is
    /// filled in.
    pub(crate) fn read(experiment: &Experiment, words: &TextFiles) -> anyhow::Result<Self> {
        let autoencoder = AutoencoderConfig::open(experiment.data.tokenizer.join("config.json"))?;
        let mut text_json = serde_json::to_value(&experiment.text)?;
        let vocabulary = words.tokenizer()?.vocabulary();
        text_json["vocab_size"] = vocabulary.into();
        text_json["model_type"] = "qwen2".into();
        let mut model_json = serde_json::to_value(&experiment.hart)?;
        model_json["model_type"] = "hart_transformer_t2i".into();
        model_json["attn_type"] = "llama".into();
        model_json["context_dim"] = text_json["hidden_size"].clone();
        model_json["patch_nums"] = autoencoder.scales.sides().into();
        let reader = |name: &str, json: &serde_json::Value| {
            ConfigReader::parse(name, json.to_string().as_bytes())
        };
        let text = TextEncoderConfig::read(&reader("[text]", &text_json)?)?;
        let transformer = TransformerConfig::read(&reader("[hart]", &model_json)?)?;
        ensure!(
            transformer.context_tokens <= text.max_positions,
            "`context_token` is {}, but the text encoder has {} positions",
            transformer.context_tokens,
            text.max_positions
        );
        Ok(Self { model: ModelConfig { transformer, autoencoder }, text, model_json, text_json })
    }
}

impl<B: HartBackend> Learner<B> {
    /// A learner with fresh weights, or those of a trained model.
    pub(crate) fn start(
        experiment: &Experiment,
        configs: &Configs,
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let size = configs.model.transformer_size();
        let seed = experiment.run.seed;
        let learner = Self {
            text: Qwen2::init(&configs.text, device),
            transformer: Transformer::init(&configs.model.transformer, size, device),
            residual: ResidualNetwork::init(&configs.model.residual_head_size(), device),
        };
        let learner = match &experiment.data.start_from {
            Some(folder) => learner
                .load(folder)
                .with_context(|| format!("cannot start from {}", folder.display()))?,
            None => Self {
                text: learner.text.initialize(seed)?,
                transformer: learner.transformer.initialize(seed)?,
                residual: learner.residual.initialize(seed)?,
            },
        };
        learner.freeze(&experiment.data.freeze)
    }

    fn load(self, folder: &Path) -> anyhow::Result<Self> {
        let options = LoadOptions::default();
        let model = Checkpoint::open_torch(folder.join("llm/ema_model.bin"))?;
        let words = text::open_checkpoint(folder.join("text"))?;
        Ok(Self {
            text: load(self.text, &words, &text::NAMES, options)?,
            transformer: load(self.transformer, &model, &hart_ar::NAMES, options)?,
            residual: load(self.residual, &model, &hart_diffusion::NAMES, options)?,
        })
    }

    fn freeze(mut self, parts: &[String]) -> anyhow::Result<Self> {
        for part in parts {
            match part.as_str() {
                "text" => self.text = self.text.no_grad(),
                "transformer" => self.transformer = self.transformer.no_grad(),
                "residual" => self.residual = self.residual.no_grad(),
                other => {
                    bail!("`freeze` names `{other}`, expected `text`, `transformer` or `residual`")
                }
            }
        }
        Ok(self)
    }
}
