//! The settings that all pictures of a recipe have.

use serde::Deserialize;

use crate::generation::Effort;
use crate::request::Request;

/// The table `[settings]` of a recipe: what a [`Request`] says beside prompts and seeds. What is not
/// set is the model's default.
#[derive(Debug, Clone, Default, PartialEq, Deserialize)]
#[serde(default, deny_unknown_fields)]
pub(super) struct Settings {
    /// Width and height in pixels.
    size: Option<[usize; 2]>,
    guidance: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    smooth: Option<bool>,
    mask_passes: Option<usize>,
    diffusion_steps: Option<String>,
    temperature: Option<f64>,
    residual: Option<bool>,
    effort: Effort,
}

impl Settings {
    /// A request with these settings and no prompts yet.
    pub(super) fn request(&self) -> Request {
        let mut request = Request::default();
        if let Some([width, height]) = self.size {
            request = request.size(width, height);
        }
        if let Some(guidance) = self.guidance {
            request = request.guidance(guidance);
        }
        if let Some(top_k) = self.top_k {
            request = request.top_k(top_k);
        }
        if let Some(top_p) = self.top_p {
            request = request.top_p(top_p);
        }
        if let Some(smooth) = self.smooth {
            request = request.smooth(smooth);
        }
        if let Some(passes) = self.mask_passes {
            request = request.mask_passes(passes);
        }
        if let Some(steps) = &self.diffusion_steps {
            request = request.diffusion_steps(steps);
        }
        if let Some(temperature) = self.temperature {
            request = request.temperature(temperature);
        }
        if let Some(residual) = self.residual {
            request = request.residual(residual);
        }
        request.effort(self.effort)
    }
}
