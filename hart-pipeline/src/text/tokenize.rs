//! Text to exactly T tokens.

use std::path::Path;

use hart_core::config::ConfigReader;
use hart_core::{Error, Result};
use tokenizers::Tokenizer;

use super::tokenizer_file::{self, PaddingSide};

/// Bytes of text looked at for each token of the context, far more than tokens have: what lies
/// beyond cannot reach the context.
const BYTES_PER_TOKEN: usize = 256;

/// A tokenizer with its padding.
#[derive(Debug, Clone)]
pub struct PromptTokenizer {
    tokenizer: Tokenizer,
    pad: u32,
    side: PaddingSide,
}

/// A prompt as T tokens.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct TokenizedPrompt {
    /// T token ids.
    pub tokens: Vec<u32>,
    /// For each token whether it is not padding.
    pub mask: Vec<bool>,
    /// The running count of tokens that are not padding, less one: -1 on pads at the front.
    pub positions: Vec<i64>,
    /// Tokens the prompt had before it was cut; of an enormous prompt only the beginning is
    /// counted.
    pub length: usize,
}

impl PromptTokenizer {
    /// Reads `tokenizer.json`, and the pad token and padding side from `tokenizer_config.json`
    /// (`<|endoftext|>` and right when absent).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`] or [`Error::Config`], each naming the file.
    pub fn open(folder: impl AsRef<Path>, side: Option<PaddingSide>) -> Result<Self> {
        let folder = folder.as_ref();
        let tokenizer = tokenizer_file::open(folder)?;
        let (pad, configured_side) = tokenizer_file::padding(folder)?;
        let side = side.unwrap_or(configured_side);
        Self::new(tokenizer, &pad, side, &folder.join("tokenizer.json"))
    }

    /// Reads the contents of `tokenizer.json` and `tokenizer_config.json`.
    ///
    /// # Errors
    /// [`Error::Malformed`] or [`Error::Config`].
    pub fn parse(tokenizer: &[u8], config: &[u8]) -> Result<Self> {
        let path = Path::new("tokenizer.json");
        let tokenizer = tokenizer_file::parse(path, tokenizer.to_vec())?;
        let config = ConfigReader::parse("tokenizer_config.json", config)?;
        let (pad, side) = tokenizer_file::parse_padding(&config)?;
        Self::new(tokenizer, &pad, side, path)
    }

    fn new(tokenizer: Tokenizer, pad: &str, side: PaddingSide, path: &Path) -> Result<Self> {
        let pad = tokenizer.token_to_id(pad).ok_or_else(|| {
            let problem = format!("the pad token `{pad}` is not in its vocabulary");
            Error::malformed(path, problem)
        })?;
        Ok(Self { tokenizer, pad, side })
    }

    /// One more than the largest token id.
    pub fn vocabulary(&self) -> usize {
        let ids = self.tokenizer.get_vocab(true).into_values();
        ids.max().map_or(0, |id| id as usize + 1)
    }

    /// The side that is padded.
    pub fn padding_side(&self) -> PaddingSide {
        self.side
    }

    /// The ids of a text, neither padded nor cut.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the tokenizer fails on it.
    pub fn ids(&self, text: &str) -> Result<Vec<u32>> {
        let encoding = self.tokenizer.encode_fast(text, true);
        let encoding = encoding
            .map_err(|error| Error::invalid("the prompt", error, "text that can be tokenized"))?;
        Ok(encoding.get_ids().to_vec())
    }

    /// The text of ids.
    ///
    /// # Errors
    /// [`Error::Invalid`] when an id is unknown to the tokenizer's decoder.
    pub fn text(&self, ids: &[u32]) -> Result<String> {
        let text = self.tokenizer.decode(ids, false);
        text.map_err(|error| Error::invalid("the tokens", error, "ids of the vocabulary"))
    }

    /// The ids of the system prompt, cut to the first `length`.
    ///
    /// # Errors
    /// As [`Self::ids`].
    pub fn system_ids(&self, text: &str, length: usize) -> Result<Vec<u32>> {
        let mut ids = self.ids(reachable(text, length))?;
        ids.truncate(length);
        Ok(ids)
    }

    /// A prompt as exactly `length` tokens: its first ones, padded when there are fewer. Line ends
    /// and runs of blanks count as one blank, those around the prompt as none: how somebody typed
    /// or stored it makes no difference.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a prompt without any visible character or any token, or when the
    /// tokenizer fails.
    pub fn tokenize(&self, prompt: &str, length: usize) -> Result<TokenizedPrompt> {
        let prompt = single_blanks(prompt);
        if prompt.is_empty() {
            return Err(Error::invalid("the prompt", "empty", "some text"));
        }
        let mut tokens = self.ids(reachable(&prompt, length))?;
        if tokens.is_empty() {
            return Err(Error::invalid("the prompt", format!("`{prompt}`"), "a word or more"));
        }
        let count = tokens.len();
        tokens.truncate(length);
        let pads = std::iter::repeat_n(self.pad, length - tokens.len());
        let tokens: Vec<u32> = match self.side {
            PaddingSide::Right => tokens.into_iter().chain(pads).collect(),
            PaddingSide::Left => pads.chain(tokens).collect(),
        };
        let mask: Vec<bool> = tokens.iter().map(|&token| token != self.pad).collect();
        let positions = mask.iter().scan(-1, |position, &valid| {
            *position += i64::from(valid);
            Some(*position)
        });
        Ok(TokenizedPrompt { positions: positions.collect(), mask, tokens, length: count })
    }
}

/// The words of a text with one blank between them.
fn single_blanks(text: &str) -> String {
    text.split_whitespace().collect::<Vec<_>>().join(" ")
}

/// The beginning of a text that can reach a context of `length` tokens.
fn reachable(text: &str, length: usize) -> &str {
    let mut end = text.len().min(length.saturating_mul(BYTES_PER_TOKEN).max(1 << 16));
    while !text.is_char_boundary(end) {
        end -= 1;
    }
    &text[..end]
}
