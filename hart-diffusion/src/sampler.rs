//! Ancestral sampling of the residual (section 5).

use burn::module::Module;
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::checkpoint::{Checkpoint, LoadOptions, cast, load};
use hart_core::nn::Prepare;
use hart_core::tap::Tap;
use hart_core::{Error, HartBackend, Precision, Result};

use crate::names::NAMES;
use crate::network::{ResidualHeadSize, ResidualNetwork};
use crate::schedule::NoiseSchedule;

/// Residuals are divided by this for the network, so that they fill [-1, 1].
pub const RESIDUAL_SCALE: f64 = 0.6;

/// How residuals are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
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
    fn is_guided(&self) -> bool {
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
    /// A head with fresh weights, sampled in the steps that `respacing` says
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

    /// The schedule it is sampled by.
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

    /// Samples with another schedule than the one it was made with.
    ///
    /// # Errors
    /// As [`Self::sample`].
    pub fn sample_with(
        &self,
        schedule: &NoiseSchedule,
        condition: Tensor<B, 3>,
        start: Tensor<B, 3>,
        mut noise: impl FnMut(usize) -> Tensor<B, 3>,
        settings: &SamplerSettings,
        tap: &mut dyn Tap,
    ) -> Result<Tensor<B, 3>> {
        let [rows, tokens, _] = condition.dims();
        let [batch, noise_tokens, _] = start.dims();
        if rows != 2 * batch || tokens != noise_tokens {
            let expected = format!("[{}, {noise_tokens}, width]", 2 * batch);
            return Err(Error::shape("the shape of the condition", &condition.dims(), expected));
        }
        let condition = match settings.is_guided() {
            true => condition,
            false => condition.narrow(0, 0, batch),
        };
        let condition = self.network.embed_condition(condition);
        let mut x = start.cast(DType::F32);
        for (index, step) in (0..schedule.steps()).rev().enumerate() {
            let time = schedule.times[step] as f64;
            let [epsilon, variance] = self.predict(x.clone(), time, condition.clone(), settings);
            let estimate = x.clone() * schedule.sqrt_reciprocal_alphas[step]
                - epsilon * schedule.sqrt_reciprocal_alphas_minus_one[step];
            let estimate = estimate.clamp(-1.0, 1.0);
            tap.record(&format!("pred_xstart.{index}"), &|| estimate.to_data());
            x = match step {
                // The posterior of the last step is the estimate itself, and it adds no noise.
                0 => estimate,
                _ => {
                    let mean = estimate * schedule.posterior_mean_start[step]
                        + x * schedule.posterior_mean_present[step];
                    let deviation = standard_deviation(schedule, step, variance);
                    mean + deviation * noise(index) * settings.temperature
                }
            };
            tap.record(&format!("sample.{index}"), &|| x.to_data());
        }
        Ok(x * RESIDUAL_SCALE)
    }

    /// Samples residuals `[batch, tokens, Z]`.
    ///
    /// `condition` is `[2·batch, tokens, C]`, the conditional rows first; `start` is standard
    /// normal noise `[batch, tokens, Z]`, and `noise` gives as much for each step by its index in
    /// sampling order. Both halves see the same noise.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the shapes do not fit each other.
    pub fn sample(
        &self,
        condition: Tensor<B, 3>,
        start: Tensor<B, 3>,
        noise: impl FnMut(usize) -> Tensor<B, 3>,
        settings: &SamplerSettings,
        tap: &mut dyn Tap,
    ) -> Result<Tensor<B, 3>> {
        self.sample_with(&self.schedule, condition, start, noise, settings, tap)
    }

    /// Noise and variance of the conditional rows, guided when the settings say so.
    fn predict(
        &self,
        x: Tensor<B, 3>,
        time: f64,
        condition: Tensor<B, 3>,
        settings: &SamplerSettings,
    ) -> [Tensor<B, 3>; 2] {
        if !settings.is_guided() {
            return self.network.forward(x, &[time], condition);
        }
        // Both halves start from the conditional sample; only that one is kept.
        let batch = x.dims()[0];
        let both = x.repeat_dim(0, 2);
        let [epsilon, variance] = self.network.forward(both, &[time], condition);
        let conditional = epsilon.clone().narrow(0, 0, batch);
        let unconditional = epsilon.narrow(0, batch, batch);
        let guided = conditional * (1.0 + settings.guidance) - unconditional * settings.guidance;
        [guided, variance.narrow(0, 0, batch)]
    }
}

/// The network's variance output v in [-1, 1] interpolates between the logarithms of the posterior
/// variance and of beta.
fn standard_deviation<B: Backend>(
    schedule: &NoiseSchedule,
    step: usize,
    variance: Tensor<B, 3>,
) -> Tensor<B, 3> {
    let fraction = (variance + 1.0) / 2.0;
    let (low, high) = (schedule.posterior_log_variance[step], schedule.betas[step].ln());
    let log_variance = fraction * (high - low) + low;
    (log_variance * 0.5).exp()
}
