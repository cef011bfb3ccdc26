//! The words a small model knows.

use std::collections::HashSet;
use std::path::Path;

use hart_core::{Error, Result};

/// The largest list that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;

/// All words a model was trained with: `words.txt` in its text encoder's folder, a line each.
///
/// A byte-level tokenizer can spell any word, but a small model understands only those it has
/// seen. The others are reported to whoever asked for an image.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownWords(HashSet<String>);

impl KnownWords {
    /// Reads `words.txt` of a folder; `None` when there is none, as for the released text encoder.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Option<Self>> {
        let path = folder.as_ref().join("words.txt");
        let Ok(about) = std::fs::metadata(&path) else { return Ok(None) };
        if about.len() > MAX_FILE {
            let problem = format!("{} bytes, expected at most 16 MiB", about.len());
            return Err(Error::malformed(&path, problem));
        }
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        let text = String::from_utf8(bytes).map_err(|error| Error::malformed(&path, error))?;
        Ok(Some(Self::parse(&text)))
    }

    /// From the content of the file.
    pub fn parse(text: &str) -> Self {
        Self(words(text).collect())
    }

    /// The same words, and those of a text.
    pub fn with(mut self, text: &str) -> Self {
        self.0.extend(words(text));
        self
    }

    /// The words of a prompt that are not among them, each once, in their order.
    pub fn unknown(&self, prompt: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        let unknown = words(prompt).filter(|word| !self.0.contains(word));
        unknown.filter(|word| seen.insert(word.clone())).collect()
    }
}

/// The words of a text in small letters: runs of letters and digits.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    let parts = text.split(|letter: char| !letter.is_alphanumeric());
    parts.filter(|word| !word.is_empty()).map(str::to_lowercase)
}

#[cfg(test)]
mod tests {
    use super::KnownWords;

    #[test]
    fn only_words_that_were_never_seen_are_unknown() {
        let known = KnownWords::parse("a\nred\nheart\n3d\nstyle\n");
        assert!(known.unknown("A red HEART, 3D style!").is_empty());
        assert_eq!(known.unknown("a baroque heart; baroque, gilded"), ["baroque", "gilded"]);
    }
}
