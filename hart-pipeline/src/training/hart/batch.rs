//! A batch of tokens with its draws, and the loss on it.

use burn::tensor::backend::AutodiffBackend;
use burn::tensor::{Int, Tensor, TensorData};
use hart_ar::TextCondition;
use hart_core::{HartBackend, Result, ScaleSchedule};
use hart_diffusion::DiffusionLoss;
use hart_tokenizer::HybridTokenizer;

use super::learner::Learner;
use crate::text::TokenizedPrompt;
use crate::training::draws::StepDraws;
use crate::training::loss::{HartTerms, TokenBatch, hart_loss};
use crate::training::values::tensor;

/// What a step trains on.
#[derive(Debug)]
pub(in crate::training) struct Batch {
    /// The tokens of the system prompt, which all images share.
    pub(super) system: Vec<u32>,
    pub(super) prompts: Vec<TokenizedPrompt>,
    /// For each image the codes of all scales.
    pub(super) codes: Vec<Vec<usize>>,
    /// The codes that inputs are made from.
    pub(super) inputs: Vec<Vec<usize>>,
    /// For each image the residual, `[last tokens, Z]`.
    pub(super) residuals: Vec<f32>,
    pub(super) draws: StepDraws,
}

impl Batch {
    /// How many tokens of the last scale each image keeps.
    pub(super) fn kept(&self) -> usize {
        self.draws.kept.first().map_or(0, Vec::len)
    }

    /// The loss on the batch.
    pub(super) fn loss<B: AutodiffBackend + HartBackend>(
        &self,
        learner: &Learner<B>,
        tokenizer: &HybridTokenizer<B::InnerBackend>,
        diffusion: &DiffusionLoss,
        device: &B::Device,
    ) -> Result<HartTerms<B>>
    where
        B::InnerBackend: HartBackend,
    {
        let quantizer = &tokenizer.quantizer;
        let scales = quantizer.scales();
        let indices = by_scale::<B::InnerBackend>(&self.inputs, scales, device);
        let [_, channels] = quantizer.codebook_shape();
        let shape = [self.codes.len(), scales.tokens(scales.last()), channels];
        let batch = TokenBatch {
            codes: self.codes.clone(),
            residual: tensor(self.residuals.clone(), shape, device),
            images_so_far: Tensor::from_inner(quantizer.teacher_forcing(&indices)),
            codebook: Tensor::from_inner(quantizer.codebook.val()),
        };
        let mask: Vec<Vec<bool>> = self.prompts.iter().map(|p| p.mask.clone()).collect();
        let tokens: Vec<Vec<u32>> = self.prompts.iter().map(|p| p.tokens.clone()).collect();
        let system = (!self.system.is_empty()).then(|| learner.text.prefix(&self.system));
        let text = TextCondition {
            context: learner.text.forward(&tokens, &mask, system.as_ref(), &mut ()),
            mask,
            positions: self.prompts.iter().map(|prompt| prompt.positions.clone()).collect(),
        };
        let (transformer, residual) = (&learner.transformer, &learner.residual);
        hart_loss(transformer, residual, diffusion, &text, &batch, &self.draws)
    }

    /// The share of codes that are the most likely ones.
    pub(super) fn accuracy<B: HartBackend>(terms: &HartTerms<B>) -> f64 {
        let best = terms.logits.clone().argmax(2).into_data();
        let right =
            best.iter::<i64>().zip(&terms.targets).filter(|(best, code)| *best as usize == **code);
        right.count() as f64 / terms.targets.len() as f64
    }
}

/// The codes of a batch, image by image, as one tensor a scale.
fn by_scale<B: HartBackend>(
    codes: &[Vec<usize>],
    scales: &ScaleSchedule,
    device: &B::Device,
) -> Vec<Tensor<B, 2, Int>> {
    let mut first = 0;
    let scale = |scale: usize| {
        let count = scales.tokens(scale);
        let values: Vec<i64> = codes
            .iter()
            .flat_map(|codes| codes[first..first + count].iter().map(|&code| code as i64))
            .collect();
        first += count;
        Tensor::from_data(TensorData::new(values, [codes.len(), count]), device)
    };
    (0..scales.count()).map(scale).collect()
}
