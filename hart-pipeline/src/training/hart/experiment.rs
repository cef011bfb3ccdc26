//! What a training of a model follows from.

use std::path::{Path, PathBuf};

use hart_core::Result;
use hart_core::config::ConfigReader;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::configs::Configs;
use super::words::vocabulary;
use crate::defaults::ModelDefaults;
use crate::text::SystemPrompt;
use crate::training::captions::CaptionGrammar;
use crate::training::experiment::{check, check_shares, check_weights, read};
use crate::training::optimizer::OptimizerSettings;
use crate::training::run::RunSettings;

/// The training of text encoder, transformer and residual head. As a TOML file, every field but
/// `hart` and `text` is a table of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct HartExperiment {
    /// How long the run is and what it leaves behind.
    pub run: RunSettings,
    /// What it learns from.
    pub data: DataSettings,
    /// The keys of the released `llm/config.json`
    /// ([`TransformerConfig`](hart_ar::TransformerConfig) and
    /// [`ResidualHeadConfig`](hart_diffusion::ResidualHeadConfig) name them); the scales are those
    /// of the tokenizer.
    pub hart: Map<String, Value>,
    /// The keys of a Qwen2 `config.json`
    /// ([`TextEncoderConfig`](crate::text::TextEncoderConfig) names them). A vocabulary of at most
    /// `vocab_size` tokens (default 2048) is learned from the captions.
    pub text: Map<String, Value>,
    /// What it minimises.
    #[serde(default)]
    pub loss: LossSettings,
    /// The optimizer.
    #[serde(default)]
    pub optimizer: OptimizerSettings,
    /// The images that are made during training, and what the model is shipped with; `[images]`
    /// of the file, `[pictures]` in older ones.
    #[serde(rename = "images", alias = "pictures")]
    pub samples: SampleSettings,
    /// The file it was read from, for errors.
    #[serde(skip)]
    pub(super) file: PathBuf,
}

/// What a model learns from; `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DataSettings {
    /// Records to train on ([`Records::open`](crate::training::data::Records::open)).
    pub records: PathBuf,
    /// Records that are only measured.
    pub validation: PathBuf,
    /// How many of the validation records are measured.
    #[serde(default = "some")]
    pub validation_images: usize,
    /// The folder of the tokenizer.
    pub tokenizer: PathBuf,
    /// A grammar that makes captions as people write them, anew for every step
    /// ([`CaptionGrammar`](crate::training::captions::CaptionGrammar)).
    pub captions: Option<PathBuf>,
    /// The share of steps in which an image has its first caption; with `captions`, the share in
    /// which it has a caption of its own, by the same share its first one.
    #[serde(default = "half")]
    pub plain_captions: f64,
    /// A model to start from, with its text encoder in `text/`.
    pub start_from: Option<PathBuf>,
    /// Records that are new to the model, which take the place of others in every batch.
    pub new: Option<PathBuf>,
    /// Their share of the batches; the others keep the model from forgetting.
    #[serde(default = "half")]
    pub new_share: f64,
    /// Parts that stay as they are.
    #[serde(default)]
    pub freeze: Vec<LearnerPart>,
    /// Whether records whose images cannot be read are left out; else nothing is trained.
    #[serde(default)]
    pub skip_bad: bool,
}

/// A part of what is trained.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum LearnerPart {
    /// The text encoder.
    Text,
    /// The transformer.
    Transformer,
    /// The residual head.
    Residual,
}

/// What a model minimises; `[loss]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LossSettings {
    /// Weight of the residual head's loss.
    pub diffusion: f64,
    /// The share of input codes that are replaced by others, so that the transformer learns to go
    /// on from its own mistakes.
    pub spoiled: f64,
    /// How alike the scales count: 0 weighs every token alike, as the release was trained, 1 every
    /// scale ([`hart_ar::scale_weights`]).
    pub scale_balance: f64,
    /// Which code a residual is measured from.
    pub residual_from: ResidualFrom,
}

/// Which code the residual head's target is measured from.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum ResidualFrom {
    /// One drawn from the transformer's logits, as the release was trained (section 6): the head
    /// learns to mend wrong codes, and cannot count on right ones.
    Sampled,
    /// The image's own: the head learns what is left of a code that was the nearest one.
    True,
}

/// The images that are made during training, and how: the model is shipped with these settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct SampleSettings {
    /// A prompt for each image; none for no images.
    pub prompts: Vec<String>,
    /// Classifier-free guidance.
    #[serde(default)]
    pub guidance: f64,
    /// Codes kept for sampling, 0 for all.
    #[serde(default)]
    pub top_k: usize,
    /// Nucleus sampling, 0 for none.
    #[serde(default)]
    pub top_p: f64,
    /// Whether codes are mixed instead of chosen.
    #[serde(default)]
    pub smooth: bool,
    /// Factor of the noise of every diffusion step.
    #[serde(default = "one")]
    pub temperature: f64,
}

