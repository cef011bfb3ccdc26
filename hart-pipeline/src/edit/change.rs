//! Changing an image by its prompt: noise under which the source's prompt gives the source, used with
//! another prompt (VARIN, arXiv 2509.01984).

use burn::tensor::{Int, Tensor, TensorData};
use hart_ar::HalfLogits;
use hart_core::random::{Draws, SeededDraws, generator, uniform};
use hart_core::transfer::upload;
use hart_core::{Error, HartBackend, Result};
use rand::Rng;

use super::source::Source;
use crate::generation::{Batch, GenerationHook, ScaleTokens, Step, codes_to_host, to_host};

/// How far the noise holds other tokens below the source's, as in the paper.
pub(super) const MARGIN: f64 = 18.0;
/// How much is new: of 14 scales the paper copies 6.
pub(super) const STRENGTH: f64 = 8.0 / 14.0;
/// The stream of the noise that is found for the source's own tokens; see
/// [`generator`].
const STREAM: u64 = 200;

/// Logits of the source under its own prompt, and its tokens, scale by scale.
#[derive(Debug, Default)]
pub(super) struct Explained {
    scales: Vec<ExplainedScale>,
    /// The first of them.
    first: usize,
}

#[derive(Debug)]
struct ExplainedScale {
    /// `[tokens, V]`.
    logits: Vec<f32>,
    /// A code for each.
    tokens: Vec<usize>,
}

/// Goes through a generation with the source's tokens, and keeps what the model thought of them.
pub(super) struct Explain<'a, B: HartBackend> {
    pub(super) source: &'a Source<B>,
    pub(super) explained: Explained,
    /// The scale at which everything is known.
    last: usize,
    /// The logits of the scale at hand.
    logits: Vec<f32>,
}

impl<'a, B: HartBackend> Explain<'a, B> {
    /// From scale `first` on, of `scales` scales.
    pub(super) fn new(source: &'a Source<B>, first: usize, scales: usize) -> Self {
        let explained = Explained { scales: vec![], first };
        Self { source, explained, last: scales - 2, logits: vec![] }
    }

    /// What was kept, from how the generation ended: it stops itself before the last scale.
    pub(super) fn finish(self, end: Result<Tensor<B, 4>>) -> Result<Explained> {
        match end {
            Err(Error::Cancelled) if self.is_done() => Ok(self.explained),
            other => other.map(|_| self.explained),
        }
    }

    fn is_done(&self) -> bool {
        self.explained.first + self.explained.scales.len() > self.last
    }
}

impl<B: HartBackend> GenerationHook<B> for Explain<'_, B> {
    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        let logits = logits.guided(step.guidance)?;
        if step.scale >= self.explained.first {
            self.logits = to_host(logits.clone())?;
        }
        Ok(logits)
    }

    fn tokens(&mut self, step: &Step<'_, B>, _: ScaleTokens<B>) -> Result<ScaleTokens<B>> {
        let tokens = self.source.tokens(step);
        if step.scale >= self.explained.first {
            let tokens = codes_to_host(tokens.indices.clone())?;
            let logits = std::mem::take(&mut self.logits);
            self.explained.scales.push(ExplainedScale { logits, tokens });
        }
        Ok(tokens)
    }

    fn latent(&mut self, scale: usize, latent: Tensor<B, 4>) -> Result<Tensor<B, 4>> {
        // The last scale is made as usual: nothing of it has to be known.
        if scale == self.last { Err(Error::Cancelled) } else { Ok(latent) }
    }
}

/// Makes the source anew with another prompt, under the noise that explains it.
pub(super) struct ChangeByPrompt<'a, B: HartBackend> {
    source: &'a Source<B>,
    explained: &'a Explained,
    /// How far below the source's token the noise holds all others.
    margin: f64,
    /// How many scales there are.
    scales: usize,
    seeds: Vec<u64>,
    /// The logits of the scale at hand, `[batch, tokens, V]`.
    logits: Vec<f32>,
}

impl<'a, B: HartBackend> ChangeByPrompt<'a, B> {
    pub(super) fn new(
        source: &'a Source<B>,
        explained: &'a Explained,
        margin: f64,
        scales: usize,
    ) -> Self {
        Self { source, explained, margin, scales, seeds: vec![], logits: vec![] }
    }

