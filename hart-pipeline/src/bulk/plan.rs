//! What a run is, written once.

use std::ops::Range;

use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};

use super::fingerprint::Fingerprint;
use super::recipe::Recipe;
use crate::hash::Hash;

/// The fewest digits of a shard's number, and of a picture's.
const SHARD_DIGITS: usize = 6;
const PICTURE_DIGITS: usize = 9;

/// A run, as `plan.json` has it: everything that its pictures follow from. Shards are numbers: shard
/// `n` has the pictures from `n` times the shard size on, so a plan is as small for a million of them
/// as for one.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct Plan {
    /// Version of this form: [`Self::VERSION`].
    pub version: u32,
    /// Name and version of the program that planned it.
    pub program: String,
    /// Pictures of the run.
    pub pictures: u64,
    /// Pictures of a shard; the last one may have fewer.
    pub shard_size: u64,
    /// The seed of the run.
    pub seed: u64,
    /// The file of prompts, if there is one.
    pub prompts: Option<PromptsCopy>,
    /// What every worker has to have in common.
    pub fingerprint: Fingerprint,
    /// The whole recipe, as it was written.
    pub recipe: String,
}

/// The file of prompts that is kept with the run.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct PromptsCopy {
    /// Its name in the run, below `prompts/`.
    pub name: String,
    /// The SHA-256 of its bytes.
    pub sha256: String,
}

impl Plan {
    /// The version that this library writes and reads.
    pub const VERSION: u32 = 1;

    /// Plans a run of a recipe for workers with this fingerprint.
    pub fn new(recipe: &Recipe, fingerprint: Fingerprint) -> Self {
        Self {
            version: Self::VERSION,
            program: program(),
            pictures: recipe.pictures(),
            shard_size: recipe.shard_size(),
            seed: recipe.seed(),
            prompts: recipe.prompts_file().map(|file| PromptsCopy {
                name: file.name.clone(),
                sha256: Hash::of(&file.bytes).to_string(),
            }),
            fingerprint,
            recipe: recipe.text().to_string(),
        }
    }

    /// How many shards there are.
    pub fn shards(&self) -> u64 {
        self.pictures.div_ceil(self.shard_size)
    }

    /// The pictures of a shard.
    pub fn pictures_of(&self, shard: u64) -> Range<u64> {
        let first = (shard * self.shard_size).min(self.pictures);
        first..(first + self.shard_size).min(self.pictures)
    }

    /// The number of a shard as names have it: `000012`.
    pub fn shard_name(&self, shard: u64) -> String {
        let digits = digits(self.shards(), SHARD_DIGITS);
        format!("{shard:0digits$}")
    }

    /// The number of a shard with this name.
    pub(super) fn shard_called(&self, name: &str) -> Option<u64> {
        let shard = name.parse().ok().filter(|shard| *shard < self.shards())?;
        (self.shard_name(shard) == name).then_some(shard)
    }

    /// What a picture's files are called: `000000012`.
    pub fn key(&self, picture: u64) -> String {
        let digits = digits(self.pictures, PICTURE_DIGITS);
        format!("{picture:0digits$}")
    }

    /// The content of `plan.json`.
    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec_pretty(self);
        json.map_err(|error| Error::invalid("the plan", error, "values that JSON has"))
    }
}

/// Name and version of this library, as pictures have it.
pub(super) fn program() -> String {
    format!("{} {}", env!("CARGO_PKG_NAME"), env!("CARGO_PKG_VERSION"))
}

/// The digits of numbers below `count`, and no fewer than some.
fn digits(count: u64, least: usize) -> usize {
    count.saturating_sub(1).to_string().len().max(least)
}