impl HartExperiment {
    /// A training with the default loss and optimizer, without images; `hart` and `text` have the
    /// keys of the released `llm/config.json` and of a Qwen2 `config.json`.
    pub fn new(
        run: RunSettings,
        data: DataSettings,
        hart: Map<String, Value>,
        text: Map<String, Value>,
    ) -> Self {
        Self {
            run,
            data,
            hart,
            text,
            loss: LossSettings::default(),
            optimizer: OptimizerSettings::default(),
            samples: SampleSettings::default(),
            file: PathBuf::new(),
        }
    }

    /// Reads a TOML file and checks it; paths in it are relative to the working directory.
    ///
    /// # Errors
    /// [`Error::Io`](hart_core::Error::Io), [`Error::Malformed`](hart_core::Error::Malformed) when
    /// it is not TOML or has unknown keys, and those of [`Self::check`], each naming the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let experiment = read(path.as_ref(), Self::check_all)?;
        Ok(Self { file: path.as_ref().to_path_buf(), ..experiment })
    }

    /// Checks every value but those of `hart` and `text`, which depend on the tokenizer.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) for the first that is out of its range, with its
    /// table and key.
    pub fn check(&self) -> Result<()> {
        self.run.check()?;
        self.data.check()?;
        self.loss.check()?;
        self.optimizer.check()?;
        self.samples.check()?;
        if self.data.start_from.is_none() {
            vocabulary(&self.text)?;
        }
        Ok(())
    }

    /// As [`Self::check`], with the grammar of captions if it is there, and with `hart` and `text`
    /// if the tokenizer is.
    fn check_all(&self) -> Result<()> {
        self.check()?;
        if let Some(captions) = self.data.captions.as_ref().filter(|path| path.is_file()) {
            CaptionGrammar::open(captions)?;
        }
        let is_there = self.data.tokenizer.join("config.json").is_file();
        if is_there { Configs::check(self) } else { Ok(()) }
    }
}

impl DataSettings {
    /// Training and validation records, and the folder of the tokenizer.
    pub fn new(
        records: impl Into<PathBuf>,
        validation: impl Into<PathBuf>,
        tokenizer: impl Into<PathBuf>,
    ) -> Self {
        Self {
            records: records.into(),
            validation: validation.into(),
            validation_images: some(),
            tokenizer: tokenizer.into(),
            captions: None,
            plain_captions: half(),
            start_from: None,
            new: None,
            new_share: half(),
            freeze: vec![],
            skip_bad: false,
        }
    }

    fn check(&self) -> Result<()> {
        let images = self.validation_images;
        check(images > 0, "data", "validation_images", images, "at least 1")?;
        let shares = [("plain_captions", self.plain_captions), ("new_share", self.new_share)];
        check_shares("data", &shares)?;
        let all = [LearnerPart::Text, LearnerPart::Transformer, LearnerPart::Residual];
        let learns = all.iter().any(|part| !self.freeze.contains(part));
        check(learns, "data", "freeze", "all parts", "some, or nothing would be learned")
    }
}

impl LossSettings {
    /// Checks every value, as those of the table `[loss]`.
    pub(in crate::training) fn check(&self) -> Result<()> {
        check_weights("loss", &[("diffusion", self.diffusion)])?;
        let shares = [("spoiled", self.spoiled), ("scale_balance", self.scale_balance)];
        check_shares("loss", &shares)
    }
}

impl Default for LossSettings {
    fn default() -> Self {
        Self {
            diffusion: 1.0,
            spoiled: 0.0,
            scale_balance: 0.0,
            residual_from: ResidualFrom::Sampled,
        }
    }
}

impl SampleSettings {
    /// Checks every value, the settings by the rules of the `generation.json` that they become.
    fn check(&self) -> Result<()> {
        for prompt in &self.prompts {
            let found = format!("{prompt:?}: a prompt is blank");
            check(!prompt.trim().is_empty(), "images", "prompts", found, "some text in each")?;
        }
        let numbers =
            [("guidance", self.guidance), ("top_p", self.top_p), ("temperature", self.temperature)];
        // JSON has no such numbers.
        for (key, value) in numbers {
            check(value.is_finite(), "images", key, value, "a finite number")?;
        }
        let file = self.generation_json().to_string();
        ModelDefaults::read(&ConfigReader::parse("[images]", file.as_bytes())?).map(drop)
    }

    /// As `generation.json` of a model.
    pub(super) fn generation_json(&self) -> Value {
        json!({
            "guidance": self.guidance,
            "top_k": self.top_k,
            "top_p": self.top_p,
            "smooth": self.smooth,
            "temperature": self.temperature,
            "system_prompt": "",
        })
    }

    /// The settings as a model's defaults.
    pub(super) fn defaults(&self) -> ModelDefaults {
        ModelDefaults {
            guidance: self.guidance,
            top_k: Some(self.top_k),
            top_p: self.top_p,
            smooth: self.smooth,
            temperature: self.temperature,
            system_prompt: SystemPrompt::None,
        }
    }
}

impl Default for SampleSettings {
    /// No prompts, no guidance, codes sampled from all of the logits.
    fn default() -> Self {
        Self {
            prompts: vec![],
            guidance: 0.0,
            top_k: 0,
            top_p: 0.0,
            smooth: false,
            temperature: one(),
        }
    }
}

fn half() -> f64 {
    0.5
}

fn one() -> f64 {
    1.0
}

fn some() -> usize {
    128
}
