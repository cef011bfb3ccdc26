//! What JavaScript says of an image, as JSON, which knows a key that is misspelt.

use hart_pipeline::{Error, Request, Result};
use serde::Deserialize;

/// The settings of one image. What is left out takes the model's defaults.
#[derive(Debug, Deserialize)]
#[serde(rename_all = "camelCase", deny_unknown_fields)]
pub(crate) struct Settings {
    #[serde(default)]
    prompt: String,
    /// In decimals: JavaScript's numbers are exact up to 2⁵³ alone.
    seed: Option<String>,
    guidance: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    smooth: Option<bool>,
    temperature: Option<f64>,
    mask_passes: Option<usize>,
    diffusion_steps: Option<String>,
    residual: Option<bool>,
    effort: Option<String>,
    /// Of variations: how many of the scales are new, from 0 to 1.
    #[cfg_attr(not(feature = "cpu"), expect(dead_code, reason = "edits are made on the CPU"))]
    strength: Option<f64>,
}

impl Settings {
    /// # Errors
    /// [`Error::Invalid`] for what is not JSON of settings.
    pub(crate) fn parse(json: &str) -> Result<Self> {
        serde_json::from_str(json).map_err(|error| {
            Error::invalid("one of the settings", error, "those that the documentation names")
        })
    }

    /// The prompt; `None` when it is blank.
    #[cfg(feature = "cpu")]
    pub(crate) fn prompt(&self) -> Option<&str> {
        Some(self.prompt.trim()).filter(|prompt| !prompt.is_empty())
    }

    /// How many of the scales are new, from 0 to 1.
    #[cfg(feature = "cpu")]
    pub(crate) fn strength(&self) -> f64 {
        self.strength.unwrap_or(0.5)
    }

    /// A request for this image.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a seed or an effort that cannot be.
    pub(crate) fn request(&self) -> Result<Request> {
        let mut request = Request::new(self.prompt.as_str());
        if let Some(seed) = &self.seed {
            let expected = "a whole number from 0 to 2⁶⁴ - 1";
            let seed = seed.parse().map_err(|_| Error::invalid("the seed", seed, expected))?;
            request = request.seed(seed);
        }
        if let Some(effort) = &self.effort {
            request = request.effort(effort.parse()?);
        }
        request = set(request, self.guidance, Request::guidance);
        request = set(request, self.top_k, Request::top_k);
        request = set(request, self.top_p, Request::top_p);
        request = set(request, self.smooth, Request::smooth);
        request = set(request, self.temperature, Request::temperature);
        request = set(request, self.mask_passes, Request::mask_passes);
        request = set(request, self.residual, Request::residual);
        Ok(set(request, self.diffusion_steps.as_deref(), Request::diffusion_steps))
    }
}

fn set<T>(
    request: Request,
    value: Option<T>,
    setter: impl FnOnce(Request, T) -> Request,
) -> Request {
    match value {
        Some(value) => setter(request, value),
        None => request,
    }
}
