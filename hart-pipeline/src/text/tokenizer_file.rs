//! Reading `tokenizer.json` and `tokenizer_config.json`.

use std::collections::HashMap;
use std::path::Path;
use std::str::FromStr;

use hart_core::config::ConfigReader;
use hart_core::{Error, Result, stand_in};
use serde::Deserialize;
use tokenizers::Tokenizer;

/// Which side of a short prompt is filled up.
///
/// It changes the image: padded tokens are attended to, and the first scale is read from the last
/// position.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum PaddingSide {
    /// Pads come before the prompt.
    Left,
    /// Pads come after the prompt.
    Right,
}

impl PaddingSide {
    /// The name used on command lines and in image settings: `left` or `right`.
    pub fn name(self) -> &'static str {
        match self {
            Self::Left => "left",
            Self::Right => "right",
        }
    }
}

impl FromStr for PaddingSide {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        let sides = [Self::Left, Self::Right].into_iter();
        sides
            .into_iter()
            .find(|side| side.name() == name)
            .ok_or_else(|| Error::invalid("the padding side", format!("`{name}`"), "left or right"))
    }
}

/// The largest `tokenizer.json` that is read, in bytes.
const MAX_FILE: u64 = 64 << 20;

/// What Qwen2's tokenizer is made of: byte-level BPE over composed characters, here perhaps small
/// ones. Anything else is refused, since parts of other kinds panic on settings that do not fit each other.
const KINDS: [&str; 6] = ["BPE", "ByteLevel", "Lowercase", "NFC", "Sequence", "Split"];

/// The layout of `tokenizer.json`, as far as it is checked before it is used.
#[derive(Deserialize)]
struct Layout {
    model: Model,
    normalizer: Option<Part>,
    pre_tokenizer: Option<Part>,
    post_processor: Option<Part>,
    decoder: Option<Part>,
}

#[derive(Deserialize)]
struct Model {
    #[serde(rename = "type")]
    kind: String,
    continuing_subword_prefix: Option<String>,
    #[serde(default)]
    vocab: HashMap<String, u32>,
    #[serde(default)]
    merges: Vec<Merge>,
}

/// Two tokens that become one, as a pair or with a blank between them.
#[derive(Deserialize)]
#[serde(untagged)]
enum Merge {
    Pair(String, String),
    Text(String),
}

#[derive(Deserialize)]
struct Part {
    #[serde(rename = "type")]
    kind: String,
    // The parts of a sequence, under the name that its place gives them.
    #[serde(default, alias = "pretokenizers", alias = "processors", alias = "decoders")]
    normalizers: Vec<Part>,
}

impl Layout {
    fn check(&self) -> Result<(), String> {
        self.model.check()?;
        let rest = [&self.normalizer, &self.pre_tokenizer, &self.post_processor, &self.decoder];
        rest.into_iter().flatten().try_for_each(Part::check)
    }
}

impl Model {
    fn check(&self) -> Result<(), String> {
        check_kind(&self.kind)?;
        if self.continuing_subword_prefix.as_ref().is_some_and(|prefix| !prefix.is_empty()) {
            return Err("a prefix for continued words, expected none".to_string());
        }
        for merge in &self.merges {
            let merged = match merge {
                Merge::Pair(first, second) => format!("{first}{second}"),
                Merge::Text(text) => text.replacen(' ', "", 1),
            };
            if !self.vocab.contains_key(&merged) {
                return Err(format!("`{merged}` is merged and not in the vocabulary"));
            }
        }
        Ok(())
    }
}

fn check_kind(kind: &str) -> Result<(), String> {
    if KINDS.contains(&kind) {
        return Ok(());
    }
    Err(format!("a part of type `{kind}`, expected {}", KINDS.join(", ")))
}

impl Part {
    fn check(&self) -> Result<(), String> {
        check_kind(&self.kind)?;
        self.normalizers.iter().try_for_each(Part::check)
    }
}

/// Reads `tokenizer.json`. What it says about cutting and padding is dropped: a caller says that.
///
/// # Errors
/// [`Error::Io`] or [`Error::Malformed`], each naming the file.
pub(super) fn open(folder: &Path) -> Result<Tokenizer> {
    let path = folder.join("tokenizer.json");
    let length = std::fs::metadata(&path).map_err(|e| Error::io(&path, e))?.len();
    if length > MAX_FILE {
        return Err(Error::malformed(&path, format!("{length} bytes, expected at most 64 MiB")));
    }
    let bytes = std::fs::read(&path).map_err(|e| Error::io(&path, e))?;
    parse(&path, bytes)
}

/// As [`open`], from the content of the file `path`.
pub(super) fn parse(path: &Path, bytes: Vec<u8>) -> Result<Tokenizer> {
    let stand_in = stand_in(&bytes);
    let unusable = |problem: String| {
        let problem = format!("not a tokenizer of a Qwen2 model: {problem}");
        Error::malformed(path, stand_in.clone().unwrap_or(problem))
    };
    let layout: Layout = serde_json::from_slice(&bytes).map_err(|e| unusable(e.to_string()))?;
    layout.check().map_err(unusable)?;
    let mut tokenizer = Tokenizer::from_bytes(bytes).map_err(|e| unusable(e.to_string()))?;
    tokenizer.with_truncation(None).map_err(|e| unusable(e.to_string()))?;
    tokenizer.with_padding(None);
    Ok(tokenizer)
}

/// The pad token and the padding side of `tokenizer_config.json`, `<|endoftext|>` and right when
/// it does not say.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`] or [`Error::Config`], each naming the file.
pub(super) fn padding(folder: &Path) -> Result<(String, PaddingSide)> {
    let path = folder.join("tokenizer_config.json");
    if !path.exists() {
        return Ok(("<|endoftext|>".to_string(), PaddingSide::Right));
    }
    parse_padding(&ConfigReader::open(path)?)
}

/// As [`padding`], from an open file.
pub(super) fn parse_padding(file: &ConfigReader) -> Result<(String, PaddingSide)> {
    let pad = match file.value("pad_token").and_then(|pad| pad.get("content")) {
        Some(content) => content.as_str().map(str::to_string),
        None => Some(file.text("pad_token", "<|endoftext|>")?),
    };
    let pad = pad.ok_or_else(|| file.refuse("pad_token", "a string"))?;
    let sides = [("right", PaddingSide::Right), ("left", PaddingSide::Left)];
    Ok((pad, file.choice("padding_side", "right", &sides)?))
}
