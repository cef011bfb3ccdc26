//! Ancestral sampling of the residual (section 5).

use burn::module::Module;
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::checkpoint::{Checkpoint, LoadOptions, cast, load};
use hart_core::nn::Prepare;
use hart_core::tap::Tap;
use hart_core::{Error, HartBackend, Precision, Result};

use crate::names::NAMES;
use crate::network::{ResidualHeadSize, ResidualNetwork};
use crate::schedule::{NoiseSchedule, NoiseStep};

/// Residuals are divided by this for the network, so that they fill [-1, 1].
pub const RESIDUAL_SCALE: f64 = 0.6;

/// How residuals are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
#[non_exhaustive]
pub struct SamplerSettings {
    /// Guidance s: noise = conditional·(1 + s) - unconditional·s. As in the reference, exactly 1
    /// (like 0) means no guidance.
    pub guidance: f64,
    /// Factor of the noise of every step.
    pub temperature: f64,
}

impl Default for SamplerSettings {
    fn default() -> Self {
        Self { guidance: 0.0, temperature: 1.0 }
    }
}

impl SamplerSettings {
    /// Sampling with this guidance and temperature.
    pub fn new(guidance: f64, temperature: f64) -> Self {
        Self { guidance, temperature }
    }

    /// Whether the unconditional half is computed.
    pub fn is_guided(&self) -> bool {
        self.guidance != 1.0 && self.guidance != 0.0
    }
}

/// The residual diffusion head: the network with the schedule it is sampled by.
#[derive(Module, Debug)]
pub struct ResidualHead<B: Backend> {
    /// The network.
    pub network: ResidualNetwork<B>,
    #[module(skip)]
    schedule: NoiseSchedule,
}

impl<B: Backend> ResidualHead<B> {
    /// A head with fresh weights, configured for the steps that `respacing` says
    /// ([`NoiseSchedule::respaced`]).
    ///
    /// # Errors
    /// [`Error::Invalid`] for an impossible respacing.
    pub fn init(size: &ResidualHeadSize, respacing: &str, device: &B::Device) -> Result<Self> {
        let schedule = NoiseSchedule::respaced(respacing)?;
        Ok(Self { network: ResidualNetwork::init(size, device), schedule })
    }

    /// The same head with its weights in another precision.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the head is prepared.
    pub fn cast(self, options: LoadOptions) -> Result<Self> {
        Ok(Self { network: cast(self.network, &NAMES, options)?, ..self })
    }

    /// The schedule it was configured with.
    pub fn schedule(&self) -> &NoiseSchedule {
        &self.schedule
    }
}

impl<B: HartBackend> Prepare for ResidualHead<B> {
    fn prepare(&mut self, precision: Precision) {
        self.network.prepare(precision);
    }
}

impl<B: HartBackend> ResidualHead<B> {
    /// A head with the weights of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Weights`] when the checkpoint does not fit, [`Error::Invalid`] for an impossible
    /// respacing.
    pub fn from_checkpoint(
        size: &ResidualHeadSize,
        respacing: &str,
        checkpoint: &Checkpoint,
        options: LoadOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let schedule = NoiseSchedule::respaced(respacing)?;
        let network = load(ResidualNetwork::init(size, device), checkpoint, &NAMES, options)?;
        Ok(Self { network: options.finish(network), schedule })
    }

    /// Samples residuals `[batch, tokens, Z]` by the steps of `schedule`, the noisiest first.
    ///
    /// `condition` is `[rows, tokens, C]`: the conditional rows, and behind them under guidance as
    /// many unconditional ones, which may be left out otherwise. `start` is standard normal noise
    /// `[batch, tokens, Z]`, and `noise` gives as much for each step by its index in sampling
    /// order. Both halves see the same noise.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the shapes do not fit each other.
    pub fn sample(
        &self,
        schedule: &NoiseSchedule,
        condition: Tensor<B, 3>,
        start: Tensor<B, 3>,
        mut noise: impl FnMut(usize) -> Tensor<B, 3>,
        settings: &SamplerSettings,
        tap: &mut dyn Tap,
    ) -> Result<Tensor<B, 3>> {
        let condition = self.embed_condition(condition, start.dims(), settings)?;
        let mut x = start.cast(DType::F32);
        for (index, step) in schedule.steps().iter().rev().enumerate() {
            let Denoised { estimate, sample } =
                self.step(step, x, condition.clone(), || noise(index), settings);
            tap.record(&format!("estimate.{index}"), &|| estimate.to_data());
            tap.record(&format!("sample.{index}"), &|| sample.to_data());
            x = sample;
        }
        Ok(x * RESIDUAL_SCALE)
    }

