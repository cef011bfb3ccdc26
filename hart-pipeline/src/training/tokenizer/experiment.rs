//! What a training of a tokenizer follows from.

use std::path::{Path, PathBuf};

use hart_core::Result;
use hart_core::config::ConfigReader;
use hart_tokenizer::AutoencoderConfig;
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value};

use crate::training::data::Augmentation;
use crate::training::experiment::{check, check_positive, check_shares, check_weights, read};
use crate::training::optimizer::OptimizerSettings;
use crate::training::run::RunSettings;

/// The shortest side of an image that the discriminator has a logit for.
const JUDGED: usize = 24;
/// The most channels of the discriminator's first layer.
const MOST_CHANNELS: usize = 4096;

/// The training of a tokenizer. As a TOML file, every field but `tokenizer` is a table of settings.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct TokenizerExperiment {
    /// How long the run is and what it leaves behind.
    pub run: RunSettings,
    /// What it learns from.
    pub data: DataSettings,
    /// The keys of the released `tokenizer/config.json` ([`AutoencoderConfig`] names them). Maps of
    /// `v_patch_nums` are sides of squares, or `[rows, columns]`; images are cut to the aspect of
    /// the last one.
    pub tokenizer: Map<String, Value>,
    /// What it minimises.
    #[serde(default)]
    pub loss: LossSettings,
    /// The optimizer, of the tokenizer and of its adversary.
    #[serde(default)]
    pub optimizer: OptimizerSettings,
    /// What is done to the tokenizer that is written for others.
    #[serde(default)]
    pub export: ExportSettings,
    /// The file it was read from, for errors.
    #[serde(skip)]
    pub(super) file: PathBuf,
}

/// Which images a tokenizer learns from; `[data]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct DataSettings {
    /// Records to train on ([`Records::open`](crate::training::data::Records::open)).
    pub records: PathBuf,
    /// Records that are only measured.
    pub validation: PathBuf,
    /// How many of the validation images are measured.
    #[serde(default = "most")]
    pub validation_images: usize,
    /// Whether records whose images cannot be read are left out; else nothing is trained.
    #[serde(default)]
    pub skip_bad: bool,
    /// How training images are varied.
    #[serde(default)]
    pub augmentation: Augmentation,
    /// A folder with a tokenizer of the same configuration to start from.
    pub start_from: Option<PathBuf>,
    /// The folder of a model over this tokenizer, with its text encoder in `text/`: its residual head
    /// predicts for `predicted_share` of the images what their codes leave over, from their first
    /// captions.
    pub predictor: Option<PathBuf>,
}

/// What a tokenizer minimises; `[loss]`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct LossSettings {
    /// The share of images whose decoder sees the discrete codes alone.
    pub discrete_share: f64,
    /// The share whose decoder sees the codes as generation adds them, and a part of what they leave
    /// over, drawn from nothing to all. The others' decoder sees all of it.
    pub partial_share: f64,
    /// The share whose decoder sees what it sees in generation: the codes, and what the residual head
    /// of `predictor` makes of the rest. Needs `freeze_latents`, so that the head still knows them.
    pub predicted_share: f64,
    /// Weight of the quantizer's loss.
    pub quantizer: f64,
    /// Codes that nothing was nearest to for this many steps are put where latents are; 0 for never.
    pub revive_after: u64,
    /// Whether everything up to the quantizer stays as it is.
    pub freeze_latents: bool,
    /// Weight of the adversarial loss over its adaptive one; 0 for none.
    pub adversarial: f64,
    /// The step from which it counts.
    pub adversarial_start: u64,
    /// Channels of the discriminator.
    pub discriminator_channels: usize,
}

/// What is done to the tokenizer that is written for others; `[export]`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct ExportSettings {
    /// Latents are scaled so that the residuals of the validation images have this standard
    /// deviation: the residual head takes them for values in ±0.6. Left as they are without it.
    pub residual_spread: Option<f64>,
}

impl TokenizerExperiment {
    /// A training with the default loss and optimizer; `tokenizer` has the keys of the released
    /// `tokenizer/config.json`.
    pub fn new(run: RunSettings, data: DataSettings, tokenizer: Map<String, Value>) -> Self {
        Self {
            run,
            data,
            tokenizer,
            loss: LossSettings::default(),
            optimizer: OptimizerSettings::default(),
            export: ExportSettings::default(),
            file: PathBuf::new(),
        }
    }

