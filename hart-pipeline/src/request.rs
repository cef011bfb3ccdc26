//! What is asked of a pipeline.

use hart_core::{Error, Grid, Result, ScaleSchedule};
use serde::{Deserialize, Serialize};

use crate::defaults::ModelDefaults;
use crate::generation::{Effort, GenerationSettings};
use crate::image::ImageSettings;

/// The most images of one request.
const MAX_IMAGES: usize = 1 << 20;
/// The largest image that may be asked for, over the pixels that the model was trained with.
const MAX_AREA: usize = 4;

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
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(default)]
pub struct Request {
    version: u32,
    prompts: Vec<String>,
    seeds: Seeds,
    count: usize,
    size: Option<[usize; 2]>,
    guidance: Option<f64>,
    top_k: Option<usize>,
    top_p: Option<f64>,
    smooth: Option<bool>,
    mask_passes: usize,
    diffusion_steps: Option<String>,
    temperature: Option<f64>,
    residual: bool,
    effort: Effort,
}

#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
enum Seeds {
    From(u64),
    Listed(Vec<u64>),
}

impl Default for Request {
    /// No images: a request is made by [`Request::new`] or [`Request::batch`].
    fn default() -> Self {
        Self::batch(Vec::<String>::new())
    }
}

/// One image of a request.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct RequestItem {
    /// Its prompt.
    pub prompt: String,
    /// Its seed. With the same settings the same seed gives the same image.
    pub seed: u64,
}

impl Request {
    /// Version of the form in which requests are written.
    const VERSION: u32 = 1;

    /// One image of one prompt.
    pub fn new(prompt: impl Into<String>) -> Self {
        Self::batch([prompt])
    }

    /// One image of each prompt.
    pub fn batch(prompts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self {
            version: Self::VERSION,
            prompts: prompts.into_iter().map(Into::into).collect(),
            seeds: Seeds::From(0),
            count: 1,
            size: None,
            guidance: None,
            top_k: None,
            top_p: None,
            smooth: None,
            mask_passes: 1,
            diffusion_steps: None,
            temperature: None,
            residual: true,
            effort: Effort::Exact,
        }
    }

    /// The seed of the first image (default 0); later ones count on from it.
    pub fn seed(mut self, seed: u64) -> Self {
        self.seeds = Seeds::From(seed);
        self
    }

    /// A seed for each image, in the order of [`Self::items`].
    pub fn seeds(mut self, seeds: impl Into<Vec<u64>>) -> Self {
        self.seeds = Seeds::Listed(seeds.into());
        self
    }

    /// Images of each prompt (default 1).
    pub fn count(mut self, count: usize) -> Self {
        self.count = count;
        self
    }

    /// Width and height in pixels (default: what the model was trained with). Both are multiples of
    /// the pixels that a cell of the latent covers, 16 in the release.
    ///
    /// Experimental: the released model was trained on squares of one size alone. Images of another
    /// shape are best where they have about as many pixels.
    pub fn size(mut self, width: usize, height: usize) -> Self {
        self.size = Some([width, height]);
        self
    }

    /// Classifier-free guidance (default 4.5): how far the prompt is followed, growing from none at
    /// the first scale to nearly this at the last. 0 leaves the prompt unguided.
    pub fn guidance(mut self, guidance: f64) -> Self {
        self.guidance = Some(guidance);
        self
    }

    /// Codes kept for sampling; 0 keeps all. Without it 600 at the first seven scales and 300 at
    /// the later ones, as in the release; more than the codebook has keeps all.
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

    /// Whether codes are mixed instead of chosen (default true), for smoother images.
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

    /// Whether the diffusion head adds its residual (default true); without it the image is made
    /// of discrete tokens alone.
    pub fn residual(mut self, residual: bool) -> Self {
        self.residual = residual;
        self
    }

    /// How much is computed (default all): at 1024 pixels the lower levels take two thirds and half of the
    /// time, for images that are as good in most cases. See [`Effort`].
    pub fn effort(mut self, effort: Effort) -> Self {
        self.effort = effort;
        self
    }

    /// The same settings for other prompts.
    pub fn prompts(self, prompts: impl IntoIterator<Item = impl Into<String>>) -> Self {
        Self { prompts: prompts.into_iter().map(Into::into).collect(), ..self }
    }