    /// The condition as [`Self::step`] takes it, computed once for all steps; of an unguided
    /// sampling the conditional half alone. `sample` is the shape of what is sampled.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the shapes do not fit each other.
    pub fn embed_condition(
        &self,
        condition: Tensor<B, 3>,
        sample: [usize; 3],
        settings: &SamplerSettings,
    ) -> Result<Tensor<B, 3>> {
        let ([rows, tokens, _], [batch, noise_tokens, _]) = (condition.dims(), sample);
        let fits = rows == 2 * batch || (rows == batch && !settings.is_guided());
        if !fits || tokens != noise_tokens {
            let expected = format!("[{}, {noise_tokens}, width]", 2 * batch);
            return Err(Error::shape("the shape of the condition", &condition.dims(), expected));
        }
        let condition =
            if settings.is_guided() { condition } else { condition.narrow(0, 0, batch) };
        Ok(self.network.embed_condition(condition))
    }

    /// One step of ancestral sampling: from `x` `[batch, tokens, Z]` of the step to that of the
    /// step before it, given the embedded condition ([`Self::embed_condition`]). `noise` is asked
    /// for standard normal values of the same shape, except at the last step, which adds none.
    pub fn step(
        &self,
        step: &NoiseStep,
        x: Tensor<B, 3>,
        condition: Tensor<B, 3>,
        noise: impl FnOnce() -> Tensor<B, 3>,
        settings: &SamplerSettings,
    ) -> Denoised<B> {
        let [epsilon, variance] = self.predict(step, x.clone(), condition, settings);
        let estimate =
            x.clone() * step.sqrt_reciprocal_alpha - epsilon * step.sqrt_reciprocal_alpha_minus_one;
        let estimate = estimate.clamp(-1.0, 1.0);
        if step.alpha_before == 1.0 {
            // The posterior of the last step is the estimate itself, and it adds no noise.
            return Denoised { sample: estimate.clone(), estimate };
        }
        let mean = estimate.clone() * step.posterior_mean_start + x * step.posterior_mean_present;
        let noise = standard_deviation(step, variance) * noise() * settings.temperature;
        Denoised { sample: mean + noise, estimate }
    }

    /// Noise and variance `[batch, tokens, Z]` that the network predicts of `x` at a step, guided
    /// when the settings say so.
    pub fn predict(
        &self,
        step: &NoiseStep,
        x: Tensor<B, 3>,
        condition: Tensor<B, 3>,
        settings: &SamplerSettings,
    ) -> [Tensor<B, 3>; 2] {
        let time = [step.time as f64];
        if !settings.is_guided() {
            return self.network.forward(x, &time, condition);
        }
        // Both halves start from the conditional sample; only that one is kept.
        let batch = x.dims()[0];
        let [epsilon, variance] = self.network.forward(x.repeat_dim(0, 2), &time, condition);
        let conditional = epsilon.clone().narrow(0, 0, batch);
        let unconditional = epsilon.narrow(0, batch, batch);
        let guided = conditional * (1.0 + settings.guidance) - unconditional * settings.guidance;
        [guided, variance.narrow(0, 0, batch)]
    }
}

/// What a step of sampling gives, `[batch, tokens, Z]` each.
#[derive(Debug, Clone)]
pub struct Denoised<B: Backend> {
    /// The estimate of the residual without noise, over [`RESIDUAL_SCALE`] and cut to [-1, 1].
    pub estimate: Tensor<B, 3>,
    /// The sample that the next step starts from; after the last step the result.
    pub sample: Tensor<B, 3>,
}

/// The network's variance output v in [-1, 1] interpolates between the logarithms of the posterior
/// variance and of beta.
fn standard_deviation<B: Backend>(step: &NoiseStep, variance: Tensor<B, 3>) -> Tensor<B, 3> {
    let fraction = (variance + 1.0) / 2.0;
    let (low, high) = (step.posterior_log_variance, step.beta.ln());
    let log_variance = fraction * (high - low) + low;
    (log_variance * 0.5).exp()
}
