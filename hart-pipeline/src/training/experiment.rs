//! Experiments as TOML files, and what errors about them say.

use std::path::{Path, PathBuf};

use hart_core::{Error, Result};
use serde::de::DeserializeOwned;

/// Reads an experiment and checks it. Errors name the file, and what `check` refuses the table in
/// it.
pub(super) fn read<T: DeserializeOwned>(
    path: &Path,
    check: impl FnOnce(&T) -> Result<()>,
) -> Result<T> {
    let text = std::fs::read_to_string(path).map_err(|error| Error::io(path, error))?;
    let experiment = toml::from_str(&text);
    let experiment = experiment
        .map_err(|error| Error::malformed(path, format!("not an experiment: {error}")))?;
    check(&experiment).map_err(|error| in_file(path, error))?;
    Ok(experiment)
}

/// The error about `key` of a table of an experiment.
pub(super) fn refuse(
    table: &str,
    key: &str,
    found: impl std::fmt::Display,
    expected: impl std::fmt::Display,
) -> Error {
    Error::Config {
        path: PathBuf::from(format!("[{table}]")),
        key: key.to_string(),
        found: found.to_string(),
        expected: expected.to_string(),
    }
}

/// Checks a value of a table: that it is what is `expected`.
pub(super) fn check(
    fits: bool,
    table: &str,
    key: &str,
    found: impl std::fmt::Display,
    expected: &str,
) -> Result<()> {
    if fits { Ok(()) } else { Err(refuse(table, key, found, expected)) }
}

/// Checks values of a table that are shares of something.
pub(super) fn check_shares(table: &str, values: &[(&str, f64)]) -> Result<()> {
    let is_share = |value: f64| (0.0..=1.0).contains(&value);
    values
        .iter()
        .try_for_each(|(key, value)| check(is_share(*value), table, key, value, "from 0 to 1"))
}

/// Checks values of a table that are finite and above 0, also in 32 bits but for the largest.
pub(super) fn check_positive(table: &str, values: &[(&str, f64)]) -> Result<()> {
    let expected = "a finite number above 0";
    let fits = |value: f64| value.is_finite() && value as f32 > 0.0;
    values.iter().try_for_each(|(key, value)| check(fits(*value), table, key, value, expected))
}

/// Checks values of a table that are weights of something.
pub(super) fn check_weights(table: &str, values: &[(&str, f64)]) -> Result<()> {
    let expected = "a finite number, 0 or above";
    let fits = |value: f64| value.is_finite() && value >= 0.0;
    values.iter().try_for_each(|(key, value)| check(fits(*value), table, key, value, expected))
}

/// The error about a table, with the file that the table is in; of an experiment that is of no file,
/// as it is.
pub(super) fn in_file(file: &Path, error: Error) -> Error {
    match error {
        Error::Config { path, key, found, expected }
            if is_table(&path) && file != Path::new("") =>
        {
            let path = format!("{} {}", file.display(), path.display()).into();
            Error::Config { path, key, found, expected }
        }
        other => other,
    }
}

/// Whether an error is about a table of a file that it does not know.
fn is_table(path: &Path) -> bool {
    path.to_string_lossy().starts_with('[')
}
