//! A part of a step, as one device computes it.

use burn::backend::Autodiff;
use burn::backend::autodiff::grads::Gradients;
use hart_ar::scale_weights;
use hart_core::{HartBackend, Result};
use hart_diffusion::DiffusionLoss;
use hart_tokenizer::HybridTokenizer;

use super::batch::Batch;
use super::learner::Learner;
use crate::training::values::{ScalarF64, finite};

/// A batch, and what it takes to learn from it, all on one device.
pub(in crate::training) struct Part<B: HartBackend> {
    pub(in crate::training) batch: Batch,
    pub(in crate::training) learner: Learner<Autodiff<B>>,
    pub(in crate::training) tokenizer: HybridTokenizer<B>,
    pub(in crate::training) device: B::Device,
}

/// What a part gives.
pub(in crate::training) struct Learned {
    pub(in crate::training) cross_entropy: f64,
    pub(in crate::training) diffusion: f64,
    pub(in crate::training) accuracy: f64,
    pub(in crate::training) gradients: Gradients,
}

impl<B: HartBackend> Part<B> {
    /// The losses, and the gradients of their sum as one of `parts`; `weight` is that of the
    /// diffusion loss, `balance` that of the scales ([`scale_weights`]).
    ///
    /// # Errors
    /// Those of the loss, and [`NonFinite`](hart_core::Error::NonFinite) when it is not finite.
    pub(in crate::training) fn learn(
        self,
        diffusion: &DiffusionLoss,
        [weight, balance]: [f64; 2],
        parts: f64,
    ) -> Result<Learned> {
        let Self { batch, learner, tokenizer, device } = self;
        let terms = batch.loss(&learner, &tokenizer, diffusion, &device)?;
        let diffusion = terms.diffusion.total();
        let kept = batch.kept();
        let weights = scale_weights(tokenizer.quantizer.scales(), kept, balance);
        let loss = terms.weighted_cross_entropy(&weights) + diffusion.clone() * weight;
        let cross_entropy = terms.cross_entropy().into_scalar_f64();
        Ok(Learned {
            cross_entropy: finite("the cross entropy", cross_entropy)?,
            diffusion: finite("the diffusion loss", diffusion.into_scalar_f64())?,
            accuracy: Batch::accuracy(&terms),
            gradients: (loss / parts).backward(),
        })
    }
}
