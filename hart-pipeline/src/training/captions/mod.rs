//! Captions as people write them, made anew for every step instead of stored.
//!
//! A [`CaptionGrammar`] is a TOML file of weighted alternatives. It makes captions of records that
//! say what they show: `things`, a list of names for each thing, and columns of text such as
//! `style`, `background` and `relation`. A caption follows from the seed of a run and the place in
//! it, so a run that was stopped goes on with the captions that it would have had.
//!
//! ```
//! use hart_pipeline::training::captions::CaptionGrammar;
//! use hart_pipeline::training::data::Record;
//!
//! let grammar = CaptionGrammar::parse(r#"
//!     forms = ["{noun}{ground}", [2, "draw {a}{ground}"]]
//!     withheld = ["{noun} please{ground}"]
//!     [rules.ground]
//!     by = "background"
//!     white = [""]
//!     other = [" on {background}"]
//! "#)?;
//! let record: Record = serde_json::from_str(r#"{
//!     "image": "1.png", "captions": ["a cat, flat style"], "things": [["a cat", "a kitty"]],
//!     "background": "blue"
//! }"#).unwrap();
//! let caption = grammar.caption(&record, 1, [0, 0]).unwrap();
//! assert!(caption.ends_with(" on blue"), "{caption}");
//! # Ok::<(), hart_pipeline::Error>(())
//! ```
//!
//! | in braces | what it stands for |
//! |---|---|
//! | `{noun}`, `{noun2}` | a name of the first or the second thing, without its article |
//! | `{a}`, `{a2}` | with its article, if it has one |
//! | `{a:RULE}`, `{a2:RULE}` | with words between article and name, such as `a little cat` |
//! | `{plural}`, `{plural2}` | its plural; a name without an article is one already |
//! | any other name | an alternative of that rule, else that column of the record |

mod expand;
mod file;
mod noise;
mod nouns;
#[cfg(test)]
mod tests;

use std::collections::BTreeSet;
use std::path::Path;

use hart_core::random::generator;
use hart_core::{Error, Result};

use super::data::Record;
use crate::text::words::words;
use expand::Shown;
use file::GrammarFile;

/// The stream of a seed that captions are made from.
const CAPTIONS: u64 = 123;

/// The ways people ask for what a record shows.
#[derive(Debug, Clone)]
pub struct CaptionGrammar {
    file: GrammarFile,
}

impl CaptionGrammar {
    /// Reads a TOML file and checks it.
    ///
    /// # Errors
    /// [`Error::Io`], and [`Error::Malformed`] naming the file, and the rule that is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Self::read(path, &text)
    }

    /// From the text of such a file.
    ///
    /// # Errors
    /// [`Error::Malformed`], naming the rule that is wrong.
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(Path::new("the caption grammar"), text)
    }

    fn read(path: &Path, text: &str) -> Result<Self> {
        let file: GrammarFile =
            toml::from_str(text).map_err(|error| Error::malformed(path, error))?;
        file.check().map_err(|problem| Error::malformed(path, problem))?;
        Ok(Self { file })
    }

    /// A caption for a record, drawn at the address of a seed: one of the forms, with the noise of
    /// the grammar. `None` for a record without `things`, or without a column that the form needs.
    pub fn caption(&self, record: &Record, seed: u64, address: [u64; 2]) -> Option<String> {
        let mut draws = generator(seed, CAPTIONS, address);
        let shown = Shown::of(record, &self.file, &mut draws)?;
        let words = shown.expand(&self.file.forms, &mut draws)?;
        Some(self.file.noise.spoil(words, &mut draws))
    }

    /// A caption in one of the forms that are kept from training, to measure what a model makes of
    /// a wording it has never seen; without noise. `None` as for [`Self::caption`], and when there
    /// are no such forms.
    pub fn withheld(&self, record: &Record, seed: u64, address: [u64; 2]) -> Option<String> {
        let mut draws = generator(seed, CAPTIONS, address);
        let shown = Shown::of(record, &self.file, &mut draws)?;
        let words = shown.expand(self.file.withheld.as_ref()?, &mut draws)?;
        Some(noise::join(&words))
    }

    /// Every word that captions of these records may have, each once, in small letters. Made-up
    /// words are not among them.
    pub fn words<'a>(&self, records: impl Iterator<Item = &'a Record>) -> BTreeSet<String> {
        let mut found: BTreeSet<String> = self.file.texts().flat_map(words).collect();
        for record in records {
            for name in expand::names(record, &self.file).iter().flatten() {
                found.extend(words(name));
                found.extend(words(&nouns::plural(name)));
            }
            let columns = record.details.values().filter_map(serde_json::Value::as_str);
            found.extend(columns.flat_map(words));
        }
        found
    }
}
