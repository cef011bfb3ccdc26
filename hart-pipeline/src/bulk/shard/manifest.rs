//! What a shard holds, by hashes.

use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};

/// The manifest of a shard: with it the shard is done. Like the tar it is a function of the plan and the
/// shard's number.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Manifest {
    /// Version of this form: [`Self::VERSION`].
    pub version: u32,
    /// The SHA-256 of the plan.
    pub plan: String,
    /// The shard's number.
    pub shard: u64,
    /// Pictures that were made.
    pub made: u64,
    /// Prompts that were refused.
    pub refused: u64,
    /// Pictures that could not be made.
    pub broken: u64,
    /// The tar; its name is without a folder.
    pub tar: FileHash,
    /// The files in it, in their order.
    pub files: Vec<FileHash>,
}

/// A file by its hash.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct FileHash {
    /// Its name.
    pub name: String,
    /// How many bytes it has.
    pub bytes: u64,
    /// Their SHA-256.
    pub sha256: String,
}

impl Manifest {
    /// The version that this library writes and reads.
    pub const VERSION: u32 = 1;

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec_pretty(self);
        json.map_err(|error| Error::invalid("a manifest", error, "values that JSON has"))
    }

    /// Pictures that it counts.
    pub fn pictures(&self) -> u64 {
        self.made.saturating_add(self.refused).saturating_add(self.broken)
    }
}
