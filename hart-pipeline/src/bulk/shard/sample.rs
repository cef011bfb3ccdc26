//! What is said of a picture beside it.

use hart_core::{Error, Result};
use serde::{Deserialize, Serialize};

use crate::bulk::plan::Plan;
use crate::bulk::recipe::{Labels, Picture};
use crate::image::ImageSettings;

/// The content of a picture's `KEY.json`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
#[non_exhaustive]
pub struct Sample {
    /// What its files are called.
    pub key: String,
    /// Its place in the run, counted from 0.
    pub index: u64,
    /// Its prompt.
    pub prompt: String,
    /// Its seed.
    pub seed: u64,
    /// What its prompt says.
    pub labels: Labels,
    /// What became of it.
    pub outcome: Outcome,
    /// Why there is no picture, if there is none.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub reason: Option<String>,
    /// Everything that made it, if it was made; the same as in its file.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub settings: Option<Box<ImageSettings>>,
}

/// What became of a picture.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[non_exhaustive]
pub enum Outcome {
    /// It was made.
    Made,
    /// Its prompt was refused, for instance because it is empty.
    Refused,
    /// It has values that are not finite, while others of its shard have not.
    Broken,
}

impl Outcome {
    /// Its name in files.
    pub fn name(self) -> &'static str {
        match self {
            Self::Made => "made",
            Self::Refused => "refused",
            Self::Broken => "broken",
        }
    }
}

impl Sample {
    /// Of a picture that was made with these settings.
    pub(super) fn made(plan: &Plan, picture: Picture, settings: &ImageSettings) -> Self {
        let settings = Some(Box::new(settings.clone()));
        Self { settings, ..Self::without(plan, picture, Outcome::Made, None) }
    }

    /// Of one that was not, for a reason.
    pub(super) fn without(
        plan: &Plan,
        picture: Picture,
        outcome: Outcome,
        reason: Option<String>,
    ) -> Self {
        let Picture { index, prompt, seed, labels } = picture;
        let key = plan.key(index);
        Self { key, index, prompt, seed, labels, outcome, reason, settings: None }
    }

    /// Whether it is about this picture of a run.
    pub(in crate::bulk) fn is_of(&self, picture: &Picture) -> bool {
        self.index == picture.index
            && self.prompt == picture.prompt
            && self.seed == picture.seed
            && self.labels == picture.labels
    }

    pub(super) fn to_json(&self) -> Result<Vec<u8>> {
        let json = serde_json::to_vec(self);
        json.map_err(|error| Error::invalid("a sample", error, "values that JSON has"))
    }
}
