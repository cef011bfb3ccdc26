//! How long a run is and what it leaves behind.

use std::path::PathBuf;

use hart_core::Result;
use serde::{Deserialize, Serialize};

use crate::training::experiment::refuse;

/// The longest run: its steps and draws can be counted.
const MOST_STEPS: u64 = 1 << 40;
/// The largest batch.
const MOST_IMAGES: u64 = 1 << 20;

/// How long a run is and what it leaves behind; `[run]` of an experiment.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct RunSettings {
    /// The folder of the run. Paths are relative to the working directory.
    pub folder: PathBuf,
    /// All random draws follow from it.
    #[serde(default)]
    pub seed: u64,
    /// Steps of the optimizer.
    pub steps: u64,
    /// Images a step.
    pub batch: usize,
    /// The batch is made of this many parts whose gradients are added.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// The parts of the batch are spread over this many devices of the backend, from the chosen one
    /// on, at most as many as there are parts. The model does not depend on it.
    #[serde(default = "one")]
    pub devices: usize,
    /// Steps from one row of metrics to the next.
    #[serde(default = "ten")]
    pub log_every: u64,
    /// Steps from one evaluation to the next: validation, and images.
    pub evaluate_every: u64,
    /// Steps from one snapshot to the next.
    pub save_every: u64,
    /// Whether a run is continued that was begun with other settings or data, which is else
    /// refused. No key of a file: it is meant for one start.
    #[serde(skip)]
    pub accept_changes: bool,
}

impl RunSettings {
    /// A run of `steps` steps in a folder, `batch` images each: the seed is 0, every tenth step has
    /// a row of metrics, and there is an evaluation and a snapshot at the end.
    pub fn new(folder: impl Into<PathBuf>, steps: u64, batch: usize) -> Self {
        Self {
            folder: folder.into(),
            seed: 0,
            steps,
            batch,
            accumulate: one(),
            devices: one(),
            log_every: ten(),
            evaluate_every: steps,
            save_every: steps,
            accept_changes: false,
        }
    }

    /// Checks every value.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) for the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        let refuse = |key, found: u64, expected: &str| Err(refuse("run", key, found, expected));
        let counts = [
            ("steps", self.steps),
            ("batch", self.batch as u64),
            ("accumulate", self.accumulate as u64),
            ("devices", self.devices as u64),
            ("log_every", self.log_every),
            ("evaluate_every", self.evaluate_every),
            ("save_every", self.save_every),
        ];
        if let Some((key, _)) = counts.iter().find(|(_, value)| *value == 0) {
            return refuse(key, 0, "at least 1");
        }
        let limits = [("steps", self.steps, MOST_STEPS), ("batch", self.batch as u64, MOST_IMAGES)];
        if let Some((key, found, most)) = limits.into_iter().find(|(_, found, most)| found > most) {
            return refuse(key, found, &format!("at most {most}"));
        }
        let parts = self.accumulate;
        if !self.batch.is_multiple_of(parts) {
            let expected = format!("a multiple of `accumulate`, which is {parts}");
            return refuse("batch", self.batch as u64, &expected);
        }
        if self.devices > parts {
            let expected = format!("at most {parts}, the parts of a batch: raise `accumulate`");
            return refuse("devices", self.devices as u64, &expected);
        }
        Ok(())
    }
}

fn one() -> usize {
    1
}

fn ten() -> u64 {
    10
}
