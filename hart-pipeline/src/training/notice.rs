//! What a user should know of a run, though it goes on.

use std::fmt;

use super::values::significant;

/// Something that a user should know of, though the training goes on. Its text says it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub enum Notice {
    /// A snapshot cannot be read: the run is continued from an earlier one.
    #[non_exhaustive]
    DamagedSnapshot {
        /// Steps that were done when it was saved.
        step: u64,
        /// What is wrong with it.
        reason: String,
        /// The step that the run goes on after.
        before: u64,
    },
    /// The run was begun otherwise, and what has changed was accepted or changes no weight.
    #[non_exhaustive]
    Changed {
        /// The change in a few words.
        what: String,
    },
    /// The learning rate does not go on where it was, because the run has another length now.
    #[non_exhaustive]
    Rate {
        /// Steps that are done.
        done: u64,
        /// The rate of the last one.
        from: f64,
        /// That of the next one.
        to: f64,
    },
    /// An image cannot be read, and its records are left out.
    #[non_exhaustive]
    Skipped {
        /// The file, and what is wrong with it.
        image: String,
    },
    /// How many records were left out.
    #[non_exhaustive]
    SkippedRecords {
        /// Those of images that cannot be read.
        count: usize,
        /// All of them.
        of: usize,
    },
    /// The grammar makes no caption of some records: they keep those of their own.
    #[non_exhaustive]
    Uncaptioned {
        /// How many.
        count: usize,
        /// All of them.
        of: usize,
    },
}

impl fmt::Display for Notice {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::DamagedSnapshot { step, reason, before } => write!(
                f,
                "snapshot step-{step:09} is damaged ({reason}): continuing after step {before}"
            ),
            Self::Changed { what } => write!(f, "{what}"),
            Self::Rate { done, from, to } => write!(
                f,
                "the rate goes from {} (step {done}) to {} (step {})",
                significant(*from),
                significant(*to),
                done + 1
            ),
            Self::Skipped { image } => write!(f, "skipped: {image}"),
            Self::SkippedRecords { count, of } => {
                write!(f, "{count} of {of} records are skipped: their images cannot be read")
            }
            Self::Uncaptioned { count, of } => write!(
                f,
                "the grammar makes no caption of {count} of {of} records: they keep their own"
            ),
        }
    }
}
