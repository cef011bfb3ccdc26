//! The cosine noise schedule and its respacing, in double precision (section 5).

use std::f64::consts::FRAC_PI_2;

use hart_core::{Error, Result};

/// Diffusion steps the network is trained with.
pub const TRAINING_STEPS: usize = 1000;

/// A (respaced) diffusion process, a step at a time; step 0 is the least noisy.
///
/// ```
/// use hart_diffusion::NoiseSchedule;
///
/// let schedule = NoiseSchedule::respaced("8")?;
/// assert_eq!((schedule.steps().len(), schedule.step(7).time), (8, 999));
/// # Ok::<(), hart_core::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct NoiseSchedule {
    steps: Vec<NoiseStep>,
    respacing: String,
}

/// The constants of one step of a diffusion process.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct NoiseStep {
    /// The step's time in the process of [`TRAINING_STEPS`], what the network is given.
    pub time: usize,
    /// Variance that the step adds.
    pub beta: f64,
    /// Signal left after the step, the product of `1 - beta` so far.
    pub alpha_cumulative: f64,
    /// Signal left before the step; 1 for the first.
    pub alpha_before: f64,
    /// Factor of x_t in the estimate of x_0.
    pub sqrt_reciprocal_alpha: f64,
    /// Factor of the noise in the estimate of x_0.
    pub sqrt_reciprocal_alpha_minus_one: f64,
    /// Logarithm of the posterior variance; that of step 0, which is zero, is taken from step 1.
    pub posterior_log_variance: f64,
    /// Factor of x_0 in the posterior mean.
    pub posterior_mean_start: f64,
    /// Factor of x_t in the posterior mean.
    pub posterior_mean_present: f64,
}

impl NoiseSchedule {
    /// The schedule of all [`TRAINING_STEPS`].
    pub fn full() -> Self {
        Self::spaced((0..TRAINING_STEPS).collect(), TRAINING_STEPS.to_string())
    }

    /// The schedule respaced as `respacing` says: a number of steps (`8`), the numbers of steps in
    /// equal sections (`10,15,20`), or `ddimN` for N steps at a whole-numbered stride.
    ///
    /// # Errors
    /// [`Error::Invalid`] for text of another form, a section with more steps than it has, no steps
    /// at all, or an N that no stride gives.
    pub fn respaced(respacing: &str) -> Result<Self> {
        Ok(Self::spaced(parse_respacing(respacing)?, respacing.to_string()))
    }

    /// The text it was made from, as [`Self::respaced`] takes it.
    pub fn respacing(&self) -> &str {
        &self.respacing
    }

    /// All steps, the least noisy first: sampling goes through them from the end.
    pub fn steps(&self) -> &[NoiseStep] {
        &self.steps
    }

    /// Step `index`, counted from the least noisy.
    ///
    /// # Panics
    /// For an `index` that is not below the number of steps.
    pub fn step(&self, index: usize) -> &NoiseStep {
        &self.steps[index]
    }

    /// The process that visits only `times`, increasing: betas are derived anew from the signal
    /// left at those times.
    fn spaced(times: Vec<usize>, respacing: String) -> Self {
        let all = cosine_alphas_cumulative();
        let alphas: Vec<f64> = times.iter().map(|&time| all[time]).collect();
        let before = |t: usize| if t == 0 { 1.0 } else { alphas[t - 1] };
        let betas: Vec<f64> = (0..times.len()).map(|t| 1.0 - alphas[t] / before(t)).collect();
        // Cumulative products of the new betas, not the old ones: they differ in the last bits.
        let alphas: Vec<f64> = betas
            .iter()
            .scan(1.0, |product, beta| {
                *product *= 1.0 - beta;
                Some(*product)
            })
            .collect();
        let before = |t: usize| if t == 0 { 1.0 } else { alphas[t - 1] };
        let variance = |t: usize| betas[t] * (1.0 - before(t)) / (1.0 - alphas[t]);
        let step = |t: usize| NoiseStep {
            time: times[t],
            beta: betas[t],
            alpha_cumulative: alphas[t],
            alpha_before: before(t),
            sqrt_reciprocal_alpha: (1.0 / alphas[t]).sqrt(),
            sqrt_reciprocal_alpha_minus_one: (1.0 / alphas[t] - 1.0).sqrt(),
            posterior_log_variance: match (t, times.len()) {
                (0, 1) => f64::MIN_POSITIVE.ln(),
                _ => variance(t.max(1)).ln(),
            },
            posterior_mean_start: betas[t] * before(t).sqrt() / (1.0 - alphas[t]),
            posterior_mean_present: (1.0 - before(t)) * (1.0 - betas[t]).sqrt() / (1.0 - alphas[t]),
        };
        Self { steps: (0..times.len()).map(step).collect(), respacing }
    }
}

