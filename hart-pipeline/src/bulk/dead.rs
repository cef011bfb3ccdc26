//! Shards that were given up, and why.

use bytes::Bytes;
use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::run::{DEAD, Run};
use super::store::Failure;

/// Why a shard was given up, as `dead/SHARD.json` has it. Whoever removes that file gives the shard new
/// tries.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Dead {
    /// The shard's number.
    pub shard: u64,
    /// What became of each try, with the worker's name.
    pub tries: Vec<String>,
}

impl Dead {
    pub(super) fn new(shard: u64, tries: Vec<String>) -> Self {
        Self { shard, tries }
    }

    /// Keeps it with the run, unless the shard was given up already.
    pub(super) fn keep(&self, run: &Run) -> Result<(), Failure> {
        let json = serde_json::to_vec_pretty(self)
            .map_err(|error| Error::invalid("a reason", error, "values that JSON has"))?;
        run.store().create(&run.dead_name(self.shard), Bytes::from(json)).map(drop)
    }

    /// All shards of a run that were given up.
    pub(super) fn all(run: &Run) -> Result<Vec<Self>, Failure> {
        let mut all = vec![];
        for shard in run.numbers(DEAD)? {
            let name = run.dead_name(shard);
            let Some(json) = run.store().read(&name)? else { continue };
            all.push(serde_json::from_slice(&json).unwrap_or_else(|error| {
                Self::new(
                    shard,
                    vec![format!("{} cannot be read: {error}", run.store().path(&name))],
                )
            }));
        }
        Ok(all)
    }
}
