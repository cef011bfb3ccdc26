//! From the hidden states of a step to its tokens.

use burn::tensor::{DType, Tensor, TensorData};
use hart_ar::sampling::sample_tokens;
use hart_ar::{Hidden, Session};
use hart_core::ops::sampling::{TokenSampling, TokensThere};
use hart_core::transfer::upload;
use hart_core::{HartBackend, Result};

use super::hook::{ScaleTokens, Step};
use super::{Around, Run, on_host};

/// Where tokens are sampled.
pub(super) struct Sampling<'a, B: HartBackend> {
    pub(super) scale: usize,
    pub(super) pass: usize,
    pub(super) positions: &'a [Vec<usize>],
    /// The latent before the scale.
    pub(super) latent: &'a Tensor<B, 4>,
}

impl<B: HartBackend> Run<'_, B> {
    /// What a hook is given of a step.
    pub(super) fn step<'a>(&'a self, at: &Sampling<'a, B>) -> Step<'a, B> {
        Step {
            model: self.model,
            scale: at.scale,
            grid: self.scales().grid(at.scale),
            pass: at.pass,
            positions: at.positions,
            guidance: self.guidance[at.scale],
            latent: at.latent,
        }
    }

    /// Guided logits, and tokens sampled from them.
    pub(super) async fn sample(
        &self,
        at: &Sampling<'_, B>,
        session: &Session<'_, B>,
        hidden: &Hidden<B>,
        around: &mut Around<'_, '_, B>,
    ) -> Result<ScaleTokens<B>> {
        let step = self.step(at);
        let logits = session.half_logits(hidden, step.guidance != 0.0);
        let logits = around.hook.logits(&step, logits)?;
        around.tap.record("logits.guided", &|| logits.to_data());
        let sampled = match self.sample_there(at, &logits, around) {
            Some(tokens) => tokens,
            None => self.sample_here(at, logits, around).await?,
        };
        let tokens = around.hook.tokens(&step, sampled)?;
        around.tap.record("indices", &|| tokens.indices.to_data());
        Ok(tokens)
    }

    /// Tokens sampled on the device, where it can and the draws are those of seeds.
    fn sample_there(
        &self,
        at: &Sampling<'_, B>,
        logits: &Tensor<B, 3>,
        around: &Around<'_, '_, B>,
    ) -> Option<ScaleTokens<B>> {
        let sampling = TokenSampling {
            rule: self.settings.token_rule(self.scales(), at.scale),
            codebook: self.model.tokenizer.quantizer.codebook.val(),
            seeds: around.draws.seeds()?,
            noise: self.smooth_noise.as_ref(),
            scale: at.scale,
            positions: at.positions,
        };
        let TokensThere { indices, vectors } = B::sample_tokens(logits, &sampling)?;
        self.sampled_there.set(true);
        Some(ScaleTokens { indices, vectors })
    }

    /// Tokens sampled on the host.
    async fn sample_here(
        &self,
        at: &Sampling<'_, B>,
        logits: Tensor<B, 3>,
        around: &Around<'_, '_, B>,
    ) -> Result<ScaleTokens<B>> {
        let codebook = self.codebook().await?;
        let [_, channels] = self.model.tokenizer.quantizer.codebook_shape();
        let sampled = sample_tokens(
            &on_host(logits).await?,
            codebook,
            channels,
            &self.settings.token_rule(self.scales(), at.scale),
            around.draws,
            at.scale,
            at.positions,
        )?;
        let indices: Vec<i64> = sampled.indices.iter().map(|&index| index as i64).collect();
        let indices = TensorData::new(indices, [self.batch, at.positions[0].len()]);
        Ok(ScaleTokens {
            indices: upload(indices, &self.device),
            vectors: self.upload(sampled.vectors, at.positions[0].len()),
        })
    }

    /// The codebook on the host.
    async fn codebook(&self) -> Result<&[f32]> {
        if let Some(known) = self.codebook.get() {
            return Ok(known);
        }
        let read = on_host(self.model.tokenizer.quantizer.codebook.val()).await?;
        Ok(self.codebook.get_or_init(|| read))
    }

    /// Values `[batch, tokens, Z]` on the device.
    pub(super) fn upload(&self, values: Vec<f32>, tokens: usize) -> Tensor<B, 3> {
        let channels = values.len() / (self.batch * tokens).max(1);
        let values = TensorData::new(values, [self.batch, tokens, channels]);
        upload(values, (&self.device, DType::F32))
    }
}
