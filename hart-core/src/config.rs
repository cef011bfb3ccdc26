//! Typed, range-checked access to the JSON configurations of released models.
//!
//! What the keys mean is for the crate that owns the part. In all of them absent keys take the
//! defaults of the official code, unknown keys are tolerated, and anything impossible,
//! contradictory or unsupported is refused by name.

use std::fmt::Display;
use std::ops::RangeInclusive;
use std::path::{Path, PathBuf};

use serde_json::{Map, Value};

use crate::{Error, Result, stand_in};

/// The largest configuration file that is read, in bytes.
const MAX_BYTES: u64 = 16 << 20;

/// Reads the keys of one JSON object; every error names the file, the key, the value found and
/// what was expected.
#[derive(Debug, Clone)]
pub struct ConfigReader {
    path: PathBuf,
    map: Map<String, Value>,
}

impl ConfigReader {
    /// Reads a file that holds one JSON object.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read, [`Error::Malformed`] when it is not a JSON object or
    /// larger than 16 MiB.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        let length = std::fs::metadata(path).map_err(|e| Error::io(path, e))?.len();
        if length > MAX_BYTES {
            return Err(Error::malformed(path, format!("{length} bytes, expected at most 16 MiB")));
        }
        let text = std::fs::read(path).map_err(|e| Error::io(path, e))?;
        Self::parse(path, &text)
    }

    /// Parses JSON text; `path` is what errors will name.
    ///
    /// # Errors
    /// [`Error::Malformed`] when it is not a JSON object.
    pub fn parse(path: impl AsRef<Path>, json: &[u8]) -> Result<Self> {
        let path = path.as_ref();
        match serde_json::from_slice(json) {
            Ok(Value::Object(map)) => Ok(Self { path: path.to_path_buf(), map }),
            Ok(_) => Err(Error::malformed(path, "the configuration is not a JSON object")),
            Err(error) => {
                let problem = stand_in(json).unwrap_or_else(|| format!("not valid JSON: {error}"));
                Err(Error::malformed(path, problem))
            }
        }
    }

    /// The file the values come from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// An error about `key` that quotes the value found.
    pub fn refuse(&self, key: &str, expected: impl Display) -> Error {
        let found = self.map.get(key).map_or("absent".to_string(), shorten);
        Error::Config {
            path: self.path.clone(),
            key: key.to_string(),
            found,
            expected: expected.to_string(),
        }
    }

    /// The value of `key`, `None` when it is absent or null.
    pub fn value(&self, key: &str) -> Option<&Value> {
        self.map.get(key).filter(|value| !value.is_null())
    }

    /// An integer in `range`.
    ///
    /// # Errors
    /// [`Error::Config`] for another type or a value out of range.
    pub fn integer(
        &self,
        key: &str,
        default: usize,
        range: RangeInclusive<usize>,
    ) -> Result<usize> {
        let value = match self.value(key) {
            None => Some(default),
            Some(value) => value.as_u64().and_then(|value| usize::try_from(value).ok()),
        };
        value.filter(|value| range.contains(value)).ok_or_else(|| {
            self.refuse(key, format!("an integer from {} to {}", range.start(), range.end()))
        })
    }

    /// A finite number in `range`.
    ///
    /// # Errors
    /// [`Error::Config`] for another type or a value out of range.
    pub fn number(&self, key: &str, default: f64, range: RangeInclusive<f64>) -> Result<f64> {
        let value = self.value(key).map_or(Some(default), Value::as_f64);
        value.filter(|value| range.contains(value)).ok_or_else(|| {
            self.refuse(key, format!("a number from {} to {}", range.start(), range.end()))
        })
    }

    /// A boolean.
    ///
    /// # Errors
    /// [`Error::Config`] for another type.
    pub fn flag(&self, key: &str, default: bool) -> Result<bool> {
        self.value(key)
            .map_or(Some(default), Value::as_bool)
            .ok_or_else(|| self.refuse(key, "true or false"))
    }

    /// A list of integers, each in `range`.
    ///
    /// # Errors
    /// [`Error::Config`] for another type, an empty or very long list, or a value out of range.
    pub fn integers(
        &self,
        key: &str,
        default: &[usize],
        range: RangeInclusive<usize>,
    ) -> Result<Vec<usize>> {
        let Some(value) = self.value(key) else {
            return Ok(default.to_vec());
        };
        let refuse = || {
            let (start, end) = (range.start(), range.end());
            self.refuse(key, format!("a list of 1 to 64 integers from {start} to {end}"))
        };
        let list = value.as_array().filter(|list| (1..=64).contains(&list.len()));
        list.ok_or_else(refuse)?
            .iter()
            .map(|item| {
                let item = item.as_u64().and_then(|item| usize::try_from(item).ok());
                item.filter(|item| range.contains(item)).ok_or_else(refuse)
            })
            .collect()
    }

    /// One of a few words.
    ///
    /// # Errors
    /// [`Error::Config`] for another type or word.
    pub fn choice<T: Copy>(&self, key: &str, default: &str, choices: &[(&str, T)]) -> Result<T> {
        let word = self.value(key).map_or(Some(default), Value::as_str);
        let found = word.and_then(|word| choices.iter().find(|(name, _)| *name == word));
        found.map(|(_, choice)| *choice).ok_or_else(|| {
            let names: Vec<_> = choices.iter().map(|(name, _)| format!("`{name}`")).collect();
            self.refuse(key, names.join(" or "))
        })
    }

    /// A string.
    ///
    /// # Errors
    /// [`Error::Config`] for another type.
    pub fn text(&self, key: &str, default: &str) -> Result<String> {
        let text = self.value(key).map_or(Some(default), Value::as_str);
        text.map(str::to_string).ok_or_else(|| self.refuse(key, "a string"))
    }
}

/// A value as JSON, cut to what fits an error message.
fn shorten(value: &Value) -> String {
    let mut text = value.to_string();
    if let Some((end, _)) = text.char_indices().nth(80) {
        text.truncate(end);
        text.push('…');
    }
    text
}
