//! The last scale: in one or several masked passes, with the residual of the diffusion head, added
//! to the latent without resizing or convolution (section 4.5).

use burn::tensor::Tensor;
use hart_ar::cache::Keep;
use hart_ar::mask_passes::Pass;
use hart_ar::{Hidden, ScaleStep, Session};
use hart_core::ops::pick_rows;
use hart_core::{HartBackend, Result};
use hart_diffusion::{NoiseSchedule, SamplerSettings};
use hart_tokenizer::quantizer::{to_map, to_tokens};

use super::hook::{ResidualSampling, ScaleTokens};
use super::noise::ResidualNoise;
use super::positions::scatter;
use super::step::Sampling;
use super::{Around, Run, Stage};

impl<B: HartBackend> Run<'_, B> {
    /// The latent after the last scale, from that before it.
    pub(super) async fn last_scale(
        &self,
        session: &mut Session<'_, B>,
        latent: Tensor<B, 4>,
        passes: &[Pass],
        around: &mut Around<'_, '_, B>,
    ) -> Result<Tensor<B, 4>> {
        let scale = self.scales().last();
        let mut predicted = vec![];
        for (index, pass) in passes.iter().enumerate() {
            let keep = if index + 1 == passes.len() { Keep::No } else { Keep::Yes };
            let at = Sampling { scale, pass: index, positions: &pass.positions, latent: &latent };
            let work =
                async |around: &mut Around<'_, '_, B>| self.pass(session, &at, keep, around).await;
            predicted.push(around.within(format!("pass.{index}."), work).await?);
            if passes.len() > 1 {
                (around.report)(Stage::MaskPass { pass: index, passes: passes.len() })?;
            }
        }
        // The cells of all passes, in the order in which they were predicted.
        let cells =
            |image: usize| passes.iter().flat_map(move |pass| pass.positions[image].clone());
        let order: Vec<Vec<usize>> = (0..self.batch).map(|image| cells(image).collect()).collect();
        let grid = self.scales().latent();
        let tokens = scatter(Tensor::cat(predicted, 1), &order, grid.cells());
        let latent = around.hook.latent(scale, latent + to_map(tokens, grid))?;
        around.tap.record("latent", &|| latent.to_data());
        (around.report)(Stage::Scale { scale, latent: &latent })?;
        Ok(latent)
    }

    /// The tokens of one pass with their residual, `[batch, positions, Z]`.
    async fn pass(
        &self,
        session: &mut Session<'_, B>,
        at: &Sampling<'_, B>,
        keep: Keep,
        around: &mut Around<'_, '_, B>,
    ) -> Result<Tensor<B, 3>> {
        let input = pick_rows(to_tokens(at.latent.clone()), at.positions);
        let halves = self.halves(at.scale);
        let (scale, positions, computed) = (at.scale, at.positions, self.computed[at.scale]);
        let step = ScaleStep { scale, positions, keep, halves, computed };
        let hidden = session.scale_step(step, input, around.tap)?;
        let tokens = self.sample(at, session, &hidden, around).await?;
        let Some(schedule) = &self.settings.noise_schedule else { return Ok(tokens.vectors) };
        let work = async |around: &mut Around<'_, '_, B>| {
            self.residual(schedule, at, &hidden, &tokens, around)
        };
        let residual = around.within("residual.".to_string(), work).await?;
        Ok(tokens.vectors + residual)
    }

    /// The diffusion head's residual of one pass, `[batch, positions, Z]`.
    fn residual(
        &self,
        schedule: &NoiseSchedule,
        at: &Sampling<'_, B>,
        hidden: &Hidden<B>,
        tokens: &ScaleTokens<B>,
        around: &mut Around<'_, '_, B>,
    ) -> Result<Tensor<B, 3>> {
        let codes = self.model.tokenizer.quantizer.embed(tokens.indices.clone());
        let condition = self.model.transformer.residual_condition(hidden.states.clone(), codes);
        around.tap.record("condition", &|| condition.to_data());
        let [_, channels] = self.model.tokenizer.quantizer.codebook_shape();
        // The last step adds no noise.
        let steps = schedule.steps().len() - 1;
        let noise = ResidualNoise::new(around.draws, at.positions, channels, steps, &self.device);
        let sampling = ResidualSampling {
            head: &self.model.residual_head,
            schedule,
            settings: SamplerSettings::new(self.guidance[at.scale], self.settings.temperature),
            condition,
            start: noise.start(),
            noise: Box::new(|step| noise.step(step)),
            tap: &mut *around.tap,
        };
        around.hook.residual(&self.step(at), sampling)
    }
}
