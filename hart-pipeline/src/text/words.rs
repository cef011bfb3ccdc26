//! The words a small model knows.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::fmt;
use std::path::Path;

use hart_core::{Error, Result};
use strsim::{jaro_winkler, osa_distance};

/// The file of the words, and that of others with what stands for them.
pub(crate) const WORDS: &str = "words.txt";
pub(crate) const SYNONYMS: &str = "synonyms.json";
/// The largest file that is read, in bytes.
const MAX_FILE: u64 = 16 << 20;
/// Letters of a word for each that may be wrong; words with fewer are like any other.
const LETTERS: usize = 3;
/// The most that may be wrong.
const MOST: usize = 3;
/// The longest word that is looked up, in letters.
const LONGEST: usize = 40;

/// All words a model was trained with: `words.txt` in its text encoder's folder, a line each.
///
/// A byte-level tokenizer can spell any word, but a small model understands only those it has
/// seen. The others are reported to whoever asked for an image, each with a known one that may be
/// meant. A model can bring a list for that, `synonyms.json` beside `words.txt`: an object whose
/// keys are words it does not know, and whose values are what to say instead, such as
/// `{"feline": "cat"}`. What the list has not is looked up by its spelling.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct KnownWords {
    words: BTreeSet<String>,
    synonyms: BTreeMap<String, String>,
}

/// A word of a prompt that the model has never seen, or a symbol. Its text says both its fields.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct UnknownWord {
    /// The word, in small letters.
    pub word: String,
    /// The known word, or words, that are nearest to it, if any are near.
    pub nearest: Option<String>,
}

impl fmt::Display for UnknownWord {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match &self.nearest {
            Some(nearest) => write!(f, "`{}` (try `{nearest}`)", self.word),
            None => write!(f, "`{}`", self.word),
        }
    }
}

impl KnownWords {
    /// Reads `words.txt` of a folder, and `synonyms.json` if it is there; `None` when there is no
    /// list of words, as for the released text encoder.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`] or [`Error::Config`].
    pub fn open(folder: impl AsRef<Path>) -> Result<Option<Self>> {
        let [words, synonyms] = [WORDS, SYNONYMS].map(|name| folder.as_ref().join(name));
        let Some(bytes) = read(&words)? else { return Ok(None) };
        let known = Self::from_bytes(&words, bytes)?;
        match read(&synonyms)? {
            Some(bytes) => known.with_synonyms(parse_synonyms(&synonyms, &bytes)?, &synonyms),
            None => Ok(known),
        }
        .map(Some)
    }

    /// From the content of `words.txt`, which errors call `path`.
    pub(crate) fn from_bytes(path: &Path, bytes: Vec<u8>) -> Result<Self> {
        let text = String::from_utf8(bytes).map_err(|error| Error::malformed(path, error))?;
        Ok(Self::parse(&text))
    }

    /// From the content of `words.txt`.
    pub fn parse(text: &str) -> Self {
        Self { words: words(text).collect(), synonyms: BTreeMap::new() }
    }

    /// The same words, and those of a text.
    pub fn with(mut self, text: &str) -> Self {
        self.words.extend(words(text));
        self
    }

    /// The same words, and other words with what stands for them; errors call `path`.
    pub(crate) fn with_synonyms(
        mut self,
        synonyms: BTreeMap<String, String>,
        path: &Path,
    ) -> Result<Self> {
        for (word, meant) in &synonyms {
            if words(meant).next().is_none() || !self.unknown(meant).is_empty() {
                return Err(Error::Config {
                    path: path.to_path_buf(),
                    key: word.clone(),
                    found: format!("`{meant}`"),
                    expected: "words that the model knows".to_string(),
                });
            }
        }
        self.synonyms = synonyms;
        Ok(self)
    }

    /// All of them in small letters, in the order of the alphabet.
    pub fn iter(&self) -> impl Iterator<Item = &str> {
        self.words.iter().map(String::as_str)
    }

    /// The words of a prompt that are not among them, and its symbols, which a list of words has
    /// none of: each once, in their order.
    pub fn unknown(&self, prompt: &str) -> Vec<UnknownWord> {
        let mut seen = HashSet::new();
        let unknown = parts(prompt).filter(|part| !self.words.contains(part));
        unknown
            .filter(|part| seen.insert(part.clone()))
            .map(|word| UnknownWord { nearest: self.nearest(&word).map(str::to_string), word })
            .collect()
    }

    /// What stands for a word by the list of the model, else the known word that is spelled most
    /// like it: one letter of three may be missing, wrong, too much or in the place of its
    /// neighbour, three at most. The first letter is seldom mistaken: a word with less than six must
    /// begin alike, so that `hat` is not taken for a cat.
    pub fn nearest(&self, word: &str) -> Option<&str> {
        if let Some(meant) = self.synonyms.get(word) {
            return Some(meant);
        }
        let letters = word.chars().count();
        if letters > LONGEST || !word.chars().all(char::is_alphabetic) {
            return None;
        }
        let (allowed, first) = ((letters / LETTERS).min(MOST), word.chars().next());
        let near = self.words.iter().filter_map(|known| {
            let apart = letters.abs_diff(known.chars().count());
            let wrong = if apart <= allowed { osa_distance(word, known) } else { apart };
            let is_near = wrong <= allowed && (allowed > 1 || known.chars().next() == first);
            is_near.then_some((wrong, known))
        });
        // Of those with as many wrong letters, the one that begins alike.
        let alike = |known: &str| jaro_winkler(word, known);
        let nearest =
            near.min_by(|a, b| a.0.cmp(&b.0).then_with(|| alike(b.1).total_cmp(&alike(a.1))));
        nearest.map(|(_, known)| known.as_str())
    }
}

