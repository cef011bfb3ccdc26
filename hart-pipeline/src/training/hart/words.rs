//! A small text tokenizer learned from captions.

use std::collections::{BTreeMap, BTreeSet};
use std::io::ErrorKind;
use std::path::Path;

use hart_core::{Error, Result, write_atomically};
use serde::{Deserialize, Serialize};
use serde_json::{Map, Value, json};

use super::experiment::HartExperiment;
use super::spelling;
use crate::text::words::{SYNONYMS, WORDS, parse_synonyms, words};
use crate::text::{KnownWords, PromptTokenizer};
use crate::training::captions::CaptionGrammar;
use crate::training::data::Records;
use crate::training::experiment::refuse;
use crate::training::run::Snapshot;

/// The token that fills short prompts up.
const PAD: &str = "<|endoftext|>";
/// Tokens that every byte-level vocabulary has: the bytes, and the pad.
const LEAST: usize = 257;

/// Tokens of a vocabulary that is learned, when the experiment does not say.
const VOCABULARY: usize = 2048;
/// How many captions the grammar makes of each record for a vocabulary to be learned from.
const MADE: u64 = 4;
/// The file of a snapshot.
pub(super) const FILE: &str = "words.json";

/// Where captions come from.
pub(super) struct Texts<'a> {
    pub(super) train: &'a Records,
    pub(super) new: Option<&'a Records>,
    pub(super) grammar: Option<&'a CaptionGrammar>,
}

impl Texts<'_> {
    /// The captions that records have of their own.
    fn own(&self) -> impl Iterator<Item = &str> + Clone + Send {
        self.train.captions().chain(self.new.into_iter().flat_map(Records::captions))
    }

    /// Some captions that the grammar makes of each record.
    fn made(&self) -> impl Iterator<Item = String> {
        let records = self.train.iter().chain(self.new.into_iter().flat_map(Records::iter));
        self.grammar.into_iter().flat_map(move |grammar| {
            records.clone().enumerate().flat_map(move |(index, record)| {
                let caption = move |draw| grammar.caption(record, 0, [index as u64, draw]);
                (0..MADE).filter_map(caption)
            })
        })
    }

    /// All words of captions, but for those that are made up.
    fn words(&self) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = self.own().flat_map(words).collect();
        if let Some(grammar) = self.grammar {
            let records = self.train.iter().chain(self.new.into_iter().flat_map(Records::iter));
            found.extend(grammar.words(records));
        }
        found
    }
}

/// The text tokenizer: of the run that is continued, of the model that is started from, or learned
/// from the captions.
pub(super) fn begin(
    experiment: &HartExperiment,
    snapshot: Option<&Snapshot>,
    texts: &Texts<'_>,
) -> Result<TextFiles> {
    let files = match (snapshot, &experiment.data.start_from) {
        (Some(snapshot), _) => TextFiles::from_bytes(&snapshot.read(FILE)?)?,
        (None, Some(model)) => TextFiles::open(&model.join("text"))?.with_words(texts.words()),
        (None, None) => {
            let captions: Vec<String> =
                texts.own().map(str::to_string).chain(texts.made()).collect();
            TextFiles::learn(&captions, texts.words(), vocabulary(&experiment.text)?)?
        }
    };
    Ok(match texts.grammar {
        Some(grammar) => files.with_synonyms(grammar.synonyms()),
        None => files,
    })
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
    /// Words that are not among these, with those of them that are meant: `synonyms.json`.
    pub(super) synonyms: BTreeMap<String, String>,
}

/// The same as a file of a snapshot.
#[derive(Serialize, Deserialize)]
struct Saved {
    tokenizer: String,
    config: String,
    words: String,
    #[serde(default)]
    synonyms: BTreeMap<String, String>,
}

impl TextFiles {
    /// Byte-level BPE over captions in small letters, `vocabulary` tokens at most. Every word is
    /// spelled with a blank before it and without punctuation, so `cat`, `a cat` and `CAT!` have
    /// the same token.
    ///
    /// # Errors
    /// [`Error::Invalid`] for captions that nothing can be learned from.
    pub(super) fn learn(
        captions: &[String],
        words: BTreeSet<String>,
        vocabulary: usize,
    ) -> Result<Self> {
        let tokenizer = spelling::learn(captions, vocabulary, PAD)?;
        let config = json!({ "pad_token": PAD, "padding_side": "right" });
        let config = format!("{config:#}").into_bytes();
        Ok(Self { tokenizer, config, words: lines(words), synonyms: BTreeMap::new() })
    }

