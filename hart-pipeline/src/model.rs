//! The model: tokenizer, transformer and residual head.

use std::path::Path;

use burn::tensor::backend::Backend;
use hart_ar::{Transformer, TransformerSize};
use hart_core::checkpoint::{Checkpoint, LoadOptions, cast};
use hart_core::config::{AutoencoderConfig, TransformerConfig};
use hart_core::nn::Prepare;
use hart_core::{Error, HartBackend, Precision, Result};
use hart_diffusion::{ResidualHead, ResidualHeadSize};
use hart_tokenizer::HybridTokenizer;

/// The three parts of HART. Lower doors for research stay open through them.
#[derive(Debug)]
pub struct HartModel<B: Backend> {
    /// Images to tokens and back.
    pub tokenizer: HybridTokenizer<B>,
    /// Predicts tokens.
    pub transformer: Transformer<B>,
    /// Predicts what tokens cannot hold.
    pub residual_head: ResidualHead<B>,
}

/// The configurations of a model's parts, checked to fit each other.
#[derive(Debug, Clone, PartialEq)]
pub struct ModelConfig {
    /// `llm/config.json`.
    pub transformer: TransformerConfig,
    /// `tokenizer/config.json`.
    pub autoencoder: AutoencoderConfig,
}

/// Which of the two weight files of the transformer is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum TransformerWeights {
    /// `ema_model.bin`, the running mean of the weights in training: the release's default.
    #[default]
    Ema,
    /// `model.safetensors`, possibly in shards.
    Raw,
}

impl ModelConfig {
    /// Reads both configurations of a model folder.
    ///
    /// # Errors
    /// Those of [`TransformerConfig::open`] and [`AutoencoderConfig::open`], and [`Error::Config`]
    /// when the two contradict each other.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref().join("llm/config.json");
        let transformer = TransformerConfig::open(&path)?;
        let autoencoder = AutoencoderConfig::open(folder.as_ref().join("tokenizer/config.json"))?;
        if transformer.scales != autoencoder.scales {
            return Err(Error::Config {
                path,
                key: "patch_nums".to_string(),
                found: format!("{:?}", transformer.scales.sides()),
                expected: format!(
                    "the `v_patch_nums` of the tokenizer, {:?}",
                    autoencoder.scales.sides()
                ),
            });
        }
        Ok(Self { transformer, autoencoder })
    }

    /// The sizes the transformer takes from the tokenizer.
    pub fn transformer_size(&self) -> TransformerSize {
        TransformerSize {
            codebook_size: self.autoencoder.codebook_size,
            latent_channels: self.autoencoder.latent_channels,
        }
    }

    /// The sizes of the residual head.
    pub fn residual_head_size(&self) -> ResidualHeadSize {
        ResidualHeadSize {
            channels: self.autoencoder.latent_channels,
            condition_width: self.transformer.width,
            width: self.transformer.residual_head.width,
            depth: self.transformer.residual_head.depth,
        }
    }
}

/// The checkpoints of a model folder.
#[derive(Debug, Clone)]
pub struct ModelCheckpoints {
    /// Transformer and residual head.
    pub transformer: Checkpoint,
    /// Tokenizer.
    pub tokenizer: Checkpoint,
}

impl ModelCheckpoints {
    /// Opens the checkpoints of a model folder, without reading any tensor.
    ///
    /// # Errors
    /// [`Error::Io`] when a file is missing, [`Error::Malformed`] when one is damaged.
    pub fn open(folder: impl AsRef<Path>, weights: TransformerWeights) -> Result<Self> {
        let folder = folder.as_ref();
        let transformer = match weights {
            TransformerWeights::Ema => Checkpoint::open_torch(folder.join("llm/ema_model.bin"))?,
            TransformerWeights::Raw => Checkpoint::open_folder(folder.join("llm"))?,
        };
        Ok(Self { transformer, tokenizer: Checkpoint::open_folder(folder.join("tokenizer"))? })
    }
}

impl<B: HartBackend> HartModel<B> {
    /// Loads a model folder in the released layout.
    ///
    /// # Errors
    /// Those of [`ModelConfig::open`] and [`ModelCheckpoints::open`], and [`Error::Weights`] when
    /// the weights do not fit the configuration.
    pub fn open(
        folder: impl AsRef<Path>,
        weights: TransformerWeights,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let folder = folder.as_ref();
        let config = ModelConfig::open(folder)?;
        Self::load(&config, &ModelCheckpoints::open(folder, weights)?, options, device)
    }

    /// Loads a model of a known configuration.
    ///
    /// # Errors
    /// [`Error::Weights`] when the weights do not fit the configuration, [`Error::Invalid`] for an
    /// impossible diffusion respacing.
    pub fn load(
        config: &ModelConfig,
        files: &ModelCheckpoints,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let (tokenizer, transformer) = (&files.tokenizer, &files.transformer);
        let autoencoder = &config.autoencoder;
        Ok(Self {
            tokenizer: HybridTokenizer::from_checkpoint(autoencoder, tokenizer, options, device)?,
            transformer: Transformer::from_checkpoint(
                &config.transformer,
                config.transformer_size(),
                transformer,
                options,
                device,
            )?,
            residual_head: ResidualHead::from_checkpoint(
                &config.residual_head_size(),
                &config.transformer.residual_head.sampling_steps,
                transformer,
                options,
                device,
            )?,
        })
    }

    /// A model of the configured sizes with fresh weights.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an impossible diffusion respacing.
    pub fn init(config: &ModelConfig, device: &B::Device) -> Result<Self> {
        let steps = &config.transformer.residual_head.sampling_steps;
        Ok(Self {
            tokenizer: HybridTokenizer::init(&config.autoencoder, device),
            transformer: Transformer::init(&config.transformer, config.transformer_size(), device),
            residual_head: ResidualHead::init(&config.residual_head_size(), steps, device)?,
        })
    }

    /// The same model with its large weights in another precision.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the model is prepared.
    pub fn cast(self, options: LoadOptions) -> Result<Self> {
        Ok(Self {
            tokenizer: cast(self.tokenizer, &hart_tokenizer::NAMES, options)?,
            transformer: cast(self.transformer, &hart_ar::NAMES, options)?,
            residual_head: self.residual_head.cast(options)?,
        })
    }
}

impl<B: HartBackend> Prepare for HartModel<B> {
    fn prepare(&mut self, precision: Precision) {
        self.tokenizer.prepare(precision);
        self.transformer.prepare(precision);
        self.residual_head.prepare(precision);
    }
}
