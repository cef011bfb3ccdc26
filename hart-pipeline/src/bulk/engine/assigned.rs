//! Shards that something else has assigned.

use std::sync::Mutex;
use std::sync::PoisonError;
use std::time::Duration;

use hart_core::{Error, Result};

use super::{Claim, Engine, Held, Lease};
use crate::bulk::run::Run;
use crate::bulk::store::Failure;

/// Gives one worker the shards `first`, `first + step`, `first + 2·step` … that are not done: with as many
/// workers as `step`, each with another `first` below it, all of them. What starts the workers also
/// starts one again that failed.
#[derive(Debug)]
pub struct Assigned {
    run: Run,
    step: u64,
    next: Mutex<u64>,
}

impl Assigned {
    /// From a shard on, each `step`th; without a step that shard alone.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is no such shard and no step, or the step is 0 or not above
    /// `first`.
    pub fn new(run: Run, first: u64, step: Option<u64>) -> Result<Self> {
        let shards = run.plan().shards();
        match step {
            Some(step) if step <= first => {
                let expected =
                    format!("above {first}, the first shard: as many as there are workers");
                return Err(Error::invalid("the step from shard to shard", step, expected));
            }
            None if first >= shards => {
                let expected = format!("below {shards}, as many as the plan has");
                return Err(Error::invalid("the shard", first, expected));
            }
            _ => {}
        }
        Ok(Self { run, step: step.unwrap_or(u64::MAX), next: Mutex::new(first) })
    }
}

impl Engine for Assigned {
    fn claim(&self) -> Result<Claim, Failure> {
        let mut next = self.next.lock().unwrap_or_else(PoisonError::into_inner);
        while *next < self.run.plan().shards() {
            let shard = *next;
            let is_done = self.run.is_done(shard)?;
            *next = next.saturating_add(self.step);
            if !is_done {
                return Ok(Claim::Shard(Lease { shard, generation: 1 }));
            }
        }
        drop(next);
        // Others may still write their shards; the last one leaves a clean folder.
        if self.run.open_shards()?.is_empty() {
            self.run.sweep()?;
        }
        Ok(Claim::Finished)
    }

    fn keep(&self, _: &Lease) -> Result<bool, Failure> {
        Ok(true)
    }

    fn done(&self, _: &Lease) -> Result<(), Failure> {
        Ok(())
    }

    fn hand_back(&self, _: &Lease) -> Result<(), Failure> {
        Ok(())
    }

    fn fail(&self, _: &Lease, _: &str) -> Result<bool, Failure> {
        Ok(false)
    }

    fn beat(&self) -> Duration {
        Duration::from_secs(60)
    }

    fn held(&self) -> Result<Vec<Held>, Failure> {
        Ok(vec![])
    }
}