    /// The same files with more words: the vocabulary spells them, and training makes them known.
    pub(super) fn with_words(mut self, mut known: BTreeSet<String>) -> Self {
        known.extend(words(&self.words));
        self.words = lines(known);
        self
    }

    /// The same files with more synonyms, as far as they lead from words that are not known to some
    /// that are.
    fn with_synonyms(mut self, more: &BTreeMap<String, String>) -> Self {
        let known = KnownWords::parse(&self.words);
        let is_known = |text: &str| known.unknown(text).is_empty();
        self.synonyms.extend(more.clone());
        self.synonyms.retain(|word, meant| !is_known(word) && is_known(meant));
        self
    }

    /// Writes the files into a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written.
    pub(super) fn write(&self, folder: &Path) -> Result<()> {
        write_atomically(folder.join("tokenizer.json"), &self.tokenizer)?;
        write_atomically(folder.join("tokenizer_config.json"), &self.config)?;
        write_atomically(folder.join(WORDS), self.words.as_bytes())?;
        let path = folder.join(SYNONYMS);
        if !self.synonyms.is_empty() {
            let synonyms = format!("{:#}", json!(self.synonyms));
            return write_atomically(path, synonyms.as_bytes());
        }
        // Those of an earlier snapshot are not those of this one.
        match std::fs::remove_file(&path) {
            Err(error) if error.kind() != ErrorKind::NotFound => Err(Error::io(&path, error)),
            _ => Ok(()),
        }
    }

    /// Reads the files of a folder; words and synonyms may be missing.
    ///
    /// # Errors
    /// [`Error::Io`] when one of the others cannot be read, [`Error::Malformed`] for synonyms that
    /// are damaged.
    pub(super) fn open(folder: &Path) -> Result<Self> {
        let read = |name: &str| {
            let path = folder.join(name);
            std::fs::read(&path).map_err(|error| Error::io(&path, error))
        };
        Ok(Self {
            tokenizer: read("tokenizer.json")?,
            config: read("tokenizer_config.json")?,
            words: std::fs::read_to_string(folder.join(WORDS)).unwrap_or_default(),
            synonyms: match read(SYNONYMS) {
                Ok(bytes) => parse_synonyms(&folder.join(SYNONYMS), &bytes)?,
                Err(_) => BTreeMap::new(),
            },
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
            synonyms: self.synonyms.clone(),
        };
        serde_json::to_vec(&saved).map_err(|error| Error::malformed(FILE, error))
    }

    /// From the file of a snapshot.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is damaged.
    pub(super) fn from_bytes(bytes: &[u8]) -> Result<Self> {
        let saved = serde_json::from_slice(bytes);
        let Saved { tokenizer, config, words, synonyms } =
            saved.map_err(|error| Error::malformed(FILE, error))?;
        let [tokenizer, config] = [tokenizer, config].map(String::into_bytes);
        Ok(Self { tokenizer, config, words, synonyms })
    }
}

fn lines(words: BTreeSet<String>) -> String {
    words.into_iter().fold(String::new(), |text, word| text + &word + "\n")
}

#[cfg(test)]
mod tests {
    use super::TextFiles;

    #[test]
    fn a_word_has_the_same_token_wherever_it_stands() {
        let captions = ["a cat, flat style", "cat", "Draw a cat!", "a flat cat"].map(String::from);
        let files = TextFiles::learn(&captions, Default::default(), 300).expect("files");
        let tokenizer = files.tokenizer().expect("a tokenizer");
        let ids = |text: &str| tokenizer.ids(text).expect("ids");
        let cat = ids("cat");
        assert_eq!(cat.len(), 1);
        for same in ["CAT", " cat", "cat.", "(Cat)", "\"cat\"!", "\tcat\n"] {
            assert_eq!(ids(same), cat, "{same}");
        }
        assert_eq!(ids("a cat,flat style"), ids("A cat flat - Style."));
        assert_eq!(ids("a cat")[1..], cat);
        let refused = tokenizer.tokenize("?!", 4).expect_err("no word").to_string();
        assert!(refused.contains("`?!`"), "{refused}");
    }
}
