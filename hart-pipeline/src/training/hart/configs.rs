//! The configurations of a model that is to be trained.

use hart_ar::TransformerConfig;
use hart_core::Result;
use hart_core::config::ConfigReader;
use hart_diffusion::ResidualHeadConfig;
use hart_tokenizer::AutoencoderConfig;
use serde_json::Value;

use super::experiment::HartExperiment;
use super::words::vocabulary;
use crate::model::ModelConfig;
use crate::text::TextEncoderConfig;
use crate::training::experiment::refuse;

/// The configurations of all parts.
#[derive(Debug, Clone)]
pub(super) struct Configs {
    pub(super) model: ModelConfig,
    pub(super) text: TextEncoderConfig,
    /// `llm/config.json` as it is exported.
    pub(super) model_json: Value,
    /// `text/config.json` as it is exported.
    pub(super) text_json: Value,
}

impl Configs {
    /// Checks them before any work, when the text tokenizer is not known yet.
    pub(super) fn check(experiment: &HartExperiment) -> Result<()> {
        Self::read(experiment, vocabulary(&experiment.text)?).map(drop)
    }

    /// Reads them from the experiment and the tokenizer's folder, for a text tokenizer of this many
    /// tokens; what one says for several is filled in.
    pub(super) fn read(experiment: &HartExperiment, vocabulary: usize) -> Result<Self> {
        let autoencoder = AutoencoderConfig::open(experiment.data.tokenizer.join("config.json"))?;
        let mut text_json = Value::from(experiment.text.clone());
        text_json["vocab_size"] = vocabulary.into();
        text_json["model_type"] = "qwen2".into();
        let mut model_json = Value::from(experiment.hart.clone());
        model_json["model_type"] = "hart_transformer_t2i".into();
        model_json["attn_type"] = "llama".into();
        model_json["context_dim"] = text_json["hidden_size"].clone();
        model_json["patch_nums"] = autoencoder.scales.to_json();
        let reader =
            |table: &str, json: &Value| ConfigReader::parse(table, json.to_string().as_bytes());
        let text = TextEncoderConfig::read(&reader("[text]", &text_json)?)?;
        let hart = reader("[hart]", &model_json)?;
        let transformer = TransformerConfig::read(&hart)?;
        let (tokens, positions) = (transformer.context_tokens, text.max_positions);
        if tokens > positions {
            let expected = format!("at most {positions}, the positions of the text encoder");
            return Err(refuse("hart", "context_token", tokens, expected));
        }
        let model = ModelConfig::new(transformer, ResidualHeadConfig::read(&hart)?, autoencoder)?;
        Ok(Self { model, text, model_json, text_json })
    }
}