    /// The images asked for: all those of the first prompt, then those of the second …
    ///
    /// # Errors
    /// [`Error::Invalid`] when there are none or too many, or another number of seeds than of images.
    pub fn items(&self) -> Result<Vec<RequestItem>> {
        let images = self.prompts.len().saturating_mul(self.count);
        if images == 0 || images > MAX_IMAGES {
            let expected = format!("from 1 to {MAX_IMAGES}");
            return Err(Error::invalid("the number of images", images, expected));
        }
        let seeds: Vec<u64> = match &self.seeds {
            Seeds::From(first) => (0..images as u64).map(|i| first.wrapping_add(i)).collect(),
            Seeds::Listed(seeds) => seeds.clone(),
        };
        if seeds.len() != images {
            let expected = format!("{images}, one for each image");
            return Err(Error::invalid("the number of seeds", seeds.len(), expected));
        }
        let prompts =
            self.prompts.iter().flat_map(|prompt| std::iter::repeat_n(prompt, self.count));
        Ok(prompts
            .zip(seeds)
            .map(|(prompt, seed)| RequestItem { prompt: prompt.clone(), seed })
            .collect())
    }

    /// The request for the very image that these settings made. The rest of what they say belongs
    /// to the pipeline: model, weights, precision, backend, system prompt and padding.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the image was made with a hook, or at a level of effort that this
    /// version does not know: then these settings do not suffice.
    pub fn again(settings: &ImageSettings) -> Result<Self> {
        if let Some(edit) = &settings.edit {
            let expected = "none: edit the image that this one was made of once more";
            return Err(Error::invalid("the edit of the image", &edit.kind, expected));
        }
        if let Some(hook) = &settings.hook {
            let expected = "none: a program of its own made this image";
            return Err(Error::invalid("the hook of the image", hook, expected));
        }
        let unknown = |_| {
            let expected = "one that this version knows: exact, fast or faster";
            Error::invalid("the effort of the image", &settings.effort, expected)
        };
        Ok(Self {
            size: settings.size,
            guidance: Some(settings.guidance),
            // 0 for all; files that say nothing mean the release's.
            top_k: settings.top_k,
            top_p: Some(settings.top_p),
            smooth: Some(settings.smooth),
            mask_passes: settings.mask_passes,
            residual: settings.diffusion_steps.is_some(),
            diffusion_steps: settings.diffusion_steps.clone(),
            temperature: Some(settings.temperature),
            effort: settings.effort.parse().map_err(unknown)?,
            ..Self::new(settings.prompt.as_str()).seed(settings.seed)
        })
    }

    /// The scales of the images asked for, from those that the model was trained with.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a size that the model cannot make.
    pub(crate) fn scales(
        &self,
        trained: &ScaleSchedule,
        downsampling: usize,
    ) -> Result<ScaleSchedule> {
        let Some([width, height]) = self.size else { return Ok(trained.clone()) };
        let usual = trained.latent().times(downsampling);
        let most = MAX_AREA * usual.cells();
        let refuse = |expected: String| {
            Error::invalid("the size of the image", format!("{width} × {height}"), expected)
        };
        if width == 0 || !width.is_multiple_of(downsampling) || !height.is_multiple_of(downsampling)
        {
            return Err(refuse(format!("multiples of {downsampling} pixels")));
        }
        if height == 0 || width.checked_mul(height).is_none_or(|pixels| pixels > most) {
            return Err(refuse(format!(
                "at most {most} pixels, {MAX_AREA} times as many as usual"
            )));
        }
        let latent = Grid::new(height / downsampling, width / downsampling);
        trained.reshaped(latent).map_err(|_| {
            let scales = trained.count();
            refuse(format!("a shape with room for {scales} scales, such as {usual}"))
        })
    }

    /// Checks the settings and fits them to a model with these defaults and diffusion steps.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a setting out of its range.
    pub(crate) fn settings(
        &self,
        scales: &ScaleSchedule,
        diffusion_steps: &str,
        defaults: &ModelDefaults,
    ) -> Result<GenerationSettings> {
        let steps = self.diffusion_steps.as_deref().unwrap_or(diffusion_steps);
        let usual = GenerationSettings::for_model(defaults, steps)?;
        let settings = GenerationSettings {
            guidance: self.guidance.unwrap_or(usual.guidance),
            top_k: self.top_k.or(usual.top_k),
            top_p: self.top_p.unwrap_or(usual.top_p),
            smooth: self.smooth.unwrap_or(usual.smooth),
            mask_passes: self.mask_passes,
            noise_schedule: usual.noise_schedule.filter(|_| self.residual),
            temperature: self.temperature.unwrap_or(usual.temperature),
            effort: self.effort,
        };
        settings.check(scales)?;
        Ok(settings)
    }
}
