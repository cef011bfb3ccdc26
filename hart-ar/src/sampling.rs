//! From logits to tokens, on the host and on all threads (section 4.4).
//!
//! Every token is sampled by itself from draws with an address of its own, so the result does not
//! depend on the number of threads.

pub use hart_core::ops::sampling::{Smoothing, TokenRule};
use hart_core::random::{Draws, Pick};
use hart_core::{Error, Result};
use rayon::prelude::*;

/// Kept logits of the first [`COARSE_SCALES`] scales and of the later ones, in the release.
pub const RELEASE_TOP_K: [usize; 2] = [600, 300];

/// Scales that count as coarse for [`RELEASE_TOP_K`].
pub const COARSE_SCALES: usize = 7;

/// The sampled tokens of a batch.
#[derive(Debug, Clone, PartialEq)]
pub struct SampledTokens {
    /// The chosen codes, `[batch, tokens]` row by row.
    pub indices: Vec<usize>,
    /// What is added to the image, `[batch, tokens, Z]` row by row: the chosen codes themselves, or
    /// their smooth mixture.
    pub vectors: Vec<f32>,
}

/// Samples a batch of tokens.
///
/// `logits` is `[batch, tokens, V]` and `codebook` `[V, Z]`, row by row; `positions[image][i]` is
/// the row-major position in `scale` of token i, the address of its draws.
///
/// # Errors
/// [`Error::NonFinite`] when a logit is NaN or infinite.
pub fn sample_tokens(
    logits: &[f32],
    codebook: &[f32],
    channels: usize,
    rule: &TokenRule,
    draws: &dyn Draws,
    scale: usize,
    positions: &[Vec<usize>],
) -> Result<SampledTokens> {
    let entries = codebook.len() / channels;
    let tokens = positions[0].len();
    let mut indices = vec![0; positions.len() * tokens];
    let mut vectors = vec![0.0; indices.len() * channels];
    let rows = logits.par_chunks_exact(entries);
    let results = indices.par_iter_mut().zip(vectors.par_chunks_exact_mut(channels));
    rows.zip(results).enumerate().try_for_each(|(row, (logits, (index, vector)))| {
        if !logits.iter().all(|logit| logit.is_finite()) {
            return Err(Error::NonFinite { what: format!("the logits of scale {scale}") });
        }
        let (image, position) = (row / tokens, positions[row / tokens][row % tokens]);
        let kept = filter(logits, rule.top_k, rule.top_p);
        *index = choose(&kept, draws.token(image, scale, position));
        match rule.smooth {
            None => vector.copy_from_slice(&codebook[*index * channels..][..channels]),
            Some(smoothing) => {
                let mut noise = vec![0.0; entries];
                draws.smooth_noise(image, scale, position, &mut noise);
                mix(&kept, &smooth_weights(&kept, smoothing, &noise), codebook, vector);
            }
        }
        Ok(())
    })?;
    Ok(SampledTokens { indices, vectors })
}

/// The entries that survive top-k and then top-p, with their logits, by increasing index.
pub fn filter(logits: &[f32], top_k: usize, top_p: f64) -> Vec<(usize, f32)> {
    let threshold = smallest_kept(logits, top_k);
    let entries = logits.iter().copied().enumerate();
    let mut kept: Vec<(usize, f32)> = entries.filter(|&(_, logit)| logit >= threshold).collect();
    if top_p > 0.0 {
        kept.sort_by(|a, b| a.1.total_cmp(&b.1));
        kept.drain(..tail(&kept, top_p));
        kept.sort_unstable_by_key(|&(index, _)| index);
    }
    kept
}

/// The smallest of the `top_k` largest logits; minus infinity where all are kept.
fn smallest_kept(logits: &[f32], top_k: usize) -> f32 {
    if top_k == 0 || top_k >= logits.len() {
        return f32::NEG_INFINITY;
    }
    let mut sorted = logits.to_vec();
    let (_, smallest, _) = sorted.select_nth_unstable_by(top_k - 1, |a, b| b.total_cmp(a));
    *smallest
}

