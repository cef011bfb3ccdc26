//! What is wrong with a TOML file, and in which line.

use std::fmt::Display;
use std::path::Path;

use hart_core::Error;
use toml::de::{DeTable, DeValue};

/// A value that does not fit.
#[derive(Debug)]
pub(crate) struct Problem {
    /// What leads to it from the top of the file.
    steps: Vec<Step>,
    found: String,
    expected: String,
}

/// From a value to one inside it.
#[derive(Debug)]
enum Step {
    Key(String),
    Place(usize),
}

impl Problem {
    /// About the value that these keys lead to.
    pub(crate) fn new(keys: &[&str], found: impl Display, expected: impl Display) -> Self {
        Self {
            steps: keys.iter().map(|key| Step::Key(key.to_string())).collect(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// About a value of the list.
    pub(crate) fn at(mut self, place: usize) -> Self {
        self.steps.push(Step::Place(place));
        self
    }

    /// About a value of the table.
    #[cfg(feature = "bulk")]
    pub(crate) fn key(mut self, key: &str) -> Self {
        self.steps.push(Step::Key(key.to_string()));
        self
    }

    /// As an error about a file with this text, with the line where that can be told.
    pub(crate) fn into_error(self, file: &Path, text: &str) -> Error {
        let mut key = String::new();
        for step in &self.steps {
            match step {
                Step::Key(name) if key.is_empty() => key.push_str(name),
                Step::Key(name) => key.push_str(&format!(".{name}")),
                Step::Place(place) => key.push_str(&format!("[{place}]")),
            }
        }
        let path = match line(text, &self.steps) {
            Some(line) => format!("{}, line {line}", file.display()).into(),
            None => file.to_path_buf(),
        };
        Error::Config { path, key, found: self.found, expected: self.expected }
    }
}

/// The line of a value, counted from 1.
fn line(text: &str, steps: &[Step]) -> Option<usize> {
    let table = DeTable::parse(text).ok()?;
    let root = DeValue::Table(table.into_inner());
    let (first, others) = steps.split_first()?;
    let Step::Key(first) = first else { return None };
    let mut value = root.get(first.as_str())?;
    for step in others {
        value = match step {
            Step::Key(key) => value.get_ref().get(key.as_str())?,
            Step::Place(place) => value.get_ref().get(*place)?,
        };
    }
    Some(text.get(..value.span().start)?.matches('\n').count() + 1)
}
