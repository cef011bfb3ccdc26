//! What the residual head makes of known images (section 5), with true tokens in the place of
//! generated ones.

use burn::tensor::Tensor;
use hart_ar::TextCondition;
use hart_core::random::Draws;
use hart_core::{HartBackend, Result};
use hart_diffusion::SamplerSettings;
use hart_tokenizer::HybridTokens;

use crate::generation::noise::ResidualNoise;
use crate::model::HartModel;

impl<B: HartBackend> HartModel<B> {
    /// A sample of the residual head for each token of the last scale, `[batch, tokens, Z]`, when
    /// all tokens are those of true images: what is added to the codes in generation, and there
    /// stands for what they leave over. `temperature` is that of the diffusion's noise; `draws` has
    /// the noise of as many images.
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) when text and tokens are of other numbers of
    /// images, or tokens do not fit the model.
    pub fn predict_residual(
        &self,
        text: &TextCondition<B>,
        tokens: &HybridTokens<B>,
        draws: &impl Draws,
        temperature: f64,
    ) -> Result<Tensor<B, 3>> {
        let quantizer = &self.tokenizer.quantizer;
        let last = quantizer.scales().last();
        let codes = quantizer.embed(tokens.indices[last].clone());
        let [images, count, channels] = codes.dims();
        let positions = vec![(0..count).collect::<Vec<_>>(); images];
        let inputs = quantizer.teacher_forcing(&tokens.indices);
        let predicted = self.transformer.predict(text, inputs, &positions)?;
        let device = codes.device();
        let condition = self.transformer.residual_condition(predicted.hidden, codes);
        let settings = SamplerSettings::new(0.0, temperature);
        let head = &self.residual_head;
        let schedule = head.schedule();
        let steps = schedule.steps().len() - 1;
        let noise = ResidualNoise::new(draws, &positions, channels, steps, &device);
        head.sample(schedule, condition, noise.start(), |step| noise.step(step), &settings, &mut ())
    }
}