/// The signal left after each training step: cos²((t + 0.008) / 1.008 · π/2), no step adding more
/// than 0.999.
fn cosine_alphas_cumulative() -> Vec<f64> {
    let alpha_bar = |t: f64| ((t + 0.008) / 1.008 * FRAC_PI_2).cos().powi(2);
    let steps = TRAINING_STEPS as f64;
    let betas = (0..TRAINING_STEPS).map(|i| {
        let (start, end) = (i as f64 / steps, (i + 1) as f64 / steps);
        (1.0 - alpha_bar(end) / alpha_bar(start)).min(0.999)
    });
    betas
        .scan(1.0, |product, beta| {
            *product *= 1.0 - beta;
            Some(*product)
        })
        .collect()
}

/// The original times a respacing visits, increasing.
fn parse_respacing(respacing: &str) -> Result<Vec<usize>> {
    let refuse = |expected: &str| {
        Error::invalid("the diffusion respacing", format!("`{respacing}`"), expected)
    };
    const FORMS: &str = "a number of steps, numbers separated by commas, or ddimN";
    if let Some(count) = respacing.strip_prefix("ddim") {
        let count: usize = count.parse().map_err(|_| refuse(FORMS))?;
        let stride = (1..TRAINING_STEPS).find(|&stride| TRAINING_STEPS.div_ceil(stride) == count);
        let stride = stride.ok_or_else(|| refuse("an N that some whole stride over 1000 gives"))?;
        return Ok((0..TRAINING_STEPS).step_by(stride).collect());
    }
    let counts: Result<Vec<usize>, _> =
        respacing.split(',').map(|count| count.trim().parse::<usize>()).collect();
    let counts = counts.map_err(|_| refuse(FORMS))?;
    if counts.len() > TRAINING_STEPS {
        return Err(refuse("at most 1000 sections"));
    }
    let (size, larger) = (TRAINING_STEPS / counts.len(), TRAINING_STEPS % counts.len());
    let mut times = vec![];
    let mut start = 0;
    for (section, &count) in counts.iter().enumerate() {
        let size = size + usize::from(section < larger);
        if count > size {
            return Err(refuse("no more steps in a section than it has of the 1000"));
        }
        // Spread evenly, the last on the section's end; ties round to the even neighbour.
        let stride = if count > 1 { (size - 1) as f64 / (count - 1) as f64 } else { 1.0 };
        let mut at = 0.0f64;
        for _ in 0..count {
            times.push(start + at.round_ties_even() as usize);
            at += stride;
        }
        start += size;
    }
    times.dedup();
    if times.is_empty() { Err(refuse("at least one step")) } else { Ok(times) }
}

#[cfg(test)]
mod tests {
    use super::NoiseSchedule;

    #[test]
    fn nonsense_is_refused() {
        for bad in
            ["", "x", "8,", "-3", "0", "0,0", "1001", "600,600", "ddim", "ddim999", "ddim0", "1e3"]
        {
            assert!(NoiseSchedule::respaced(bad).is_err(), "{bad:?} was accepted");
        }
        let many = "1,".repeat(5000) + "1";
        assert!(NoiseSchedule::respaced(&many).is_err());
    }

    #[test]
    fn one_step_and_all_steps_are_finite() {
        for (respacing, steps) in [("1", 1), ("2", 2), ("1000", 1000), ("ddim1000", 1000)] {
            let schedule = NoiseSchedule::respaced(respacing).unwrap();
            assert_eq!(schedule.steps().len(), steps);
            assert!(schedule.steps().iter().all(|step| step.posterior_log_variance.is_finite()));
            assert!(schedule.steps().iter().all(|step| step.posterior_mean_start.is_finite()));
        }
    }

    #[test]
    fn respacing_to_every_step_changes_nothing() {
        let full = NoiseSchedule::full();
        assert_eq!(NoiseSchedule::respaced("1000").unwrap(), full);
        assert!(full.steps().iter().map(|step| step.time).eq(0..1000));
    }
}
