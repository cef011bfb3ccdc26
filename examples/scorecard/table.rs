//! The table of all scores.

use std::path::Path;

use hart_core::write_atomically;
use serde::Serialize;
use serde_json::json;

/// One number.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Score {
    /// What is measured.
    pub(crate) name: String,
    /// The model's number.
    pub(crate) found: f64,
    /// What guessing would give.
    pub(crate) chance: Option<f64>,
    /// The score of the data set's images, reconstructed by the tokenizer or not.
    pub(crate) ceiling: Option<f64>,
    /// The goal of training.
    pub(crate) target: Option<f64>,
    /// How many images it was measured on.
    pub(crate) images: usize,
}

/// All numbers.
#[derive(Debug, Default)]
pub(crate) struct Table {
    scores: Vec<Score>,
    details: serde_json::Map<String, serde_json::Value>,
}

impl Score {
    /// A number alone.
    pub(crate) fn new(name: impl Into<String>, found: f64, images: usize) -> Self {
        Self { name: name.into(), found, chance: None, ceiling: None, target: None, images }
    }

    pub(crate) fn chance(self, chance: f64) -> Self {
        Self { chance: Some(chance), ..self }
    }

    pub(crate) fn ceiling(self, ceiling: f64) -> Self {
        Self { ceiling: Some(ceiling), ..self }
    }

    pub(crate) fn target(self, target: f64) -> Self {
        Self { target: Some(target), ..self }
    }
}

impl Table {
    pub(crate) fn add(&mut self, score: Score) {
        self.scores.push(score);
    }

    /// Further values, for the JSON file alone.
    pub(crate) fn detail(&mut self, name: &str, value: serde_json::Value) {
        self.details.insert(name.to_string(), value);
    }

    /// As Markdown.
    pub(crate) fn markdown(&self) -> String {
        let number = |value: Option<f64>| match value {
            Some(value) if value.abs() >= 10.0 => format!("{value:.1}"),
            Some(value) => format!("{value:.3}"),
            None => "–".to_string(),
        };
        let mut text = "| score | found | chance | ceiling | target | images |\n\
                        |---|---|---|---|---|---|\n"
            .to_string();
        for score in &self.scores {
            text += &format!(
                "| {} | {} | {} | {} | {} | {} |\n",
                score.name,
                number(Some(score.found)),
                number(score.chance),
                number(score.ceiling),
                number(score.target),
                score.images
            );
        }
        text
    }

    /// Writes `scorecard.md` and `scorecard.json`.
    pub(crate) fn save(&self, folder: &Path) -> anyhow::Result<()> {
        write_atomically(folder.join("scorecard.md"), self.markdown().as_bytes())?;
        let all = json!({ "scores": self.scores, "details": self.details });
        write_atomically(folder.join("scorecard.json"), &serde_json::to_vec_pretty(&all)?)?;
        Ok(())
    }
}
