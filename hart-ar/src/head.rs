//! Vocabulary logits (section 4.3).

use burn::module::Module;
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::nn::{Linear, Prepare, RmsNorm, RmsNormConfig};
use hart_core::{HartBackend, Precision};

use crate::config::TransformerConfig;

/// A modulated norm and the projection to the vocabulary.
#[derive(Module, Debug)]
pub struct Head<B: Backend> {
    norm: RmsNorm<B>,
    modulation: Linear<B>,
    /// In 32 bits, like the logits.
    output: Linear<B>,
}

/// The head's modulation by the prompt, `[batch, 1, C]` each.
#[derive(Debug, Clone)]
pub struct HeadModulation<B: Backend> {
    scale: Tensor<B, 3>,
    shift: Tensor<B, 3>,
}

impl<B: Backend> Head<B> {
    /// Layers of the configured sizes for a vocabulary of `codebook_size`.
    pub fn init(config: &TransformerConfig, codebook_size: usize, device: &B::Device) -> Self {
        let width = config.width;
        Self {
            norm: RmsNormConfig::new(width).with_epsilon(config.norm_epsilon).init(device),
            modulation: Linear::init(width, 2 * width, device),
            output: Linear::init(width, codebook_size, device),
        }
    }
}

impl<B: HartBackend> Head<B> {
    /// The modulation by the embedded context, max-pooled over all tokens: `[batch, C]`.
    pub fn modulate(&self, pooled: Tensor<B, 2>) -> HeadModulation<B> {
        let both = self.modulation.forward(B::silu(pooled)).cast(DType::F32).unsqueeze_dim::<3>(1);
        let width = both.dims()[2] / 2;
        HeadModulation {
            scale: both.clone().narrow(2, 0, width),
            shift: both.narrow(2, width, width),
        }
    }

    /// The features `[batch, tokens, C]` in 32 bits that logits are linear in.
    pub fn features(&self, x: Tensor<B, 3>, modulation: &HeadModulation<B>) -> Tensor<B, 3> {
        let (scale, shift) = (modulation.scale.clone(), modulation.shift.clone());
        self.norm.forward_modulated(x.cast(DType::F32), scale, shift)
    }

    /// Logits `[batch, tokens, V]` of features.
    pub fn logits(&self, features: Tensor<B, 3>) -> Tensor<B, 3> {
        self.output.forward(features)
    }
}

impl<B: HartBackend> Prepare for Head<B> {
    fn prepare(&mut self, _: Precision) {
        self.output.prepare(Precision::F32);
    }
}

impl<B: Backend> HeadModulation<B> {
    /// Some of the batch rows.
    pub fn rows(&self, start: usize, length: usize) -> Self {
        Self {
            scale: self.scale.clone().narrow(0, start, length),
            shift: self.shift.clone().narrow(0, start, length),
        }
    }
}
