//! A small text tokenizer learned from captions.

use std::collections::BTreeSet;
use std::path::Path;

use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::{Lowercase, NFC, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

use super::experiment::HartExperiment;
use crate::text::PromptTokenizer;
use crate::text::words::words;
use crate::training::data::Records;
use crate::training::experiment::refuse;
use crate::training::run::Snapshot;

/// The token that fills short prompts up.
const PAD: &str = "<|endoftext|>";
/// Tokens that every byte-level vocabulary has: the bytes, and the pad.
const LEAST: usize = 257;

/// Tokens of a vocabulary that is learned, when the experiment does not say.
const VOCABULARY: usize = 2048;
/// The file of a snapshot.
pub(super) const FILE: &str = "words.json";

/// The text tokenizer: of the run that is continued, of the model that is started from, or learned
/// from the captions.
pub(super) fn begin(
    experiment: &HartExperiment,
    snapshot: Option<&Snapshot>,
    train: &Records,
    new: Option<&Records>,
) -> Result<TextFiles> {
    let captions = train.captions().chain(new.into_iter().flat_map(Records::captions));
    match (snapshot, &experiment.data.start_from) {
        (Some(snapshot), _) => TextFiles::from_bytes(&snapshot.read(FILE)?),
        (None, Some(model)) => Ok(TextFiles::open(&model.join("text"))?.with_captions(captions)),
        (None, None) => TextFiles::learn(captions, vocabulary(&experiment.text)?),
    }
}

/// The tokens of a vocabulary that is to be learned.
///
/// # Errors
/// [`Error::Config`] when they are too few for all bytes.
pub(super) fn vocabulary(text: &Map<String, Value>) -> Result<usize> {
    let Some(value) = text.get("vocab_size") else { return Ok(VOCABULARY) };
    let count = value.as_u64().and_then(|count| usize::try_from(count).ok());
    let expected = format!("a number above {LEAST}, the bytes and the pad token");
    count
        .filter(|count| *count > LEAST)
        .ok_or_else(|| refuse("text", "vocab_size", value, expected))
}

/// The files of a text tokenizer.
#[derive(Debug, Clone)]
pub(super) struct TextFiles {
    /// The content of `tokenizer.json`.
    pub(super) tokenizer: Vec<u8>,
    /// The content of `tokenizer_config.json`.
    pub(super) config: Vec<u8>,
    /// The content of `words.txt`: all words of the captions, a line each.
    pub(super) words: String,
}

/// The same as a file of a snapshot.
#[derive(Serialize, Deserialize)]
struct Saved {
    tokenizer: String,
    config: String,
    words: String,
}

impl TextFiles {
    /// Byte-level BPE over captions in small letters, `vocabulary` tokens at most; the layout is
    /// that of Qwen2.
    ///
    /// # Errors
    /// [`Error::Invalid`] for captions that nothing can be learned from.
    pub(super) fn learn<'a>(
        captions: impl Iterator<Item = &'a str> + Clone + Send,
        vocabulary: usize,
    ) -> Result<Self> {
        let failed = |error: tokenizers::Error| {
            Error::invalid("the captions", error, "text that a tokenizer can be learned from")
        };
        let mut trainer = BpeTrainer::builder()
            .vocab_size(vocabulary)
            .min_frequency(2)
            .special_tokens(vec![AddedToken::from(PAD, true)])
            .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
            .show_progress(false)
            .build();
        let bytes = ByteLevel::new(false, true, true);
        let mut tokenizer = TokenizerBuilder::new()
            .with_model(BPE::default())
            .with_normalizer(Some(Sequence::new(vec![NFC.into(), Lowercase.into()])))
            .with_pre_tokenizer(Some(bytes))
            .with_post_processor(Some(ByteLevel::new(false, false, true)))
            .with_decoder(Some(bytes))
            .build()
            .map_err(failed)?;
        let texts = captions.clone().map(str::to_string);
        tokenizer.train(&mut trainer, texts).map_err(failed)?;
        let tokenizer = tokenizer.to_string(false).map_err(failed)?.into_bytes();
        let config = json!({ "pad_token": PAD, "padding_side": "right" });
        let words: BTreeSet<String> = captions.flat_map(words).collect();
        Ok(Self { tokenizer, config: format!("{config:#}").into_bytes(), words: lines(words) })
    }

    /// The same files with the words of more captions: the vocabulary spells them, and training
    /// makes them known.
    pub(super) fn with_captions<'a>(mut self, captions: impl Iterator<Item = &'a str>) -> Self {
        let mut known: BTreeSet<String> = words(&self.words).collect();
        known.extend(captions.flat_map(words));
        self.words = lines(known);
        self
    }

    /// Reads the files of a folder; words may be missing.
    ///
    /// # Errors
    /// [`Error::Io`] when one of the others cannot be read.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|error| Error::io(&path, error))
        };
        Ok(Self {
            tokenizer: read("tokenizer.json")?,
            config: read("tokenizer_config.json")?,
            words: std::fs::read_to_string(folder.join("words.txt")).unwrap_or_default(),
        })
    }

    /// The tokenizer.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Config`] when the files are damaged.
    pub(super) fn tokenizer(&self) -> Result<PromptTokenizer> {
        PromptTokenizer::parse(&self.tokenizer, &self.config)
    }

    /// As the file [`FILE`] of a snapshot.
    ///
    /// # Errors
    /// [`Error::Malformed`] when they are not text.
    pub(super) fn to_bytes(&self) -> Result<Vec<u8>> {
        let text = |name: &str, bytes: &[u8]| {
            String::from_utf8(bytes.to_vec()).map_err(|error| Error::malformed(name, error))
        };
        let saved = Saved {
            tokenizer: text("tokenizer.json", &self.tokenizer)?,
            config: text("tokenizer_config.json", &self.config)?,
            words: self.words.clone(),
        };
        serde_json::to_vec(&saved).map_err(|error| Error::malformed(FILE, error))
    }

    /// From the file of a snapshot.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is damaged.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let saved = serde_json::from_slice(bytes);
        let Saved { tokenizer, config, words } =
            saved.map_err(|error| Error::malformed(FILE, error))?;
        Ok(Self { tokenizer: tokenizer.into_bytes(), config: config.into_bytes(), words })
    }
}

fn lines(words: BTreeSet<String>) -> String {
    words.into_iter().fold(String::new(), |text, word| text + &word + "\n")
}
