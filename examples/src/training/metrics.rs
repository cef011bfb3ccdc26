//! Metrics as CSV and as a plot.

use std::path::{Path, PathBuf};

use anyhow::Context;
use hart_core::write_atomically;

use super::plot::plot;

/// A table with a row every few steps, in `metrics.csv`, and its plot, `metrics.png`.
#[derive(Debug)]
pub struct Metrics {
    path: PathBuf,
    columns: Vec<&'static str>,
    rows: Vec<(u64, Vec<f64>)>,
}

impl Metrics {
    /// Opens the table of a run that is continued after `step` steps: later rows, of steps that
    /// will be done again, are dropped.
    ///
    /// # Errors
    /// When the file is there and is no such table.
    pub fn open(folder: &Path, columns: &[&'static str], step: u64) -> anyhow::Result<Self> {
        let path = folder.join("metrics.csv");
        let mut metrics = Self { path, columns: columns.to_vec(), rows: vec![] };
        if step > 0 && metrics.path.exists() {
            let text = std::fs::read_to_string(&metrics.path)
                .with_context(|| format!("cannot read {}", metrics.path.display()))?;
            // The last line may have been cut by a kill.
            let rows = text.lines().skip(1).filter_map(|line| metrics.parse(line));
            metrics.rows = rows.filter(|(at, _)| *at <= step).collect();
        }
        Ok(metrics)
    }

    fn parse(&self, line: &str) -> Option<(u64, Vec<f64>)> {
        let mut fields = line.split(',');
        let step = fields.next()?.parse().ok()?;
        let values: Option<Vec<f64>> = fields
            .map(|field| if field.is_empty() { Some(f64::NAN) } else { field.parse().ok() })
            .collect();
        values.filter(|values| values.len() == self.columns.len()).map(|values| (step, values))
    }

    /// Adds a row after `step` steps; NaN where a value was not measured.
    ///
    /// # Errors
    /// When the file cannot be written.
    pub fn add(&mut self, step: u64, values: &[f64]) -> anyhow::Result<()> {
        self.rows.push((step, values.to_vec()));
        let mut text = format!("step,{}\n", self.columns.join(","));
        for (step, values) in &self.rows {
            text += &step.to_string();
            for value in values {
                text += &if value.is_nan() { ",".to_string() } else { format!(",{value:.6}") };
            }
            text.push('\n');
        }
        write_atomically(&self.path, text.as_bytes())
            .with_context(|| "cannot write the metrics".to_string())
    }

    /// Draws the table.
    ///
    /// # Errors
    /// When the picture cannot be written.
    pub fn draw(&self) -> anyhow::Result<()> {
        let curves: Vec<(&str, Vec<(f64, f64)>)> = self
            .columns
            .iter()
            .enumerate()
            .map(|(column, name)| {
                let points = self.rows.iter().map(|(step, values)| (*step as f64, values[column]));
                (*name, points.filter(|(_, value)| value.is_finite()).collect())
            })
            .collect();
        plot(&self.path.with_extension("png"), &curves)
    }
}
