//! A model as one small file: the released layout as a zip archive, its weights in 16 bits. The
//! model compiled into the crate is one, and the example `pack` makes them.

#[cfg(feature = "fs")]
mod pack;
mod planes;
#[cfg(feature = "fs")]
mod unpack;

use std::io::{Cursor, Read};
use std::path::{Path, PathBuf};

use hart_ar::TransformerConfig;
use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::config::ConfigReader;
use hart_core::{Error, HartBackend, Result, stand_in};
use hart_diffusion::ResidualHeadConfig;
use hart_tokenizer::AutoencoderConfig;

use crate::defaults::ModelDefaults;
use crate::model::{HartModel, ModelCheckpoints, ModelConfig, TransformerWeights};
use crate::pipeline::{HartPipeline, PipelineParts};
use crate::text::words::{SYNONYMS, WORDS, parse_synonyms};
use crate::text::{KnownWords, PromptTokenizer, Qwen2, TextEncoder, TextEncoderConfig};

#[cfg(feature = "fs")]
pub use pack::{FRACTION_BITS, pack};
use planes::join_planes;
#[cfg(feature = "fs")]
pub use unpack::{Existing, unpack};

/// The most bytes of a file in an archive.
const MAX_FILE: u64 = 1 << 30;

/// An archive that was opened.
pub(crate) struct Archive<'a> {
    name: &'a str,
    files: zip::ZipArchive<Cursor<&'a [u8]>>,
}

impl<'a> Archive<'a> {
    /// Opens an archive that errors call `name`.
    pub(crate) fn open(name: &'a str, bytes: &'a [u8]) -> Result<Self> {
        Ok(Self { name, files: open(Path::new(name), bytes)? })
    }

    fn file(&mut self, file: &str) -> Result<Vec<u8>> {
        let path = format!("{}/{file}", self.name);
        let file = self.files.by_name(file).map_err(|error| Error::malformed(&path, error))?;
        content(file, Path::new(&path))
    }

    fn config(&mut self, file: &str) -> Result<ConfigReader> {
        ConfigReader::parse(format!("{}/{file}", self.name), &self.file(file)?)
    }

    fn weights(&mut self, file: &str) -> Result<Checkpoint> {
        let planes = self.file(&format!("{file}.planes"))?;
        Checkpoint::from_safetensors(format!("{}/{file}", self.name), join_planes(&planes))
    }

    /// The parts of a pipeline.
    pub(crate) fn parts<B: HartBackend>(
        mut self,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<PipelineParts<B>> {
        let defaults = ModelDefaults::read(&self.config("generation.json")?)?;
        let transformer = self.config("llm/config.json")?;
        let config = ModelConfig::new(
            TransformerConfig::read(&transformer)?,
            ResidualHeadConfig::read(&transformer)?,
            AutoencoderConfig::read(&self.config("tokenizer/config.json")?)?,
        )?;
        let files = ModelCheckpoints {
            transformer: self.weights("llm/model.safetensors")?,
            tokenizer: self.weights("tokenizer/model.safetensors")?,
            weights: TransformerWeights::Ema,
        };
        let model = HartModel::load(&config, &files, options, device)?;
        let encoder = self.text_encoder(&config, &defaults, options, device)?;
        Ok(PipelineParts {
            name: self.name.to_string(),
            defaults,
            precision: options.precision,
            ..PipelineParts::new(model, encoder)
        })
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
        let text = TextEncoderConfig::read(&self.config("text/config.json")?)?;
        let weights = self.weights("text/model.safetensors")?;
        let model = Qwen2::init(&text, device).load(&weights, options)?;
        let tokens = config.transformer.context_tokens;
        let encoder = TextEncoder::new(tokenizer, model, tokens, &defaults.system_prompt)?;
        Ok(encoder.with_known_words(self.known_words()?))
    }

    /// The words that the model knows.
    pub(crate) fn known_words(&mut self) -> Result<KnownWords> {
        let [words, synonyms] = [WORDS, SYNONYMS].map(|name| format!("text/{name}"));
        let path = |file: &str| PathBuf::from(format!("{}/{file}", self.name));
        let (path, other) = (path(&words), path(&synonyms));
        let known = KnownWords::from_bytes(&path, self.file(&words)?)?;
        if self.files.index_for_name(&synonyms).is_none() {
            return Ok(known);
        }
        known.with_synonyms(parse_synonyms(&other, &self.file(&synonyms)?)?, &other)
    }
}

/// Opens an archive that errors call `path`.
fn open<'a>(path: &Path, bytes: &'a [u8]) -> Result<zip::ZipArchive<Cursor<&'a [u8]>>> {
    zip::ZipArchive::new(Cursor::new(bytes)).map_err(|error| {
        let problem = stand_in(bytes);
        Error::malformed(path, problem.unwrap_or_else(|| format!("not an archive: {error}")))
    })
}

/// The whole content of a file of an archive, which errors call `path`.
fn content<R: Read>(file: zip::read::ZipFile<'_, R>, path: &Path) -> Result<Vec<u8>> {
    let mut bytes = vec![];
    let read = file.take(MAX_FILE + 1).read_to_end(&mut bytes);
    read.map_err(|error| Error::malformed(path, format!("damaged: {error}")))?;
    if bytes.len() as u64 > MAX_FILE {
        return Err(Error::malformed(path, "larger than 1 GiB, the most that is read"));
    }
    Ok(bytes)
}

impl<B: HartBackend> HartPipeline<B> {
    /// A pipeline of the model in an archive ([`pack`]), whose bytes are in memory; `name` is what
    /// images call it.
    ///
    /// # Errors
    /// [`Error::Malformed`], [`Error::Config`] or [`Error::Weights`] when the archive is damaged,
    /// [`Error::Invalid`] when the device does not compute in the precision.
    pub fn from_archive(
        name: &str,
        bytes: &[u8],
        precision: hart_core::Precision,
        device: &B::Device,
    ) -> Result<Self> {
        B::check_precision(precision, device)?;
        let options = LoadOptions { precision, prepare: true };
        Self::from_parts(Archive::open(name, bytes)?.parts(options, device)?, device)
    }
}
