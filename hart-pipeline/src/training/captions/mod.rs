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

mod check;
mod expand;
mod file;
mod noise;
mod nouns;
mod reach;
#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};

use hart_core::random::generator;
use hart_core::{Error, Result};
use serde_json::json;

use super::data::Record;
use crate::text::words::words;
use check::{check, check_columns, check_strangers};
use expand::Shown;
use file::{GrammarFile, INVERSE};
use reach::{Reached, Values};

/// The stream of a seed that captions are made from.
const CAPTIONS: u64 = 123;

/// How many captions are tried before a record is taken to have none.
const TRIES: u64 = 16;

/// The ways people ask for what a record shows.
#[derive(Debug, Clone)]
pub struct CaptionGrammar {
    file: GrammarFile,
    /// What errors call the file, and its text.
    path: PathBuf,
    text: String,
}

impl CaptionGrammar {
    /// Reads a TOML file and checks it.
    ///
    /// # Errors
    /// [`Error::Io`]; [`Error::Malformed`] when it is not such a file; [`Error::Config`] for a value
    /// that is out of its range or leads nowhere, with the file, its line and the key.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
        Self::read(path, &text)
    }

    /// From the text of such a file.
    ///
    /// # Errors
    /// As [`Self::open`].
    pub fn parse(text: &str) -> Result<Self> {
        Self::read(Path::new("the caption grammar"), text)
    }

    fn read(path: &Path, text: &str) -> Result<Self> {
        let file: GrammarFile = toml::from_str(text).map_err(|error| {
            Error::malformed(path, format!("not a grammar of captions: {error}"))
        })?;
        check(&file).map_err(|problem| problem.into_error(path, text))?;
        Ok(Self { file, path: path.to_path_buf(), text: text.to_string() })
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

    /// Checks that forms name columns that some of these records have; forms for other records, such
    /// as those of a kind that none is of, do not count. Gives how many records have no caption, as
    /// for [`Self::caption`].
    ///
    /// # Errors
    /// [`Error::Config`] for a name that is neither a rule nor a column of any record, and for a word
    /// of talk that captions of these records have otherwise.
    pub fn check<'a>(&self, records: impl Iterator<Item = &'a Record> + Clone) -> Result<usize> {
        let known = check_columns(&self.file, &Values::of(records.clone()));
        let known = known.and_then(|()| {
            check_strangers(&self.file.noise.strangers, &self.words(records.clone()))
        });
        known.map_err(|problem| problem.into_error(&self.path, &self.text))?;
        let has_caption =
            |record: &&Record| (0..TRIES).any(|draw| self.caption(record, 0, [0, draw]).is_some());
        Ok(records.filter(|record| !has_caption(record)).count())
    }

    /// All that trained captions follow from, besides records: not how the file is written, not
    /// what is withheld.
    pub(in crate::training) fn content(&self) -> String {
        let GrammarFile { forms, keep, names, plain_names, reversed, noise, .. } = &self.file;
        let rules = Reached::of(&self.file, forms).rules;
        let keep: Vec<_> = keep.iter().filter(|rule| rules.contains_key(rule.as_str())).collect();
        json!([forms, rules, keep, names, plain_names, reversed, noise]).to_string()
    }

    /// All that trained captions follow from in each of some records.
    pub(in crate::training) fn content_of<'a>(
        &self,
        records: impl Iterator<Item = &'a Record>,
    ) -> Vec<String> {
        let columns = Reached::of(&self.file, &self.file.forms).columns;
        let read = |record: &Record| {
            let columns: Vec<_> = columns.iter().map(|column| record.text(column)).collect();
            let is_reversible = record.details.contains_key(INVERSE);
            json!([expand::names(record, &self.file), columns, is_reversible]).to_string()
        };
        records.map(read).collect()
    }

    /// Words that are not trained, with what to say instead.
    pub(in crate::training) fn synonyms(&self) -> &BTreeMap<String, String> {
        &self.file.synonyms
    }

    /// Every word that captions of these records may have, each once, in small letters. Made-up
    /// words are not among them, nor those of talk or of withheld forms alone.
    pub fn words<'a>(&self, records: impl Iterator<Item = &'a Record>) -> BTreeSet<String> {
        let GrammarFile { forms, noise, .. } = &self.file;
        let reached = Reached::of(&self.file, forms);
        let fillers = noise.fillers.iter().map(String::as_str);
        let mut found: BTreeSet<String> =
            reached.texts(forms).chain(fillers).flat_map(words).collect();
        for record in records {
            for name in expand::names(record, &self.file).iter().flatten() {
                found.extend(words(name));
                found.extend(words(&nouns::plural(name)));
            }
            let columns = reached.spoken.iter().filter_map(|column| record.text(column));
            found.extend(columns.flat_map(words));
        }
        found
    }
}
