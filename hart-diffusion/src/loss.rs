//! The training loss of the residual head (section 5).

use std::f64::consts::{LN_2, PI};

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use hart_core::{Error, HartBackend, Result};

use crate::network::ResidualNetwork;
use crate::sampler::RESIDUAL_SCALE;
use crate::schedule::{NoiseSchedule, NoiseStep, TRAINING_STEPS};

/// Half the width of a bin when [-1, 1] is cut into 8 bits.
const HALF_BIN: f64 = 1.0 / 255.0;

/// The least probability whose logarithm is taken.
const LEAST: f64 = 1e-12;

/// The random part of one evaluation of the loss.
#[derive(Debug, Clone)]
pub struct DiffusionDraws<B: Backend> {
    /// For each noised token its original time, below [`TRAINING_STEPS`].
    pub times: Vec<usize>,
    /// Standard normal noise, `[noised tokens, Z]`.
    pub noise: Tensor<B, 2>,
}

/// The two terms of the loss, `[noised tokens]` each, means over the channels.
#[derive(Debug, Clone)]
pub struct DiffusionTerms<B: Backend> {
    /// Squared error of the predicted noise.
    pub noise: Tensor<B, 1>,
    /// Variational bound of one step in bits. It trains the variance alone.
    pub bound: Tensor<B, 1>,
}

impl<B: Backend> DiffusionTerms<B> {
    /// The sum of both terms, mean over all noised tokens: `[1]`.
    pub fn total(&self) -> Tensor<B, 1> {
        (self.noise.clone() + self.bound.clone()).mean()
    }
}

/// The training loss over the whole process of [`TRAINING_STEPS`].
#[derive(Debug, Clone)]
pub struct DiffusionLoss {
    schedule: NoiseSchedule,
}

impl Default for DiffusionLoss {
    fn default() -> Self {
        Self { schedule: NoiseSchedule::full() }
    }
}

impl DiffusionLoss {
    /// The loss for residuals `[tokens, Z]` under conditions `[tokens, C]`.
    ///
    /// The draws may be for several copies of the tokens, one copy behind the other
    /// (`diffusion_batch_mul`): the condition is embedded once for all of them.
    ///
    /// # Errors
    /// [`Error::Invalid`] when the draws are not for a whole number of copies, or a time is beyond
    /// the process.
    pub fn forward<B: HartBackend>(
        &self,
        network: &ResidualNetwork<B>,
        residual: Tensor<B, 2>,
        condition: Tensor<B, 2>,
        draws: &DiffusionDraws<B>,
    ) -> Result<DiffusionTerms<B>> {
        self.terms(network, residual / RESIDUAL_SCALE, condition, draws)
    }

    /// As [`Self::forward`], for residuals that were scaled already.
    ///
    /// # Errors
    /// As [`Self::forward`].
    pub fn terms<B: HartBackend>(
        &self,
        network: &ResidualNetwork<B>,
        start: Tensor<B, 2>,
        condition: Tensor<B, 2>,
        draws: &DiffusionDraws<B>,
    ) -> Result<DiffusionTerms<B>> {
        let copies = check(&start, &condition, draws)?;
        let start = start.cast(DType::F32).repeat_dim(0, copies);
        let condition = network.embed_condition(condition.unsqueeze());
        // Not `repeat_dim`: its gradient is wrong in burn 0.21 for axes of several entries.
        let condition = Tensor::cat(vec![condition; copies], 1);
        let noised = self.noise(start.clone(), draws);

        let times: Vec<f64> = draws.times.iter().map(|&time| time as f64).collect();
        let predicted = network.forward_each(noised.clone().unsqueeze(), &times, condition);
        let [noise, variance] = predicted.map(|part| part.squeeze_dim::<2>(0));
        let error = (noise.clone() - draws.noise.clone()).square().mean_dim(1).squeeze_dim(1);
        let bound = self.bound(start, noised, noise.detach(), variance, &draws.times);
        Ok(DiffusionTerms { noise: error, bound })
    }

    /// Scaled tokens `[noised tokens, Z]` at their times: `sqrt(alpha)·start + sqrt(1 -
    /// alpha)·noise`.
    pub fn noise<B: Backend>(
        &self,
        start: Tensor<B, 2>,
        draws: &DiffusionDraws<B>,
    ) -> Tensor<B, 2> {
        let column = |value: &dyn Fn(&NoiseStep) -> f64| {
            column(&draws.times, &|t| value(self.schedule.step(t)), &start.device())
        };
        let signal = column(&|step| step.alpha_cumulative.sqrt());
        let noise = column(&|step| (1.0 - step.alpha_cumulative).sqrt());
        start * signal + draws.noise.clone() * noise
    }

