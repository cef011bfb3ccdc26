//! The model: tokenizer, transformer and residual head.

use std::path::Path;

use burn::tensor::backend::Backend;
use hart_ar::{Transformer, TransformerConfig, TransformerSize};
use hart_core::checkpoint::{Checkpoint, LoadOptions, cast};
use hart_core::config::ConfigReader;
use hart_core::nn::Prepare;
use hart_core::{Error, HartBackend, Precision, Result, ScaleSchedule};
use hart_diffusion::{ResidualHead, ResidualHeadConfig, ResidualHeadSize};
use hart_tokenizer::{AutoencoderConfig, HybridTokenizer};

/// The three parts of HART. A clone shares their weights.
#[derive(Debug, Clone)]
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
#[non_exhaustive]
pub struct ModelConfig {
    /// The transformer's part of `llm/config.json`.
    pub transformer: TransformerConfig,
    /// The residual head's part of it.
    pub residual_head: ResidualHeadConfig,
    /// `tokenizer/config.json`.
    pub autoencoder: AutoencoderConfig,
}

/// Which of the two weight files of the transformer is loaded.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
#[non_exhaustive]
pub enum TransformerWeights {
    /// The running mean where the folder has it, as the release does, else the last weights.
    #[default]
    Auto,
    /// `ema_model.bin`, the running mean of the weights in training.
    Ema,
    /// `model.safetensors`, possibly in shards: the last weights.
    Raw,
}

impl TransformerWeights {
    /// The name used on command lines and in image settings: `auto`, `ema` or `raw`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Auto => "auto",
            Self::Ema => "ema",
            Self::Raw => "raw",
        }
    }
}

impl std::str::FromStr for TransformerWeights {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let all = [Self::Auto, Self::Ema, Self::Raw].into_iter();
        let found = all.into_iter().find(|weights| weights.name() == name);
        found.ok_or_else(|| Error::invalid("the weights", format!("`{name}`"), "auto, ema or raw"))
    }
}

impl ModelConfig {
    /// Reads both configurations of a model folder.
    ///
    /// # Errors
    /// Those of [`TransformerConfig::open`] and [`AutoencoderConfig::open`], and [`Error::Config`]
    /// when the two contradict each other.
    pub fn open(folder: impl AsRef<Path>) -> Result<Self> {
        let path = folder.as_ref().join("llm/config.json");
        let file = ConfigReader::open(&path)?;
        Self::new(
            TransformerConfig::read(&file)?,
            ResidualHeadConfig::read(&file)?,
            AutoencoderConfig::open(folder.as_ref().join("tokenizer/config.json"))?,
        )
        .map_err(|error| match error {
            Error::Config { key, found, expected, .. } => {
                Error::Config { path, key, found, expected }
            }
            other => other,
        })
    }

    /// The configurations of parts that fit each other.
    ///
    /// # Errors
    /// [`Error::Config`] when transformer and tokenizer have different scales.
    pub fn new(
        transformer: TransformerConfig,
        residual_head: ResidualHeadConfig,
        autoencoder: AutoencoderConfig,
    ) -> Result<Self> {
        if transformer.scales != autoencoder.scales {
            let expected = autoencoder.scales.to_json();
            return Err(Error::Config {
                path: "llm/config.json".into(),
                key: "patch_nums".to_string(),
                found: transformer.scales.to_json().to_string(),
                expected: format!("the `v_patch_nums` of the tokenizer, {expected}"),
            });
        }
        Ok(Self { transformer, residual_head, autoencoder })
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
            width: self.residual_head.width,
            depth: self.residual_head.depth,
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
    /// Which weights of the transformer these are, [`TransformerWeights::Ema`] or
    /// [`TransformerWeights::Raw`].
    pub weights: TransformerWeights,
}

#[cfg(feature = "fs")]
impl ModelCheckpoints {
    /// Opens the checkpoints of a model folder, without reading any tensor.
    ///
    /// # Errors
    /// [`Error::Io`] when a file is missing, [`Error::Malformed`] when one is damaged.
    pub fn open(folder: impl AsRef<Path>, weights: TransformerWeights) -> Result<Self> {
        let folder = folder.as_ref();
        let mean = folder.join("llm/ema_model.bin");
        let weights = match weights {
            TransformerWeights::Auto if mean.exists() => TransformerWeights::Ema,
            TransformerWeights::Auto => TransformerWeights::Raw,
            named => named,
        };
        let transformer = match weights {
            TransformerWeights::Ema => Checkpoint::open_torch(mean)?,
            _ => Checkpoint::open_folder(folder.join("llm"))?,
        };
        let tokenizer = Checkpoint::open_folder(folder.join("tokenizer"))?;
        Ok(Self { transformer, tokenizer, weights })
    }
}

impl<B: HartBackend> HartModel<B> {
    /// Loads a model folder in the released layout.
    ///
    /// # Errors
    /// Those of [`ModelConfig::open`] and [`ModelCheckpoints::open`], and [`Error::Weights`] when
    /// the weights do not fit the configuration.
    #[cfg(feature = "fs")]
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
                &config.residual_head.sampling_steps,
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
        let steps = &config.residual_head.sampling_steps;
        Ok(Self {
            tokenizer: HybridTokenizer::init(&config.autoencoder, device),
            transformer: Transformer::init(&config.transformer, config.transformer_size(), device),
            residual_head: ResidualHead::init(&config.residual_head_size(), steps, device)?,
        })
    }

    /// The same model, its weights shared, for images of another shape than it was trained with
    /// (experimental).
    ///
    /// # Errors
    /// [`Error::Invalid`] for another number of scales.
    pub fn with_scales(&self, scales: ScaleSchedule) -> Result<Self> {
        Ok(Self {
            tokenizer: self.tokenizer.with_scales(scales.clone())?,
            transformer: self.transformer.with_scales(scales)?,
            residual_head: self.residual_head.clone(),
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
