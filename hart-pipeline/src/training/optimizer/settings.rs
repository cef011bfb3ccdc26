//! Learning rates, decay and clipping.

use hart_core::Result;
use serde::{Deserialize, Serialize};

use crate::training::experiment::{check, check_positive, check_shares, check_weights};

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
        let positive = [
            ("learning_rate", self.learning_rate),
            ("epsilon", self.epsilon),
            ("clip_norm", self.clip_norm),
        ];
        check_positive(table, &positive)?;
        check_weights(table, &[("weight_decay", self.weight_decay)])?;
        for beta in self.betas {
            // 1 in 32 bits would divide by nothing.
            let fits = beta >= 0.0 && (beta as f32) < 1.0;
            check(fits, table, "betas", beta, "two shares from 0 to below 1")?;
        }
        check_shares(table, &[("final_rate", self.final_rate), ("ema", self.ema)])
    }
}

#[cfg(test)]
mod tests {
    use super::OptimizerSettings;

    #[test]
    fn values_out_of_their_ranges_are_named() {
        let refused = |change: &dyn Fn(&mut OptimizerSettings), key: &str| {
            let mut settings = OptimizerSettings::default();
            change(&mut settings);
            let said = settings.check().expect_err(key).to_string();
            assert!(said.starts_with(&format!("[optimizer]: `{key}` is ")), "{said}");
        };
        OptimizerSettings::default().check().expect("the defaults");
        for bad in [f64::NAN, f64::INFINITY, -1.0] {
            refused(&|settings| settings.learning_rate = bad, "learning_rate");
            refused(&|settings| settings.epsilon = bad, "epsilon");
            refused(&|settings| settings.clip_norm = bad, "clip_norm");
            refused(&|settings| settings.weight_decay = bad, "weight_decay");
            refused(&|settings| settings.betas[1] = bad, "betas");
            refused(&|settings| settings.final_rate = bad, "final_rate");
            refused(&|settings| settings.ema = bad, "ema");
        }
        refused(&|settings| settings.learning_rate = 0.0, "learning_rate");
        refused(&|settings| settings.epsilon = 1e-60, "epsilon");
        refused(&|settings| settings.betas[0] = 1.0, "betas");
    }

    #[test]
    fn the_rate_rises_and_falls_in_lines() {
        let settings = OptimizerSettings { learning_rate: 1.0, warm_up: 10, ..Default::default() };
        let rates: Vec<f64> = (0..110).map(|step| settings.rate(step, 110)).collect();
        assert!((rates[0] - 0.1).abs() < 1e-9 && (rates[9] - 1.0).abs() < 1e-9);
        assert!((rates[60] - 0.55).abs() < 1e-9 && rates[109] > 0.1 && rates[109] < 0.11);
    }
}
