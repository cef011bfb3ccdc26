//! The settings of a generation, checked.

use hart_ar::sampling::{COARSE_SCALES, RELEASE_TOP_K, Smoothing, TokenRule};
use hart_core::{Error, Result, ScaleSchedule};
use hart_diffusion::NoiseSchedule;

use super::effort::Effort;
use crate::defaults::ModelDefaults;

/// The checked settings of a generation.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct GenerationSettings {
    /// Classifier-free guidance.
    pub guidance: f64,
    /// Codes kept for sampling, 0 for all; `None` for those of the release.
    pub top_k: Option<usize>,
    /// Nucleus sampling; 0 for none.
    pub top_p: f64,
    /// Whether codes are mixed instead of chosen.
    pub smooth: bool,
    /// Masked passes over the last scale.
    pub mask_passes: usize,
    /// The schedule of the residual diffusion; `None` leaves the residual out.
    pub noise_schedule: Option<NoiseSchedule>,
    /// Factor of the noise of every diffusion step.
    pub temperature: f64,
    /// How much is computed.
    pub effort: Effort,
}

impl GenerationSettings {
    /// Those of the release: guidance 4.5, smooth sampling, one pass, 8 diffusion steps.
    pub fn released() -> Self {
        let settings = Self::for_model(&ModelDefaults::default(), "8");
        settings.expect("the settings of the release")
    }

    /// What suits a model, with the diffusion steps of its configuration.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a default out of its range or an impossible respacing.
    pub fn for_model(defaults: &ModelDefaults, diffusion_steps: &str) -> Result<Self> {
        let settings = Self {
            guidance: defaults.guidance,
            top_k: defaults.top_k,
            top_p: defaults.top_p,
            smooth: defaults.smooth,
            mask_passes: 1,
            noise_schedule: Some(NoiseSchedule::respaced(diffusion_steps)?),
            temperature: defaults.temperature,
            effort: Effort::Exact,
        };
        settings.check_numbers()?;
        Ok(settings)
    }

    /// Checks that every number is in its range for a model of these scales.
    ///
    /// # Errors
    /// [`Error::Invalid`] for the first that is not.
    pub(crate) fn check(&self, scales: &ScaleSchedule) -> Result<()> {
        self.check_numbers()?;
        let tokens = scales.tokens(scales.last());
        if self.mask_passes == 0 || self.mask_passes > tokens {
            let expected = format!("from 1 to {tokens}, the tokens of the last scale");
            return Err(Error::invalid("the number of mask passes", self.mask_passes, expected));
        }
        if self.effort == Effort::Faster && self.mask_passes > 1 {
            let expected = "1 at the effort `faster`, which leaves out tokens of the last scale";
            return Err(Error::invalid("the number of mask passes", self.mask_passes, expected));
        }
        Ok(())
    }

    fn check_numbers(&self) -> Result<()> {
        check_number("the guidance", self.guidance, 0.0, 100.0)?;
        check_number("top-p", self.top_p, 0.0, 1.0)?;
        check_number("the diffusion temperature", self.temperature, 0.0, 100.0)
    }

    /// How the tokens of a scale are sampled.
    pub fn token_rule(&self, scales: &ScaleSchedule, scale: usize) -> TokenRule {
        let [coarse, fine] = RELEASE_TOP_K;
        let released = if scale < COARSE_SCALES { coarse } else { fine };
        TokenRule {
            top_k: self.top_k.unwrap_or(released),
            top_p: self.top_p,
            smooth: self.smooth.then(|| Smoothing::at(scales, scale)),
        }
    }
}

/// A finite number in a range; NaN is in none.
fn check_number(what: &str, value: f64, low: f64, high: f64) -> Result<()> {
    if (low..=high).contains(&value) {
        return Ok(());
    }
    Err(Error::invalid(what, value, format!("a number from {low} to {high}")))
}