    /// Reads a TOML file and checks it; paths in it are relative to the working directory.
    ///
    /// # Errors
    /// [`Error::Io`](hart_core::Error::Io), [`Error::Malformed`](hart_core::Error::Malformed) when
    /// it is not TOML or has unknown keys, and those of [`Self::check`], each naming the file.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let experiment = read(path.as_ref(), Self::check)?;
        Ok(Self { file: path.as_ref().to_path_buf(), ..experiment })
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) for the first that is out of its range, with its
    /// table and key.
    pub fn check(&self) -> Result<()> {
        self.run.check()?;
        self.data.check()?;
        self.loss.check()?;
        self.optimizer.check()?;
        self.export.check()?;
        let has_predictor = self.data.predictor.is_some() || self.loss.predicted_share == 0.0;
        let expected = "the folder of a model, for `predicted_share`";
        check(has_predictor, "data", "predictor", "missing", expected)?;
        let size = self.config()?.image_size();
        let is_judged = self.loss.adversarial == 0.0 || size.rows.min(size.columns) >= JUDGED;
        let expected = format!("0 for images of {size} pixels: less than {JUDGED} are no patch");
        check(is_judged, "loss", "adversarial", self.loss.adversarial, &expected)
    }

    /// The folder of the model that predicts residuals, if any image needs it.
    pub(super) fn predictor(&self) -> Option<&Path> {
        let is_used = self.loss.predicted_share > 0.0;
        self.data.predictor.as_deref().filter(|_| is_used)
    }

    /// The configuration of the tokenizer.
    pub(super) fn config(&self) -> Result<AutoencoderConfig> {
        let json = Value::from(self.tokenizer.clone()).to_string();
        AutoencoderConfig::read(&ConfigReader::parse("[tokenizer]", json.as_bytes())?)
    }
}

impl DataSettings {
    /// Training and validation records, the images as they are.
    pub fn new(records: impl Into<PathBuf>, validation: impl Into<PathBuf>) -> Self {
        Self {
            records: records.into(),
            validation: validation.into(),
            validation_images: most(),
            skip_bad: false,
            augmentation: Augmentation::default(),
            start_from: None,
            predictor: None,
        }
    }

    fn check(&self) -> Result<()> {
        let images = self.validation_images;
        check(images > 0, "data", "validation_images", images, "at least 1")?;
        self.augmentation.check()
    }
}

impl ExportSettings {
    fn check(&self) -> Result<()> {
        let spread = self.residual_spread.map(|spread| ("residual_spread", spread));
        check_positive("export", spread.as_slice())
    }
}

impl LossSettings {
    fn check(&self) -> Result<()> {
        let shares = [
            ("discrete_share", self.discrete_share),
            ("partial_share", self.partial_share),
            ("predicted_share", self.predicted_share),
        ];
        check_shares("loss", &shares)?;
        let sum: f64 = shares.iter().map(|(_, share)| share).sum();
        let key = "discrete_share + partial_share + predicted_share";
        check(sum <= 1.0, "loss", key, sum, "at most 1")?;
        let is_frozen = self.freeze_latents || self.predicted_share == 0.0;
        let expected = "true: predictions are of latents that stay as they are";
        check(is_frozen, "loss", "freeze_latents", self.freeze_latents, expected)?;
        let weights = [("quantizer", self.quantizer), ("adversarial", self.adversarial)];
        check_weights("loss", &weights)?;
        let channels = self.discriminator_channels;
        let fits = (1..=MOST_CHANNELS).contains(&channels);
        let expected = format!("from 1 to {MOST_CHANNELS}");
        check(fits, "loss", "discriminator_channels", channels, &expected)
    }
}

impl Default for LossSettings {
    fn default() -> Self {
        Self {
            discrete_share: 0.5,
            partial_share: 0.0,
            predicted_share: 0.0,
            quantizer: 1.0,
            revive_after: 100,
            freeze_latents: false,
            adversarial: 0.0,
            adversarial_start: 0,
            discriminator_channels: 64,
        }
    }
}

fn most() -> usize {
    256
}