    /// The bound in bits: at time 0 the likelihood of the start, else the divergence of the
    /// predicted posterior from the true one.
    fn bound<B: Backend>(
        &self,
        start: Tensor<B, 2>,
        noised: Tensor<B, 2>,
        noise: Tensor<B, 2>,
        variance: Tensor<B, 2>,
        times: &[usize],
    ) -> Tensor<B, 1> {
        let column = |value: fn(&NoiseStep) -> f64| {
            column(times, &|t| value(self.schedule.step(t)), &start.device())
        };
        let low = column(|step| step.posterior_log_variance);
        let high = column(|step| step.beta.ln());
        let fraction = (variance + 1.0) / 2.0;
        let log_variance = fraction.clone() * high + (-fraction + 1.0) * low.clone();

        let estimate = noised.clone() * column(|step| step.sqrt_reciprocal_alpha)
            - noise * column(|step| step.sqrt_reciprocal_alpha_minus_one);
        let posterior_mean = |start: Tensor<B, 2>| {
            start * column(|step| step.posterior_mean_start)
                + noised.clone() * column(|step| step.posterior_mean_present)
        };
        let (mean, true_mean) = (posterior_mean(estimate), posterior_mean(start.clone()));
        let divergence = divergence(true_mean, low, mean.clone(), log_variance.clone());
        let bits = divergence.mean_dim(1) / LN_2;
        if !times.contains(&0) {
            return bits.squeeze_dim(1);
        }
        let likelihood = log_likelihood(start.clone(), mean, log_variance * 0.5);
        let ending = -likelihood.mean_dim(1) / LN_2;
        let is_zero: Vec<bool> = times.iter().map(|&time| time == 0).collect();
        let mask = TensorData::new(is_zero, [times.len(), 1]);
        bits.mask_where(Tensor::from_data(mask, &start.device()), ending).squeeze_dim(1)
    }
}

/// How many copies of the tokens the draws are for.
fn check<B: Backend>(
    start: &Tensor<B, 2>,
    condition: &Tensor<B, 2>,
    draws: &DiffusionDraws<B>,
) -> Result<usize> {
    let [tokens, channels] = start.dims();
    let [rows, noise_channels] = draws.noise.dims();
    let fits = tokens > 0
        && condition.dims()[0] == tokens
        && channels == noise_channels
        && rows == draws.times.len()
        && rows.is_multiple_of(tokens);
    if !fits || rows == 0 {
        let expected = format!("[a multiple of {tokens}, {channels}], with as many times");
        return Err(Error::shape(
            "the shape of the diffusion noise",
            &draws.noise.dims(),
            expected,
        ));
    }
    match draws.times.iter().find(|&&time| time >= TRAINING_STEPS) {
        Some(time) => {
            Err(Error::invalid("a diffusion time", time, format!("below {TRAINING_STEPS}")))
        }
        None => Ok(rows / tokens),
    }
}

/// A value for each row, `[rows, 1]`.
fn column<B: Backend>(
    times: &[usize],
    value: &dyn Fn(usize) -> f64,
    device: &B::Device,
) -> Tensor<B, 2> {
    let values: Vec<f32> = times.iter().map(|&time| value(time) as f32).collect();
    Tensor::from_data(TensorData::new(values, [times.len(), 1]), device)
}

/// The Kullback-Leibler divergence of two Gaussians with logarithmic variances, elementwise, in
/// nats.
fn divergence<B: Backend>(
    mean: Tensor<B, 2>,
    log_variance: Tensor<B, 2>,
    other_mean: Tensor<B, 2>,
    other_log_variance: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let ratio = (log_variance.clone() - other_log_variance.clone()).exp();
    let distance = (mean - other_mean).square() * (-other_log_variance.clone()).exp();
    (other_log_variance - log_variance - 1.0 + ratio + distance) * 0.5
}

/// The logarithm of the probability that a Gaussian gives the 8-bit bin around `x`; the outermost
/// bins are open.
fn log_likelihood<B: Backend>(
    x: Tensor<B, 2>,
    mean: Tensor<B, 2>,
    log_deviation: Tensor<B, 2>,
) -> Tensor<B, 2> {
    let centred = x.clone() - mean;
    let inverse = (-log_deviation).exp();
    let above = normal_cdf(inverse.clone() * (centred.clone() + HALF_BIN));
    let below = normal_cdf(inverse * (centred - HALF_BIN));
    let log = |probability: Tensor<B, 2>| probability.clamp_min(LEAST).log();
    let inner = log(above.clone() - below.clone());
    let inner = inner.mask_where(x.clone().greater_elem(0.999), log(-below + 1.0));
    inner.mask_where(x.lower_elem(-0.999), log(above))
}

/// The tanh approximation of the cumulative normal distribution.
fn normal_cdf<B: Backend>(x: Tensor<B, 2>) -> Tensor<B, 2> {
    let cubic = x.clone() + x.clone() * x.clone() * x * 0.044_715;
    ((cubic * (2.0 / PI).sqrt()).tanh() + 1.0) * 0.5
}