/// The content of a file; `None` when there is none.
fn read(path: &Path) -> Result<Option<Vec<u8>>> {
    let Ok(about) = std::fs::metadata(path) else { return Ok(None) };
    if about.len() > MAX_FILE {
        let problem = format!("{} bytes, expected at most 16 MiB", about.len());
        return Err(Error::malformed(path, problem));
    }
    std::fs::read(path).map(Some).map_err(|error| Error::io(path, error))
}

/// The content of `synonyms.json`, which errors call `path`.
pub(crate) fn parse_synonyms(path: &Path, bytes: &[u8]) -> Result<BTreeMap<String, String>> {
    serde_json::from_slice(bytes).map_err(|error| {
        let problem = format!("not an object of words with what stands for them: {error}");
        Error::malformed(path, problem)
    })
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
    use std::fs;

    use super::{KnownWords, words};

    /// The words of a prompt that are unknown.
    fn unknown(known: &KnownWords, prompt: &str) -> Vec<String> {
        known.unknown(prompt).into_iter().map(|unknown| unknown.word).collect()
    }

    #[test]
    fn the_nearest_known_word_is_found_by_its_spelling() {
        let known = KnownWords::parse("a\nbat\ncat\ncar\nelephant\ngiraffe\nox\nrhinoceros\n3d");
        let near = [
            ("elefant", "elephant"),
            ("girafe", "giraffe"),
            ("rihnoserous", "rhinoceros"),
            ("elephants", "elephant"),
            ("cta", "cat"),
            // One letter is too much of `bat` and of `cat`, which begins alike.
            ("cbat", "cat"),
        ];
        for (word, nearest) in near {
            assert_eq!(known.nearest(word), Some(nearest), "{word}");
        }
        let far = [
            "ax",
            "dog",
            "catapult",
            "zebra",
            "4d",
            "b",
            "hat",
            "ear",
            "🐱",
            "&",
            &"a".repeat(100_000),
        ];
        for word in far {
            assert_eq!(known.nearest(word), None, "{word}");
        }
        let said: Vec<String> =
            known.unknown("a zebra, an elefant").iter().map(ToString::to_string).collect();
        assert_eq!(said, ["`zebra`", "`an`", "`elefant` (try `elephant`)"]);
        assert_eq!(known.iter().take(3).collect::<Vec<_>>(), ["3d", "a", "bat"]);
    }

    #[test]
    fn a_list_of_synonyms_comes_before_the_spelling() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let write = |name: &str, text: &str| {
            fs::write(folder.path().join(name), text).expect("a writable folder");
        };
        write("synonyms.json", "{}");
        assert_eq!(KnownWords::open(folder.path()).expect("no list"), None);
        write("words.txt", "a\nred\ncar\ncat\nheart\n");
        write("synonyms.json", r#"{"cab": "a red car", "feline": "cat", "❤️": "heart"}"#);
        let known = KnownWords::open(folder.path()).expect("a list").expect("words");
        assert_eq!(
            ["cab", "feline", "❤️", "caz"].map(|word| known.nearest(word)),
            [Some("a red car"), Some("cat"), Some("heart"), Some("car")]
        );
        for (wrong, part) in [
            ("{\"cab\": \"taxi\"}", "`cab` is `taxi`, expected words that the model knows"),
            ("{\"cab\": \"\"}", "`cab`"),
            ("[\"cab\"]", "not an object"),
            ("{\"cab\": 1}", "not an object"),
        ] {
            write("synonyms.json", wrong);
            let said = KnownWords::open(folder.path()).expect_err(wrong).to_string();
            assert!(said.contains("synonyms.json: ") && said.contains(part), "{said}");
        }
    }

    #[test]
    fn only_words_that_were_never_seen_are_unknown() {
        let known = KnownWords::parse("a\nred\nheart\n3d\nstyle\n");
        assert!(known.unknown("A red HEART, 3D style!").is_empty());
        assert_eq!(unknown(&known, "a baroque heart; baroque, gilded"), ["baroque", "gilded"]);
    }

    #[test]
    fn symbols_are_unknown_and_punctuation_is_not() {
        let known = KnownWords::parse("a\ncat\nand\ndog\n");
        assert!(known.unknown("«A cat» – and, “a” (dog)… ¿a_cat/dog?").is_empty());
        assert_eq!(unknown(&known, "cat & dog + 🐱🐱🐶"), ["&", "+", "🐱", "🐶"]);
        // An astronaut is a woman and a rocket, joined; the skin belongs to the hand.
        assert_eq!(unknown(&known, "a 👩‍🚀👍🏽 ❤️ cat"), ["👩‍🚀", "👍🏽", "❤️"]);
    }

    #[test]
    fn words_are_runs_of_letters_and_digits() {
        let found: Vec<String> = words("  A cat's 3D  ＆ cafe\u{301} 🐱").collect();
        assert_eq!(found, ["a", "cat", "s", "3d", "cafe\u{301}"]);
    }
}