/// How many of the least likely entries top-p removes from `ascending`, never all of them.
fn tail(ascending: &[(usize, f32)], top_p: f64) -> usize {
    let weights = softmax(ascending.iter().map(|&(_, logit)| logit));
    let mut sum = 0.0f32;
    for (count, weight) in weights.iter().enumerate() {
        sum += weight;
        if f64::from(sum) > 1.0 - top_p {
            return count;
        }
    }
    // Rounding may leave the sum of all short of 1.
    weights.len() - 1
}

/// Picks one of the kept entries.
pub fn choose(kept: &[(usize, f32)], pick: Pick) -> usize {
    match pick {
        Pick::Greedy => {
            let larger =
                |best: (usize, f32), next: (usize, f32)| if next.1 > best.1 { next } else { best };
            kept.iter().copied().reduce(larger).map_or(0, |(index, _)| index)
        }
        Pick::At(point) => kept[invert(kept, point)].0,
    }
}

/// The place among the kept entries where their cumulative probability passes `point`.
fn invert(kept: &[(usize, f32)], point: f32) -> usize {
    let weights = softmax(kept.iter().map(|&(_, logit)| logit));
    let total: f32 = weights.iter().sum();
    let mut sum = 0.0f32;
    for (place, weight) in weights.iter().enumerate() {
        sum += weight;
        if sum > point * total {
            return place;
        }
    }
    // Rounding may leave the sum short of the total: then it is the last entry with any weight.
    weights.iter().rposition(|&weight| weight > 0.0).unwrap_or(0)
}

/// The weight of each kept entry in smooth sampling; `noise` has one value a codebook entry.
pub fn smooth_weights(kept: &[(usize, f32)], smoothing: Smoothing, noise: &[f32]) -> Vec<f32> {
    let (factor, temperature) = (smoothing.factor as f32, smoothing.temperature as f32);
    softmax(kept.iter().map(|&(index, logit)| (logit * factor + noise[index]) / temperature))
}

/// The mean of the kept codes under `weights`.
fn mix(kept: &[(usize, f32)], weights: &[f32], codebook: &[f32], mean: &mut [f32]) {
    let channels = mean.len();
    for (&(index, _), &weight) in kept.iter().zip(weights) {
        let code = &codebook[index * channels..][..channels];
        mean.iter_mut().zip(code).for_each(|(sum, value)| *sum += weight * value);
    }
}

/// Softmax of a few values.
fn softmax(values: impl Iterator<Item = f32> + Clone) -> Vec<f32> {
    let largest = values.clone().fold(f32::NEG_INFINITY, f32::max);
    let mut weights: Vec<f32> = values.map(|value| (value - largest).exp()).collect();
    let total: f32 = weights.iter().sum();
    weights.iter_mut().for_each(|weight| *weight /= total);
    weights
}

#[cfg(test)]
mod tests {
    use super::{choose, filter};
    use hart_core::random::Pick;

    #[test]
    fn all_ties_with_the_smallest_kept_logit_stay() {
        let kept = filter(&[1.0, 3.0, 2.0, 2.0, 0.0], 2, 0.0);
        assert_eq!(kept, [(1, 3.0), (2, 2.0), (3, 2.0)]);
    }

    #[test]
    fn a_top_k_beyond_the_codebook_keeps_all() {
        for top_k in [0, 3, 4, usize::MAX] {
            assert_eq!(filter(&[1.0, -1.0, 0.5], top_k, 0.0).len(), 3);
        }
    }

    #[test]
    fn top_p_never_removes_the_most_likely_entry() {
        for top_p in [1e-9, 0.1, 0.5] {
            assert_eq!(filter(&[0.0, 9.0, 1.0], 0, top_p), [(1, 9.0)]);
        }
        assert_eq!(filter(&[0.0, 9.0, 1.0], 0, 1.0).len(), 3);
    }

    #[test]
    fn greedy_takes_the_first_of_equals() {
        assert_eq!(choose(&[(2, 1.0), (5, 4.0), (7, 4.0)], Pick::Greedy), 5);
    }

    #[test]
    fn draws_follow_the_distribution() {
        let kept = [(0, 0.25f32.ln()), (1, 0.5f32.ln()), (2, 0.25f32.ln())];
        let at = |point| choose(&kept, Pick::At(point));
        assert_eq!(
            [at(0.0), at(0.2), at(0.3), at(0.7), at(0.8), at(0.999_999_9)],
            [0, 0, 1, 1, 2, 2]
        );
    }
}
