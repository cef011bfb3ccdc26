//! What became of the earlier tries of a shard.

use serde::{Deserialize, Serialize};

/// Kept on the server for a shard that was given back or could not be made.
#[derive(Debug, Clone, Default, PartialEq, Eq, Serialize, Deserialize)]
#[serde(default)]
pub(super) struct Book {
    /// How often it was given back, which is no try.
    pub(super) returned: u64,
    /// Why it could not be made, with the worker's name.
    pub(super) reasons: Vec<String>,
}

impl Book {
    /// Tries among N deliveries.
    pub(super) fn tries(&self, deliveries: u64) -> usize {
        usize::try_from(deliveries.saturating_sub(self.returned)).unwrap_or(usize::MAX)
    }
}