    /// The tokens of an image at a scale: those that are most likely under its logits `[tokens, V]`
    /// with noise, of which less and less is the source's.
    fn choose(&self, seed: u64, scale: usize, logits: &[f32]) -> Vec<i64> {
        let first = self.explained.first;
        let source = &self.explained.scales[scale - first];
        // (K - 1 - t) / (K - 1 - s)
        let left = (self.scales - 1 - scale) as f64 / (self.scales - 1 - first) as f64;
        let codes = logits.len() / source.tokens.len();
        let fresh = SeededDraws::new([seed]);
        let mut gumbel = vec![0.0; codes];
        let rows = logits.chunks_exact(codes).zip(source.logits.chunks_exact(codes));
        let rows = rows.zip(&source.tokens).enumerate();
        rows.map(|(position, ((target, own), &token))| {
            let address = [scale as u64, position as u64];
            let noise = noise_for(own, token, self.margin, &mut generator(seed, STREAM, address));
            fresh.smooth_noise(0, scale, position, &mut gumbel);
            let score = |code: usize| {
                let mixed = (1.0 - left) * f64::from(gumbel[code]) + left * noise[code];
                f64::from(target[code]) + mixed
            };
            let mut best = 0;
            let mut highest = score(0);
            for code in 1..codes {
                let score = score(code);
                if score > highest {
                    (best, highest) = (code, score);
                }
            }
            best as i64
        })
        .collect()
    }
}

impl<B: HartBackend> GenerationHook<B> for ChangeByPrompt<'_, B> {
    fn name(&self) -> Option<String> {
        Some("change".to_string())
    }

    fn begin(&mut self, batch: &Batch<'_>) -> Result<()> {
        self.seeds = batch.seeds.to_vec();
        Ok(())
    }

    fn logits(&mut self, step: &Step<'_, B>, logits: HalfLogits<B>) -> Result<Tensor<B, 3>> {
        let logits = logits.guided(step.guidance)?;
        if step.scale >= self.explained.first && step.scale + 1 < self.scales {
            self.logits = to_host(logits.clone())?;
        }
        Ok(logits)
    }

    fn tokens(&mut self, step: &Step<'_, B>, tokens: ScaleTokens<B>) -> Result<ScaleTokens<B>> {
        if step.scale < self.explained.first {
            return Ok(self.source.tokens(step));
        }
        if step.scale + 1 == self.scales {
            return Ok(tokens);
        }
        let [batch, count] = tokens.indices.dims();
        let images = self.logits.chunks_exact(self.logits.len() / batch).zip(&self.seeds);
        let chosen: Vec<i64> =
            images.flat_map(|(logits, &seed)| self.choose(seed, step.scale, logits)).collect();
        let device = tokens.indices.device();
        let indices = TensorData::new(chosen, [batch, count]);
        let indices: Tensor<B, 2, Int> = upload(indices, &device);
        let vectors = step.model.tokenizer.quantizer.embed(indices.clone());
        Ok(ScaleTokens { indices, vectors })
    }
}

/// Gumbel noise for each code of one token, under which that token is the most likely one by at least
/// `margin`: `n = q - l` with `q` of the token drawn freely and `q` of the others cut off at the margin
/// below it.
fn noise_for(logits: &[f32], token: usize, margin: f64, draws: &mut impl Rng) -> Vec<f64> {
    let mut exponential = || {
        // Never 0 or 1, so that both logarithms are finite.
        let uniform = uniform(draws.next_u64()).mul_add(1.0 - 2e-12, 1e-12);
        -uniform.ln()
    };
    let free = -exponential().ln();
    let most = f64::from(logits[token]) + free - margin;
    let others = logits.iter().enumerate().map(|(code, &logit)| {
        let exponential = exponential();
        if code == token {
            return free;
        }
        // q = l - logaddexp(l - most, ln(-ln u))
        -log_add_exp(f64::from(logit) - most, exponential.ln())
    });
    others.collect()
}

/// `ln(exp(a) + exp(b))`.
fn log_add_exp(a: f64, b: f64) -> f64 {
    let most = a.max(b);
    most + ((a - most).exp() + (b - most).exp()).ln()
}

#[cfg(test)]
mod tests {
    use hart_core::random::generator;

    use super::{log_add_exp, noise_for};

    #[test]
    fn the_noise_makes_the_token_the_most_likely_one_by_a_margin() {
        let logits = [3.0, -2.0, 0.5, 10.0];
        for token in 0..logits.len() {
            for seed in 0..50 {
                let noise = noise_for(&logits, token, 18.0, &mut generator(seed, 200, [0, 0]));
                let score = |code: usize| f64::from(logits[code]) + noise[code];
                for other in (0..logits.len()).filter(|other| *other != token) {
                    assert!(score(token) - score(other) > 18.0 - 1e-9, "{token}, {other}");
                }
            }
        }
    }

    #[test]
    fn exponentials_are_added_without_overflow() {
        assert!((log_add_exp(0.0, 0.0) - 2f64.ln()).abs() < 1e-15);
        assert_eq!(log_add_exp(1000.0, -1000.0), 1000.0);
    }
}
