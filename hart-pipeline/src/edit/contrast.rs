//! Changing an image by its prompt: guidance leads from the source's prompt to the other one, and where
//! both say the same, logits are drawn to the source's tokens (MLN, arXiv 2604.14591).

use burn::tensor::{Tensor, TensorData};
use hart_ar::{HalfLogits, TextCondition};
use hart_core::transfer::upload;
use hart_core::{HartBackend, Result};

use super::source::Source;
use crate::generation::{GenerationHook, ScaleTokens, Step, codes_to_host, to_host};

/// How strongly guidance leads from one prompt to the other, by the model's own guidance: the paper's 8
/// is for models whose own is 4.5.
pub(super) const GUIDANCE: f64 = 8.0 / 4.5;
/// How strongly logits are drawn to the source's tokens at the first scale, and at the last but one.
const PULL: [f64; 2] = [12.0, 0.5];
/// How fast the pull falls where the prompts disagree.
const AGREEMENT: f64 = 1.5;

/// Makes the source anew with another prompt, against its own.
pub(super) struct ChangeByContrast<'a, B: HartBackend> {
    pub(super) source: &'a Source<B>,
    /// The prompt of the source, one row.
    pub(super) from: TextCondition<B>,
    /// The guidance of all scales but the last.
    pub(super) guidance: f64,
    /// Scales before this one are the source's altogether.
    pub(super) kept: usize,
    /// How many scales there are.
    pub(super) scales: usize,
}

impl<B: HartBackend> ChangeByContrast<'_, B> {
    /// How strongly the logits of a scale are drawn to the source.
    fn pull(&self, scale: usize) -> f64 {
        let way = scale as f64 / (self.scales - 2).max(1) as f64;
        PULL[0] + (PULL[1] - PULL[0]) * way.min(1.0)
    }
}

impl<B: HartBackend> GenerationHook<B> for ChangeByContrast<'_, B> {
    fn name(&self) -> Option<String> {
        Some("change".to_string())
    }

    fn negative(&mut self, text: &TextCondition<B>) -> Result<Option<TextCondition<B>>> {
        let images = text.mask.len();
        Ok(Some(TextCondition {
            context: self.from.context.clone().repeat_dim(0, images),
            mask: vec![self.from.mask[0].clone(); images],
            positions: vec![self.from.positions[0].clone(); images],
        }))
    }

    fn guidance(&mut self, scale: usize, _: f64) -> f64 {
        if scale + 1 < self.scales { self.guidance } else { 0.0 }
    }

    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        let halves = logits.unconditional.clone().map(|own| (logits.conditional.clone(), own));
        let guided = logits.guided(step.guidance)?;
        let Some((target, own)) = halves else { return Ok(guided) };
        let (shape, device) = (guided.dims(), guided.device());
        let tokens = codes_to_host(self.source.tokens(step).indices)?;
        let (mut guided, target, own) = (to_host(guided)?, to_host(target)?, to_host(own)?);
        let codes = shape[2];
        let rows = guided.chunks_exact_mut(codes).zip(tokens);
        let halves = target.chunks_exact(codes).zip(own.chunks_exact(codes));
        for ((logits, token), (target, own)) in rows.zip(halves) {
            let apart = softmax(target).zip(softmax(own)).map(|(a, b)| (a - b).abs());
            let agreement = (1.0 - apart.sum::<f64>() / 2.0).clamp(0.0, 1.0);
            let strength = self.pull(step.scale) * agreement.powf(AGREEMENT);
            let likely: Vec<f64> = softmax(logits).collect();
            for (code, (logit, likely)) in logits.iter_mut().zip(likely).enumerate() {
                let is_source = f64::from(u8::from(code == token));
                *logit += (strength * (is_source - likely)) as f32;
            }
        }
        Ok(upload(TensorData::new(guided, shape), &device))
    }

    fn tokens(&mut self, step: &Step<'_, B>, tokens: ScaleTokens<B>) -> Result<ScaleTokens<B>> {
        Ok(if step.scale < self.kept { self.source.tokens(step) } else { tokens })
    }
}

/// Probabilities of logits.
fn softmax(logits: &[f32]) -> impl Iterator<Item = f64> + Clone + '_ {
    let most = f64::from(logits.iter().copied().fold(f32::NEG_INFINITY, f32::max));
    let exponential = move |&logit: &f32| (f64::from(logit) - most).exp();
    let sum: f64 = logits.iter().map(exponential).sum();
    logits.iter().map(move |logit| exponential(logit) / sum)
}

#[cfg(test)]
mod tests {
    use super::softmax;

    #[test]
    fn probabilities_add_up() {
        let found: Vec<f64> = softmax(&[1000.0, 1000.0 - 2f32.ln(), -1000.0]).collect();
        assert!((found[0] - 2.0 / 3.0).abs() < 1e-5 && (found[1] - 1.0 / 3.0).abs() < 1e-5);
        assert_eq!(found[2], 0.0);
    }
}
