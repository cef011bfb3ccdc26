//! A picture of a run, before it is made.

use std::collections::BTreeMap;

use serde_json::Value;

/// What is known of a picture, by name.
pub type Labels = BTreeMap<String, Value>;

/// A picture that a run is to make.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Picture {
    /// Its place in the run, counted from 0.
    pub index: u64,
    /// Its prompt.
    pub prompt: String,
    /// Its seed: below 2⁵³ unless a file of prompts says otherwise, so that every reader of JSON has
    /// it exactly.
    pub seed: u64,
    /// What its prompt says: texts of a grammar; of a file of prompts texts, numbers and booleans.
    pub labels: Labels,
}
