//! What is asked of a pipeline.

use hart_ar::sampling::{COARSE_SCALES, RELEASE_TOP_K, Smoothing, TokenRule};
use hart_core::{Error, Result, ScaleSchedule};
use hart_diffusion::NoiseSchedule;

use crate::defaults::ModelDefaults;

/// The most pictures of one request.
const MAX_PICTURES: usize = 1 << 20;

/// Prompts, seeds and settings; the defaults are the model's ([`ModelDefaults`]), as a rule those of
/// the release, which are given here.
///
/// ```
/// use hart_pipeline::Request;
///
/// let request = Request::new("a red heart").seed(7).count(3).guidance(4.5);
/// let seeds: Vec<u64> = request.items()?.iter().map(|item| item.seed).collect();
/// assert_eq!(seeds, [7, 8, 9]);
/// # Ok::<(), hart_pipeline::Error>(())
/// ```
#[derive(Debug, Clone, PartialEq)]
pub struct Request {
    prompts: Vec<String>,
    seeds: Seeds,
    count: usize,
    guidance: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    smooth: Option<bool>,
    mask_passes: usize,
    diffusion_steps: Option<String>,
    temperature: Option<f64>,
    residual: bool,
}

#[derive(Debug, Clone, PartialEq)]
enum Seeds {
    From(u64),
    Listed(Vec<u64>),
}

/// One picture of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequestItem {
    /// Its prompt.
    pub prompt: String,
    /// Its seed. With the same settings the same seed gives the same picture.
    pub seed: u64,
}

impl Request {
    /// One picture of one prompt.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self::batch([prompt])
    }

    /// One picture of each prompt.
    pub fn batch(prompts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            prompts: prompts.into_iter().map(Into::into).collect(),
            seeds: Seeds::From(0),
            count: 1,
            guidance: None,
            top_k: None,
            top_p: None,
            smooth: None,
            mask_passes: 1,
            diffusion_steps: None,
            temperature: None,
            residual: true,
        }
    }

    /// The seed of the first picture (default 0); later ones count on from it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seeds = Seeds::From(seed);
        self
    }

    /// A seed for each picture, in the order of [`Self::items`].
    pub fn seeds(mut self, seeds: impl Into<Vec<u64>>) -> Self {
        self.seeds = Seeds::Listed(seeds.into());
        self
    }

    /// Pictures of each prompt (default 1).
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Classifier-free guidance (default 4.5): how far the prompt is followed, growing from none at
    /// the first scale to nearly this at the last. 0 leaves the prompt unguided.
    pub fn guidance(mut self, guidance: f64) -> Self {
        self.guidance = Some(guidance);
        self
    }

    /// Codes kept for sampling; 0 keeps all. Without it 600 at the first seven scales and 300 at
    /// the later ones, as in the release; more than the codebook has are all it has.
    pub fn top_k(mut self, top_k: usize) -> Self {
        self.top_k = Some(top_k);
        self
    }

    /// Nucleus sampling in [0, 1]: the least likely codes are left out as long as they sum to at
    /// most `1 - top_p`; 0 (the default) leaves out none.
    pub fn top_p(mut self, top_p: f64) -> Self {
        self.top_p = Some(top_p);
        self
    }

    /// Whether codes are mixed instead of chosen (default true), for smoother pictures.
    pub fn smooth(mut self, smooth: bool) -> Self {
        self.smooth = Some(smooth);
        self
    }

    /// Masked passes over the last scale (default 1): more are slower and more coherent.
    pub fn mask_passes(mut self, passes: usize) -> Self {
        self.mask_passes = passes;
        self
    }

    /// Steps of the residual diffusion: a number, section counts such as `10,15,20`, or `ddim25`.
    /// Without it those of the model's configuration.
    pub fn diffusion_steps(mut self, steps: impl Into<String>) -> Self {
        self.diffusion_steps = Some(steps.into());
        self
    }

    /// Factor of the noise of every diffusion step (default 1).
    pub fn temperature(mut self, temperature: f64) -> Self {
        self.temperature = Some(temperature);
        self
    }

    /// Whether the diffusion head adds its residual (default true); without it the picture is made
    /// of discrete tokens alone.
    pub fn residual(mut self, residual: bool) -> Self {
        self.residual = residual;
        self
    }

    /// The pictures asked for: all those of the first prompt, then those of the second …
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are none or too many, or not as many seeds as pictures.
    pub fn items(&self) -> Result<Vec<RequestItem>> {
        let pictures = self.prompts.len().saturating_mul(self.count);
        if pictures == 0 || pictures > MAX_PICTURES {
            let expected = format!("from 1 to {MAX_PICTURES}");
            return Err(Error::invalid("the number of pictures", pictures, expected));
        }
        let seeds: Vec<u64> = match &self.seeds {
            Seeds::From(first) => (0..pictures as u64).map(|i| first.wrapping_add(i)).collect(),
            Seeds::Listed(seeds) => seeds.clone(),
        };
        if seeds.len() != pictures {
            let expected = format!("{pictures}, one for each picture");
            return Err(Error::invalid("the number of seeds", seeds.len(), expected));
        }
        let prompts =
            self.prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, self.count));
        Ok(prompts
            .zip(seeds)
            .map(|(prompt, seed)| RequestItem { prompt: prompt.clone(), seed })
            .collect())
    }

    /// Checks the settings and fits them to a model.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting out of its range.
    pub(crate) fn settings(
        &self,
        scales: &ScaleSchedule,
        released_steps: &str,
        defaults: &ModelDefaults,
    ) -> Result<GenerationSettings> {
        let guidance = self.guidance.unwrap_or(defaults.guidance);
        let top_p = self.top_p.unwrap_or(defaults.top_p);
        let temperature = self.temperature.unwrap_or(defaults.temperature);
        check_number("the guidance", guidance, 0.0, 100.0)?;
        check_number("top-p", top_p, 0.0, 1.0)?;
        check_number("the diffusion temperature", temperature, 0.0, 100.0)?;
        let tokens = scales.tokens(scales.last());
        if self.mask_passes == 0 || self.mask_passes > tokens {
            let expected = format!("from 1 to {tokens}, the tokens of the last scale");
            return Err(Error::invalid("the number of mask passes", self.mask_passes, expected));
        }
        let steps = self.diffusion_steps.clone().unwrap_or_else(|| released_steps.to_string());
        Ok(GenerationSettings {
            guidance,
            top_k: self.top_k.or(defaults.top_k),
            top_p,
            smooth: self.smooth.unwrap_or(defaults.smooth),
            mask_passes: self.mask_passes,
            noise_schedule: self.residual.then(|| NoiseSchedule::respaced(&steps)).transpose()?,
            diffusion_steps: steps,
            temperature,
        })
    }
}

/// The checked settings of a generation.
#[derive(Debug, Clone, PartialEq)]
pub struct GenerationSettings {
    /// Classifier-free guidance.
    pub guidance: f64,
    /// Codes kept for sampling; `None` for those of the release.
    pub top_k: Option<usize>,
    /// Nucleus sampling; 0 for none.
    pub top_p: f64,
    /// Whether codes are mixed instead of chosen.
    pub smooth: bool,
    /// Masked passes over the last scale.
    pub mask_passes: usize,
    /// The schedule of the residual diffusion; `None` leaves the residual out.
    pub noise_schedule: Option<NoiseSchedule>,
    /// The respacing the schedule was made from.
    pub diffusion_steps: String,
    /// Factor of the noise of every diffusion step.
    pub temperature: f64,
}

impl GenerationSettings {
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
