//! A part of a step, as one device computes it.

use burn::backend::Autodiff;
use burn::backend::autodiff::grads::Gradients;
use hart_ar::scale_weights;
use hart_core::HartBackend;
use hart_diffusion::DiffusionLoss;
use hart_examples::training::optimizer::ScalarF64;
use hart_tokenizer::HybridTokenizer;

use crate::batches::Batch;
use crate::learner::Learner;

/// A batch, and what it takes to learn from it, all on one device.
pub(crate) struct Part<B: HartBackend> {
    pub(crate) batch: Batch,
    pub(crate) learner: Learner<Autodiff<B>>,
    pub(crate) tokenizer: HybridTokenizer<B>,
    pub(crate) device: B::Device,
}

/// What a part gives.
pub(crate) struct Learned {
    pub(crate) cross_entropy: f64,
    pub(crate) diffusion: f64,
    pub(crate) accuracy: f64,
    pub(crate) gradients: Gradients,
}

impl<B: HartBackend> Part<B> {
    /// The losses, and the gradients of their sum as one of `parts`; `weight` is that of the
    /// diffusion loss, `balance` that of the scales ([`scale_weights`]).
    pub(crate) fn learn(
        self,
        diffusion: &DiffusionLoss,
        [weight, balance]: [f64; 2],
        parts: f64,
    ) -> anyhow::Result<Learned> {
        let Self { batch, learner, tokenizer, device } = self;
        let terms = batch.loss(&learner, &tokenizer, diffusion, &device)?;
        let diffusion = terms.diffusion.total();
        let kept = batch.kept();
        let weights = scale_weights(tokenizer.quantizer.scales(), kept, balance);
        let loss = terms.weighted_cross_entropy(&weights) + diffusion.clone() * weight;
        Ok(Learned {
            cross_entropy: terms.cross_entropy().into_scalar_f64(),
            diffusion: diffusion.into_scalar_f64(),
            accuracy: Batch::accuracy(&terms),
            gradients: (loss / parts).backward(),
        })
    }
}
