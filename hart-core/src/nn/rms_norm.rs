//! Root-mean-square normalisation.

use burn::config::Config;
use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{Tensor, backend::Backend};

use crate::ops::HartBackend;

/// Configuration of an [`RmsNorm`].
#[derive(Config, Debug)]
pub struct RmsNormConfig {
    /// The normalised width.
    pub width: usize,
    /// Added to the mean square.
    #[config(default = 1e-6)]
    pub epsilon: f64,
}

impl RmsNormConfig {
    /// A layer with weights of one.
    pub fn init<B: Backend>(&self, device: &B::Device) -> RmsNorm<B> {
        let weight = Initializer::Ones.init([self.width], device);
        RmsNorm { weight, epsilon: self.epsilon }
    }
}

/// `x / sqrt(mean(x²) + ε) · weight` over the last axis; the statistics are taken in 32 bits
/// (section 4.2).
#[derive(Module, Debug)]
pub struct RmsNorm<B: Backend> {
    /// The learned factor, `[width]`.
    pub weight: Param<Tensor<B, 1>>,
    /// Added to the mean square.
    pub epsilon: f64,
}

impl<B: HartBackend> RmsNorm<B> {
    /// Normalises `[batch, tokens, width]`; the result has the type of `x`.
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        B::rms_norm(x, self.weight.val(), self.epsilon)
    }

    /// `norm(x) · (1 + scale) + shift`, with `scale` and `shift` `[batch, 1, width]`.
    pub fn forward_modulated(
        &self,
        x: Tensor<B, 3>,
        scale: Tensor<B, 3>,
        shift: Tensor<B, 3>,
    ) -> Tensor<B, 3> {
        B::modulated_rms_norm(x, self.weight.val(), scale, shift, self.epsilon)
    }
}
