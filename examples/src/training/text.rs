//! A small text tokenizer learned from captions.

use std::collections::BTreeSet;
use std::path::Path;

use anyhow::{Context, anyhow, ensure};
use hart_pipeline::text::PromptTokenizer;
use hart_pipeline::text::words::words;
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::{Lowercase, NFC, Sequence};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::{AddedToken, TokenizerBuilder};

/// The token that fills short prompts up.
const PAD: &str = "<|endoftext|>";
/// Tokens that every byte-level vocabulary has: the bytes, and the pad.
const LEAST: usize = 257;

/// The files of a text tokenizer.
#[derive(Debug, Clone)]
pub struct TextFiles {
    /// The content of `tokenizer.json`.
    pub tokenizer: Vec<u8>,
    /// The content of `tokenizer_config.json`.
    pub config: Vec<u8>,
    /// The content of `words.txt`: all words of the captions, a line each.
    pub words: String,
}

impl TextFiles {
    /// Byte-level BPE over captions in small letters, `vocabulary` tokens at most; the layout is
    /// that of Qwen2.
    ///
    /// # Errors
    /// When the vocabulary is too small for all bytes.
    pub fn learn<'a>(
        captions: impl Iterator<Item = &'a str> + Clone + Send,
        vocabulary: usize,
    ) -> anyhow::Result<Self> {
        ensure!(vocabulary > LEAST, "`vocab_size` is {vocabulary}, expected more than {LEAST}");
        let failed = |error: tokenizers::Error| anyhow!("cannot learn a tokenizer: {error}");
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
        Ok(Self { tokenizer, config: serde_json::to_vec_pretty(&config)?, words: lines(words) })
    }

    /// The same files with the words of more captions: the vocabulary spells them, and training
    /// makes them known.
    pub fn with_captions<'a>(mut self, captions: impl Iterator<Item = &'a str>) -> Self {
        let mut known: BTreeSet<String> = words(&self.words).collect();
        known.extend(captions.flat_map(words));
        self.words = lines(known);
        self
    }

    /// Reads the files of a folder; words may be missing.
    ///
    /// # Errors
    /// When one of the others cannot be read.
    pub fn open(folder: &Path) -> anyhow::Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
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
    /// When the files are damaged.
    pub fn tokenizer(&self) -> anyhow::Result<PromptTokenizer> {
        Ok(PromptTokenizer::parse(&self.tokenizer, &self.config)?)
    }

    /// As a file of a snapshot.
    ///
    /// # Errors
    /// When they are not text.
    pub fn to_bytes(&self) -> anyhow::Result<Vec<u8>> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec());
        let value = json!({
            "tokenizer": text(&self.tokenizer)?,
            "config": text(&self.config)?,
            "words": self.words,
        });
        Ok(serde_json::to_vec(&value)?)
    }

    /// From a file of a snapshot.
    ///
    /// # Errors
    /// When it is damaged.
    pub fn from_bytes(bytes: &[u8]) -> anyhow::Result<Self> {
        let value: Value = serde_json::from_slice(bytes).context("a damaged snapshot")?;
        let text = |key: &str| -> anyhow::Result<String> {
            Ok(value[key].as_str().context("a damaged snapshot")?.to_string())
        };
        Ok(Self {
            tokenizer: text("tokenizer")?.into_bytes(),
            config: text("config")?.into_bytes(),
            words: text("words")?,
        })
    }
}

fn lines(words: BTreeSet<String>) -> String {
    words.into_iter().fold(String::new(), |text, word| text + &word + "\n")
}
