//! All scales but the last: discrete tokens, each scale adding to the latent (section 4.4).

use burn::tensor::Tensor;
use hart_ar::cache::Keep;
use hart_ar::{ScaleStep, Session};
use hart_core::ops::pick_rows;
use hart_core::{HartBackend, Result};
use hart_tokenizer::quantizer::{to_map, to_tokens};

use super::positions::scatter;
use super::step::Sampling;
use super::{Around, Run, Stage};

impl<B: HartBackend> Run<'_, B> {
    /// The latent after all scales but the last.
    pub(super) async fn coarse_scales(
        &self,
        session: &mut Session<'_, B>,
        around: &mut Around<'_, '_, B>,
    ) -> Result<Tensor<B, 4>> {
        let [_, channels] = self.model.tokenizer.quantizer.codebook_shape();
        let latent = self.scales().latent();
        let shape = [self.batch, channels, latent.rows, latent.columns];
        let mut latent = Tensor::zeros(shape, &self.device);
        for scale in 0..self.scales().last() {
            let work = async |around: &mut Around<'_, '_, B>| {
                self.coarse_scale(session, scale, latent, around).await
            };
            latent = around.within(format!("scale.{scale}."), work).await?;
            (around.report)(Stage::Scale { scale, latent: &latent })?;
        }
        Ok(latent)
    }

    async fn coarse_scale(
        &self,
        session: &mut Session<'_, B>,
        scale: usize,
        latent: Tensor<B, 4>,
        around: &mut Around<'_, '_, B>,
    ) -> Result<Tensor<B, 4>> {
        let quantizer = &self.model.tokenizer.quantizer;
        let positions = self.positions(scale, around)?;
        let hidden = if scale == 0 {
            session.context_step(around.tap)?
        } else {
            let input = to_tokens(quantizer.scale_input(scale, latent.clone()));
            let halves = self.halves(scale);
            let computed = self.computed[scale];
            let keep = Keep::Yes;
            let step = ScaleStep { scale, positions: &positions, keep, halves, computed };
            session.scale_step(step, pick_rows(input, &positions), around.tap)?
        };
        let sampling = Sampling { scale, pass: 0, positions: &positions, latent: &latent };
        let tokens = self.sample(&sampling, session, &hidden, around).await?;
        let tokens = scatter(tokens.vectors, &positions, self.scales().tokens(scale));
        around
            .tap
            .record("tokens", &|| to_map(tokens.clone(), self.scales().grid(scale)).to_data());
        let latent = around.hook.latent(scale, latent + quantizer.contribution(scale, tokens))?;
        around.tap.record("latent", &|| latent.to_data());
        around
            .tap
            .record("next_input", &|| quantizer.scale_input(scale + 1, latent.clone()).to_data());
        Ok(latent)
    }
}
