//! The error every HART crate returns.

use std::fmt;
use std::path::{Path, PathBuf};

/// A result, by default with HART's [`Error`].
pub type Result<T, E = Error> = std::result::Result<T, E>;

/// What went wrong, with enough context to mend it: which file, which key, what was found and
/// what was expected.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be read or written.
    #[error("{}: {source}", path.display())]
    Io {
        /// The file or folder.
        path: PathBuf,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A file was read, but it is not what its name says: truncated, lying about itself, or of
    /// another format.
    #[error("{}: {problem}", path.display())]
    Malformed {
        /// The file.
        path: PathBuf,
        /// What is wrong with it.
        problem: String,
    },
    /// A configuration file asks for something impossible or unsupported.
    #[error("{}: `{key}` is {found}, expected {expected}", path.display())]
    Config {
        /// The configuration file.
        path: PathBuf,
        /// The key in it.
        key: String,
        /// The value found.
        found: String,
        /// What would have been accepted.
        expected: String,
    },
    /// The tensors of a checkpoint do not fit the configured model. Lists every one of them.
    #[error("{}: the weights do not fit the configuration{problems}", path.display())]
    Weights {
        /// The checkpoint file or folder.
        path: PathBuf,
        /// Every missing, unexpected and mis-shaped tensor.
        problems: Box<WeightProblems>,
    },
    /// An argument is out of its range or of the wrong shape.
    #[error("{what} is {found}, expected {expected}")]
    Invalid {
        /// Which argument.
        what: String,
        /// Its value, or its shape.
        found: String,
        /// What would have been accepted.
        expected: String,
    },
    /// A computation gave NaN or infinite values, which means that the weights are damaged or that
    /// the chosen precision is too narrow for them.
    #[error(
        "{what} has values that are not finite; the weights are damaged or too large for the precision in use"
    )]
    NonFinite {
        /// Where it was noticed.
        what: String,
    },
    /// The operating system gave less than was needed, such as threads.
    #[error("cannot {what}: {source}")]
    System {
        /// What could not be done.
        what: String,
        /// The operating system's answer.
        source: std::io::Error,
    },
    /// A model's files cannot be had from a model hub.
    #[error("{what}: {problem}")]
    Hub {
        /// The repository, or a file in it.
        what: String,
        /// Why, and what to do.
        problem: String,
    },
    /// The observer asked to stop.
    #[error("cancelled")]
    Cancelled,
}

impl Error {
    /// Wraps an I/O error with the path it happened at.
    pub fn io(path: impl AsRef<Path>, source: std::io::Error) -> Self {
        Self::Io { path: path.as_ref().to_path_buf(), source }
    }

    /// A file that is not what it claims to be.
    pub fn malformed(path: impl AsRef<Path>, problem: impl fmt::Display) -> Self {
        Self::Malformed { path: path.as_ref().to_path_buf(), problem: problem.to_string() }
    }

    /// Something that a model hub does not give.
    pub fn hub(what: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Hub { what: what.to_string(), problem: problem.to_string() }
    }

    /// An argument out of its range.
    pub fn invalid(
        what: impl fmt::Display,
        found: impl fmt::Display,
        expected: impl fmt::Display,
    ) -> Self {
        Self::Invalid {
            what: what.to_string(),
            found: found.to_string(),
            expected: expected.to_string(),
        }
    }

    /// A layer that was asked for weights which it freed when it was prepared.
    pub(crate) fn prepared(layer: impl fmt::Display) -> Self {
        Self::invalid(layer, "prepared", "one with its plain weights, loaded without preparing it")
    }

    /// An argument of the wrong shape.
    pub fn shape(what: impl fmt::Display, found: &[usize], expected: impl fmt::Display) -> Self {
        Self::invalid(what, format!("{found:?}"), expected)
    }
}

/// Every tensor of a checkpoint that does not fit the model it is loaded into, by its name in the
/// checkpoint.
#[derive(Debug, Default, Clone, PartialEq, Eq)]
pub struct WeightProblems {
    /// Needed by the model, absent from the checkpoint.
    pub missing: Vec<String>,
    /// In the checkpoint, unknown to the model.
    pub unexpected: Vec<String>,
    /// In both, with different shapes or an unusable element type: name, found, expected.
    pub mismatched: Vec<(String, String, String)>,
}

impl WeightProblems {
    /// Whether every tensor fits.
    pub fn is_empty(&self) -> bool {
        self.missing.is_empty() && self.unexpected.is_empty() && self.mismatched.is_empty()
    }
}

impl fmt::Display for WeightProblems {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        for name in &self.missing {
            write!(f, "\n  missing    {name}")?;
        }
        for name in &self.unexpected {
            write!(f, "\n  unexpected {name}")?;
        }
        for (name, found, expected) in &self.mismatched {
            write!(f, "\n  mismatched {name}: found {found}, expected {expected}")?;
        }
        Ok(())
    }
}
