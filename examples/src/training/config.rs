//! Experiments as TOML files.

use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use serde::Deserialize;
use serde::de::DeserializeOwned;

/// Reads an experiment, and its text as a run keeps it; paths in it are relative to the working directory.
///
/// # Errors
/// When the file cannot be read, is not TOML, or has keys that the program does not know.
pub fn read<T: DeserializeOwned>(path: &Path) -> anyhow::Result<(T, String)> {
    let text = std::fs::read_to_string(path)
        .with_context(|| format!("cannot read the configuration {}", path.display()))?;
    let experiment = toml::from_str(&text);
    let experiment = experiment.with_context(|| format!("{} is no experiment", path.display()))?;
    Ok((experiment, text))
}

/// How long a run is and what it leaves behind.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct RunSettings {
    /// The folder of the run.
    pub folder: PathBuf,
    /// All random draws follow from it.
    #[serde(default)]
    pub seed: u64,
    /// Steps of the optimizer.
    pub steps: u64,
    /// Images a step.
    pub batch: usize,
    /// The batch is made of so many parts whose gradients are added.
    #[serde(default = "one")]
    pub accumulate: usize,
    /// The parts of the batch are spread over so many devices of the backend, from the chosen one
    /// on, at most as many as there are parts. The model does not depend on it.
    #[serde(default = "one")]
    pub devices: usize,
    /// A row of metrics every so many steps.
    #[serde(default = "ten")]
    pub log_every: u64,
    /// Pictures and validation every so many steps.
    pub evaluate_every: u64,
    /// A snapshot every so many steps.
    pub save_every: u64,
}

/// AdamW with global-norm clipping, linear warm-up and linear decay; the defaults are those that
/// VAR published.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OptimizerSettings {
    /// The rate after warm-up.
    pub learning_rate: f64,
    /// The decays of both moments.
    pub betas: [f32; 2],
    /// Added to the root of the second moment.
    pub epsilon: f32,
    /// Decay of matrices and kernels; norms, biases and tables are not decayed.
    pub weight_decay: f32,
    /// Gradients are scaled down to at most this length, all parameters taken together.
    pub clip_norm: f64,
    /// Steps of linear warm-up.
    pub warm_up: u64,
    /// The rate of the last step over that after warm-up.
    pub final_rate: f64,
    /// The running mean of the weights keeps this much of itself a step.
    pub ema: f64,
}

impl Default for OptimizerSettings {
    fn default() -> Self {
        Self {
            learning_rate: 1e-4,
            betas: [0.9, 0.95],
            epsilon: 1e-8,
            weight_decay: 0.05,
            clip_norm: 2.0,
            warm_up: 100,
            final_rate: 0.1,
            ema: 0.999,
        }
    }
}

/// Checks settings, by their names, that are shares of something.
///
/// # Errors
/// For the first that is not 0 to 1.
pub fn check_shares(settings: &[(&str, f64)]) -> anyhow::Result<()> {
    for (name, value) in settings {
        ensure!((0.0..=1.0).contains(value), "`{name}` is {value}, expected 0 to 1");
    }
    Ok(())
}

impl OptimizerSettings {
    /// The learning rate of step `step` of `steps`, counted from 0.
    pub fn rate(&self, step: u64, steps: u64) -> f64 {
        if step < self.warm_up {
            return self.learning_rate * (step + 1) as f64 / self.warm_up as f64;
        }
        let rest = steps.saturating_sub(self.warm_up).max(1) as f64;
        let progress = (step - self.warm_up) as f64 / rest;
        self.learning_rate * (1.0 + (self.final_rate - 1.0) * progress.min(1.0))
    }

    /// # Errors
    /// When a value is out of its range.
    pub fn check(&self) -> anyhow::Result<()> {
        let share = |value: f64| (0.0..=1.0).contains(&value);
        ensure!(self.learning_rate > 0.0, "`learning_rate` must be above 0");
        ensure!(self.betas.iter().all(|&beta| share(f64::from(beta))), "`betas` must be in [0, 1]");
        ensure!(self.epsilon > 0.0, "`epsilon` must be above 0");
        ensure!(self.weight_decay >= 0.0, "`weight_decay` must not be negative");
        ensure!(self.clip_norm > 0.0, "`clip_norm` must be above 0");
        ensure!(share(self.final_rate) && share(self.ema), "`final_rate` and `ema` are shares");
        Ok(())
    }
}

impl RunSettings {
    /// # Errors
    /// When a value is out of its range.
    pub fn check(&self) -> anyhow::Result<()> {
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
            bail!("`{key}` must be at least 1");
        }
        ensure!(
            self.batch.is_multiple_of(self.accumulate),
            "`batch` must be a multiple of `accumulate`"
        );
        ensure!(
            self.devices <= self.accumulate,
            "`devices` is {}, more than the {} parts of a batch: raise `accumulate`",
            self.devices,
            self.accumulate
        );
        Ok(())
    }
}

fn one() -> usize {
    1
}

fn ten() -> u64 {
    10
}

#[cfg(test)]
mod tests {
    use super::OptimizerSettings;

    #[test]
    fn the_rate_rises_and_falls_in_lines() {
        let settings = OptimizerSettings { learning_rate: 1.0, warm_up: 10, ..Default::default() };
        let rates: Vec<f64> = (0..110).map(|step| settings.rate(step, 110)).collect();
        assert!((rates[0] - 0.1).abs() < 1e-9 && (rates[9] - 1.0).abs() < 1e-9);
        assert!((rates[60] - 0.55).abs() < 1e-9 && rates[109] > 0.1 && rates[109] < 0.11);
    }
}
