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

    /// The words of a prompt that are not among them, and its symbols, which a list of words has
    /// none of: each once, in their order.
    pub fn unknown(&self, prompt: &str) -> Vec<String> {
        let mut seen = HashSet::new();
        let unknown = parts(prompt).filter(|part| !self.0.contains(part));
        unknown.filter(|part| seen.insert(part.clone())).collect()
    }
}

/// The words of a text in small letters: runs of letters and digits.
pub fn words(text: &str) -> impl Iterator<Item = String> + '_ {
    parts(text).filter(|part| part.starts_with(char::is_alphanumeric))
}

/// What a character does in a text.
#[derive(Clone, Copy, PartialEq, Eq)]
enum Kind {
    /// A letter or a digit.
    Word,
    /// Something that means something: an emoji, `&`, `+`.
    Symbol,
    /// It changes the character before it: an accent, the colour of an emoji.
    Mark,
    /// A blank or punctuation.
    Between,
}

impl Kind {
    fn of(character: char) -> Self {
        match character {
            _ if character.is_alphanumeric() => Self::Word,
            // Accents; the joiner and the variants of emoji, and the colours of their skin.
            '\u{300}'..='\u{36f}' | '\u{200d}' | '\u{fe00}'..='\u{fe0f}' => Self::Mark,
            '\u{1f3fb}'..='\u{1f3ff}' => Self::Mark,
            '#' | '$' | '%' | '&' | '*' | '+' | '<' | '=' | '>' | '@' | '\\' | '^' | '|' | '~' => {
                Self::Symbol
            }
            // Punctuation that is not ASCII: ¡ « · » ¿, dashes and quotes, 、 。 「 」.
            '\u{a1}' | '\u{ab}' | '\u{b7}' | '\u{bb}' | '\u{bf}' => Self::Between,
            '\u{2000}'..='\u{206f}' | '\u{3000}'..='\u{303f}' => Self::Between,
            _ if character.is_ascii() || character.is_whitespace() || character.is_control() => {
                Self::Between
            }
            _ => Self::Symbol,
        }
    }
}

/// Words in small letters, and symbols each with its marks.
fn parts(text: &str) -> impl Iterator<Item = String> + '_ {
    let mut rest = text;
    std::iter::from_fn(move || {
        rest = rest.trim_start_matches(|c| matches!(Kind::of(c), Kind::Between | Kind::Mark));
        let first = Kind::of(rest.chars().next()?);
        // What joins two emoji makes one of them.
        let mut is_joined = false;
        let goes_on = |(i, c): &(usize, char)| {
            let kind = Kind::of(*c);
            let goes_on = *i == 0
                || kind == Kind::Mark
                || kind == first && (first == Kind::Word || is_joined);
            is_joined = *c == '\u{200d}';
            goes_on
        };
        let length: usize =
            rest.char_indices().take_while(goes_on).map(|(_, c)| c.len_utf8()).sum();
        let (part, after) = rest.split_at(length);
        rest = after;
        Some(part.to_lowercase())
    })
}

#[cfg(test)]
mod tests {
    use super::{KnownWords, words};

    #[test]
    fn only_words_that_were_never_seen_are_unknown() {
        let known = KnownWords::parse("a\nred\nheart\n3d\nstyle\n");
        assert!(known.unknown("A red HEART, 3D style!").is_empty());
        assert_eq!(known.unknown("a baroque heart; baroque, gilded"), ["baroque", "gilded"]);
    }

    #[test]
    fn symbols_are_unknown_and_punctuation_is_not() {
        let known = KnownWords::parse("a\ncat\nand\ndog\n");
        assert!(known.unknown("«A cat» – and, “a” (dog)… ¿a_cat/dog?").is_empty());
        assert_eq!(known.unknown("cat & dog + 🐱🐱🐶"), ["&", "+", "🐱", "🐶"]);
        // An astronaut is a woman and a rocket, joined; the skin belongs to the hand.
        assert_eq!(known.unknown("a 👩‍🚀👍🏽 ❤️ cat"), ["👩‍🚀", "👍🏽", "❤️"]);
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let found: Vec<String> = words("  A cat's 3D  ＆ cafe\u{301} 🐱").collect();
        assert_eq!(found, ["a", "cat", "s", "3d", "cafe\u{301}"]);
    }
}
