//! Learning rates, decay and clipping.

use hart_core::Result;
use serde::{Deserialize, Serialize};

use crate::training::experiment::{check, check_shares};

/// AdamW with global-norm clipping, linear warm-up and linear decay; the defaults are those that
/// VAR published.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct OptimizerSettings {
    /// The rate after warm-up.
    pub learning_rate: f64,
    /// The decays of both moments.
    pub betas: [f64; 2],
    /// Added to the root of the second moment.
    pub epsilon: f64,
    /// Decay of matrices and kernels; norms, biases and tables are not decayed.
    pub weight_decay: f64,
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

    /// Checks every value, as those of the table `[optimizer]`.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) for the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        let table = "optimizer";
        for (key, value) in [
            ("learning_rate", self.learning_rate),
            ("epsilon", self.epsilon),
            ("clip_norm", self.clip_norm),
        ] {
            check(value > 0.0, table, key, value, "above 0")?;
        }
        check(self.weight_decay >= 0.0, table, "weight_decay", self.weight_decay, "at least 0")?;
        let [first, second] = self.betas;
        let shares = [("betas", first), ("betas", second)];
        check_shares(table, &shares)?;
        check_shares(table, &[("final_rate", self.final_rate), ("ema", self.ema)])
    }
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
