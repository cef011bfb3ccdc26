//! Progress of a training, and the wish to stop it.

use std::ops::ControlFlow;
use std::path::Path;

use hart_core::{Error, Result};

use super::notice::Notice;

/// Something that happened in a training.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum TrainingEvent<'a> {
    /// Something that a user should know of; the training goes on.
    Notice(&'a Notice),
    /// The images of all records are being read, to find those that cannot be read before any work.
    #[non_exhaustive]
    Checking {
        /// Images that were read.
        done: usize,
        /// All of them.
        images: usize,
    },
    /// The images of some records are being turned into tokens, before the first step.
    #[non_exhaustive]
    Encoding {
        /// Images that are done.
        done: usize,
        /// All of them.
        images: usize,
    },
    /// The steps begin, or go on where an earlier start of the run was stopped.
    #[non_exhaustive]
    Started {
        /// Steps that were done before; 0 in a new run.
        done: u64,
        /// Steps of the whole run.
        steps: u64,
    },
    /// A step was done.
    #[non_exhaustive]
    Step {
        /// Steps that are done, this one included.
        done: u64,
        /// Steps of the whole run.
        steps: u64,
        /// Whether the step has a row in `metrics.csv`.
        logged: bool,
        /// What it measured, the loss first.
        metrics: Measurements<'a>,
    },
    /// The validation records were measured and images were made.
    #[non_exhaustive]
    Evaluated {
        /// Steps that are done.
        done: u64,
        /// What was measured.
        metrics: Measurements<'a>,
        /// The folder of the run: the row is in its `metrics.csv`.
        folder: &'a Path,
    },
    /// A snapshot and a model were saved.
    #[non_exhaustive]
    Saved {
        /// Steps that are done.
        done: u64,
        /// The folder of the run.
        folder: &'a Path,
    },
}

/// Values by the names of their columns in `metrics.csv`.
#[derive(Debug, Clone, Copy)]
pub struct Measurements<'a> {
    columns: &'a [&'static str],
    values: &'a [f64],
}

impl<'a> Measurements<'a> {
    pub(super) fn new(columns: &'a [&'static str], values: &'a [f64]) -> Self {
        Self { columns, values }
    }

    /// Names and values in the order of the columns.
    pub fn iter(&self) -> impl Iterator<Item = (&'static str, f64)> + 'a {
        self.columns.iter().copied().zip(self.values.iter().copied())
    }

    /// The value of a column, if there is such a one.
    pub fn get(&self, column: &str) -> Option<f64> {
        self.iter().find(|(name, _)| *name == column).map(|(_, value)| value)
    }
}

/// Watches a training; `ControlFlow::Break(())` ends it: after the present step a snapshot is
/// saved, from which it can be continued.
///
/// Any closure of the right shape is an observer, and the unit type is the one that watches
/// nothing.
pub trait TrainingObserver {
    /// Called for every event, from the thread that trains.
    fn event(&mut self, event: TrainingEvent<'_>) -> ControlFlow<()>;
}

impl TrainingObserver for () {
    fn event(&mut self, _: TrainingEvent<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(TrainingEvent<'_>) -> ControlFlow<()>> TrainingObserver for F {
    fn event(&mut self, event: TrainingEvent<'_>) -> ControlFlow<()> {
        self(event)
    }
}

/// Reports an event of the preparations, when there is nothing yet to save: the wish to stop
/// becomes an error.
pub(super) fn report(observer: &mut dyn TrainingObserver, event: TrainingEvent<'_>) -> Result<()> {
    match observer.event(event) {
        ControlFlow::Continue(()) => Ok(()),
        ControlFlow::Break(()) => Err(Error::Cancelled),
    }
}
