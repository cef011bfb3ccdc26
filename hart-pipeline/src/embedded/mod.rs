//! The small model compiled into the crate.
//!
//! It paints emoji-like drawings of some hundred things in three styles on plain backgrounds, and
//! simple scenes of shapes; `embedded/MODEL_CARD.md` says what it can do, how it was trained and
//! where its pictures come from.

use std::io::{Cursor, Read};

use hart_core::checkpoint::{Checkpoint, LoadOptions, join_planes};
use hart_core::config::{AutoencoderConfig, ConfigReader, TransformerConfig};
use hart_core::{Error, HartBackend, Precision, Result};

use crate::builder::batch_size;
use crate::defaults::ModelDefaults;
use crate::lazy::LazyModel;
use crate::model::{HartModel, ModelCheckpoints, ModelConfig};
use crate::pipeline::{HartPipeline, Parts};
use crate::text::{KnownWords, PromptTokenizer, Qwen2, TextEncoder, TextEncoderConfig};

/// A model's folder in the released layout, weights in 16 bits and their bytes in planes, as a zip
/// archive; the example `pack` makes it.
const ARCHIVE: &[u8] = include_bytes!("../embedded/model.zip");

/// Its name in the settings of pictures.
const NAME: &str = "embedded";

impl<B: HartBackend> HartPipeline<B> {
    /// The small model compiled into the crate (feature `embedded`, on by default), with its text
    /// encoder: nothing is read from a disk or fetched.
    ///
    /// ```
    /// use hart_pipeline::{HartPipeline, Request};
    /// # #[cfg(feature = "flex")] {
    /// let pipeline = HartPipeline::<burn::backend::Flex>::embedded(&Default::default())?;
    /// let images = pipeline.generate(&Request::new("a red heart, flat style").seed(7))?;
    /// assert_eq!(images[0].width(), 32);
    /// # }
    /// # Ok::<(), hart_pipeline::Error>(())
    /// ```
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Config`] or [`Error::Weights`] when the crate was built from
    /// a damaged archive.
    pub fn embedded(device: &B::Device) -> Result<Self> {
        Self::embedded_in(Precision::F32, device)
    }

    /// The same in another precision.
    ///
    /// # Errors
    /// As [`Self::embedded`], and [`Error::Invalid`] when the device does not support the precision.
    pub fn embedded_in(precision: Precision, device: &B::Device) -> Result<Self> {
        precision.check::<B>(device)?;
        let options = LoadOptions { precision, prepare: true };
        Archive::open(ARCHIVE)?.pipeline(options, device)
    }
}

/// The archive of a model.
struct Archive<'a>(zip::ZipArchive<Cursor<&'a [u8]>>);

impl<'a> Archive<'a> {
    fn open(bytes: &'a [u8]) -> Result<Self> {
        let archive = zip::ZipArchive::new(Cursor::new(bytes));
        Ok(Self(archive.map_err(|error| Error::malformed(NAME, error))?))
    }

    fn file(&mut self, name: &str) -> Result<Vec<u8>> {
        let path = format!("{NAME}/{name}");
        let file = self.0.by_name(name).map_err(|error| Error::malformed(&path, error))?;
        let mut bytes = Vec::with_capacity(usize::try_from(file.size()).unwrap_or(0));
        let mut file = file;
        file.read_to_end(&mut bytes).map_err(|error| Error::io(&path, error))?;
        Ok(bytes)
    }

    fn config(&mut self, name: &str) -> Result<ConfigReader> {
        ConfigReader::parse(format!("{NAME}/{name}"), &self.file(name)?)
    }

    fn weights(&mut self, name: &str) -> Result<Checkpoint> {
        let planes = self.file(&format!("{name}.planes"))?;
        Checkpoint::from_safetensors(format!("{NAME}/{name}"), join_planes(&planes))
    }

    fn pipeline<B: HartBackend>(
        mut self,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<HartPipeline<B>> {
        let defaults = ModelDefaults::read(&self.config("generation.json")?)?;
        let config = ModelConfig {
            transformer: TransformerConfig::read(&self.config("llm/config.json")?)?,
            autoencoder: AutoencoderConfig::read(&self.config("tokenizer/config.json")?)?,
        };
        let files = ModelCheckpoints {
            transformer: self.weights("llm/model.safetensors")?,
            tokenizer: self.weights("tokenizer/model.safetensors")?,
        };
        let model = HartModel::load(&config, &files, options, device)?;
        let encoder = self.text_encoder(&config, &defaults, options, device)?;
        let (device, precision) = (device.clone(), options.precision);
        let pictures = batch_size(&config.transformer, precision);
        let parts = Parts {
            model: LazyModel::loaded(config, model),
            text_encoder: encoder,
            name: NAME.to_string(),
            batch_size: pictures,
            strip_height: None,
            defaults,
        };
        Ok(HartPipeline::new(parts, precision, device))
    }

    fn text_encoder<B: HartBackend>(
        &mut self,
        config: &ModelConfig,
        defaults: &ModelDefaults,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<TextEncoder<B>> {
        let tokenizer = self.file("text/tokenizer.json")?;
        let tokenizer =
            PromptTokenizer::parse(&tokenizer, &self.file("text/tokenizer_config.json")?)?;
        let words = String::from_utf8(self.file("text/words.txt")?)
            .map_err(|error| Error::malformed(format!("{NAME}/text/words.txt"), error))?;
        let text = TextEncoderConfig::read(&self.config("text/config.json")?)?;
        let weights = self.weights("text/model.safetensors")?;
        let model = Qwen2::init(&text, device).load(&weights, options)?;
        let tokens = config.transformer.context_tokens;
        let encoder =
            TextEncoder::new(tokenizer, model, text.width, tokens, &defaults.system_prompt)?;
        Ok(encoder.with_known_words(KnownWords::parse(&words)))
    }
}
