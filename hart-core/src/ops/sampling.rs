//! How tokens are sampled from logits, for backends that do it where the logits are (section 4.4).

use burn::tensor::{Int, Tensor, backend::Backend};

use super::pick_rows;
use crate::ScaleSchedule;

/// How the tokens of one scale are sampled.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct TokenRule {
    /// This many of the largest logits are kept, with all ties of the smallest kept one; 0, or the
    /// number of codes and more, keeps all.
    pub top_k: usize,
    /// The least likely entries are removed as long as their probabilities sum to at most `1 -
    /// top_p`; 0 removes none.
    pub top_p: f64,
    /// Mixes codes instead of choosing one.
    pub smooth: Option<Smoothing>,
}

/// Smooth sampling: instead of one code the mean of all codes under
/// `softmax((factor·logits + Gumbel noise) / temperature)`.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Smoothing {
    /// Multiplies the logits.
    pub factor: f64,
    /// Divides the noisy logits.
    pub temperature: f64,
}

impl Smoothing {
    /// The release's smoothing of scale `scale`: the finer the scale, the closer to one code.
    pub fn at(scales: &ScaleSchedule, scale: usize) -> Self {
        let ratio = scales.ratio(scale);
        Self { factor: 1.0 + ratio, temperature: (0.27 * (1.0 - 0.95 * ratio)).max(0.005) }
    }
}

/// What tokens are sampled with beside their logits. The draws are those of
/// [`SeededDraws`](crate::random::SeededDraws) at the same addresses.
#[derive(Debug, Clone)]
pub struct TokenSampling<'a, B: Backend> {
    /// How.
    pub rule: TokenRule,
    /// The codes, `[V, Z]` in 32 bits.
    pub codebook: Tensor<B, 2>,
    /// The seed of each image.
    pub seeds: &'a [u64],
    /// The noise of the generation, of a backend that makes it at once.
    pub noise: Option<&'a SmoothNoise<B>>,
    /// The scale, a part of the address of every draw.
    pub scale: usize,
    /// For each image the row-major positions of its tokens in the scale, the other part.
    pub positions: &'a [Vec<usize>],
}

/// Gumbel noise of smooth sampling for every position of some scales, where a backend makes that of a
/// whole generation at once.
#[derive(Debug, Clone)]
pub struct SmoothNoise<B: Backend> {
    /// For each scale `[batch, tokens, V]` in 32 bits.
    pub scales: Vec<Tensor<B, 3>>,
}

impl<B: Backend> SmoothNoise<B> {
    /// That of the tokens at these positions of a scale, `[batch, positions, V]`.
    pub fn at(&self, scale: usize, positions: &[Vec<usize>]) -> Tensor<B, 3> {
        pick_rows(self.scales[scale].clone(), positions)
    }
}

/// Tokens sampled on a device.
#[derive(Debug, Clone)]
pub struct TokensThere<B: Backend> {
    /// The chosen codes, `[batch, tokens]`.
    pub indices: Tensor<B, 2, Int>,
    /// What is added to the image, `[batch, tokens, Z]` in 32 bits: the chosen codes themselves, or
    /// their smooth mixture. NaN where a logit was NaN or infinite, so that the fault is noticed when
    /// something is next brought to the host, without waiting for it here.
    pub vectors: Tensor<B, 3>,
}
