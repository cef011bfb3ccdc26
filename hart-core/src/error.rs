//! The error every HART crate returns.

use std::fmt;
use std::path::{Path, PathBuf};

use crate::WeightProblems;

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
    /// The tensors of a checkpoint do not fit the configured model. The message has an example of each
    /// kind, `problems` has all.
    #[error("{}: the weights do not fit the configuration: {problems}", path.display())]
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
    /// A step of a training gave a loss, a gradient or weights that are not finite.
    #[error(
        "step {step}: {what} is not finite, the training has diverged; no weight of this step is kept, earlier snapshots are: go on from them with a lower learning rate"
    )]
    Diverged {
        /// The step, counted from 1.
        step: u64,
        /// What was not finite, with its value where it has one.
        what: String,
    },
    /// A folder is being written by another process.
    #[error("another process trains in {}: wait for its end, or name another folder", path.display())]
    Busy {
        /// The folder.
        path: PathBuf,
    },
    /// A run that was begun with one experiment or data set was to be continued with another.
    #[error(
        "{}: the run was begun otherwise: {}; name another folder, or accept the changes (`--accept-changes`)",
        path.display(),
        changes.join("; ")
    )]
    Changed {
        /// The folder of the run.
        path: PathBuf,
        /// Each change in a few words.
        changes: Vec<String>,
    },
    /// A model's files cannot be had from a model hub.
    #[error("{what}: {problem}")]
    Hub {
        /// The repository, or a file in it.
        what: String,
        /// Why, and what to do.
        problem: String,
    },
    /// A folder or bucket that a run is kept in did not do what it was asked.
    #[error("{what}: {problem}")]
    Store {
        /// The object, or its store.
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

    /// Something that a folder or bucket did not do.
    pub fn store(what: impl fmt::Display, problem: impl fmt::Display) -> Self {
        Self::Store { what: what.to_string(), problem: problem.to_string() }
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
