//! The generation: scale after scale, then the residual (sections 4.4 and 4.5).

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use hart_ar::cache::Keep;
use hart_ar::mask_passes::mask_passes;
use hart_ar::sampling::{SampledTokens, sample_tokens};
use hart_ar::{Session, TextCondition};
use hart_core::ops::pick_rows;
use hart_core::random::Draws;
use hart_core::tap::{Prefixed, Tap};
use hart_core::{HartBackend, Result, ScaleSchedule};
use hart_diffusion::{NoiseSchedule, SamplerSettings};
use hart_tokenizer::quantizer::{to_map, to_tokens};

use crate::model::HartModel;
use crate::request::GenerationSettings;

/// Something that was finished in a generation.
#[derive(Debug)]
pub enum Stage<'a, B: Backend> {
    /// A scale; with the sum of all scales so far, `[batch, Z, H, W]`.
    Scale {
        /// The scale, counted from 0.
        scale: usize,
        /// The latent so far.
        latent: &'a Tensor<B, 4>,
    },
    /// A masked pass over the last scale.
    MaskPass {
        /// The pass, counted from 0.
        pass: usize,
        /// How many passes there are.
        passes: usize,
    },
}

/// What every step of one generation needs.
struct Generation<'a, B: Backend> {
    model: &'a HartModel<B>,
    settings: &'a GenerationSettings,
    draws: &'a dyn Draws,
    /// The codebook on the host, `[V, Z]` row by row.
    codebook: Vec<f32>,
    channels: usize,
    batch: usize,
    device: B::Device,
}

impl<B: HartBackend> HartModel<B> {
    /// Generates the latents `[batch, Z, H, W]` of a batch of encoded prompts.
    ///
    /// All randomness comes from `draws`. `report` hears of every finished stage and ends the
    /// generation by returning an error; `tap` is offered the intermediate tensors.
    ///
    /// # Errors
    /// [`hart_core::Error::Invalid`] when the text does not fit the model,
    /// [`hart_core::Error::NonFinite`] when the weights give NaN or infinite logits, and whatever
    /// `report` returns.
    pub fn generate_latent(
        &self,
        text: &TextCondition<B>,
        settings: &GenerationSettings,
        draws: &dyn Draws,
        report: &mut dyn FnMut(Stage<'_, B>) -> Result<()>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor<B, 4>> {
        let [batch, _, _] = text.context.dims();
        let [_, channels] = self.tokenizer.quantizer.codebook_shape();
        let generation = Generation {
            model: self,
            settings,
            draws,
            codebook: to_host(self.tokenizer.quantizer.codebook.val()),
            channels,
            batch,
            device: text.context.device(),
        };
        let passes = generation.passes();
        let kept = passes[..passes.len() - 1].iter().map(|pass| pass[0].len()).sum();
        let mut session = Session::new(&self.transformer, text, kept, tap)?;
        let coarse = generation.coarse_scales(&mut session, report, tap)?;
        let latent = generation.last_scale(&mut session, coarse, &passes, report, tap)?;
        let scale = self.transformer.scales().last();
        report(Stage::Scale { scale, latent: &latent })?;
        Ok(latent)
    }
}

impl<B: HartBackend> Generation<'_, B> {
    fn scales(&self) -> &ScaleSchedule {
        self.model.transformer.scales()
    }

    /// The positions of each masked pass over the last scale.
    fn passes(&self) -> Vec<Vec<Vec<usize>>> {
        let tokens = self.scales().tokens(self.scales().last());
        let order = |image| match self.settings.mask_passes {
            1 => (0..tokens).collect(),
            _ => self.draws.order(image, tokens),
        };
        let orders: Vec<Vec<usize>> = (0..self.batch).map(order).collect();
        mask_passes(&orders, self.settings.mask_passes)
    }

    /// All scales but the last: discrete tokens, each adding to the latent.
    fn coarse_scales(
        &self,
        session: &mut Session<'_, B>,
        report: &mut dyn FnMut(Stage<'_, B>) -> Result<()>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor<B, 4>> {
        let quantizer = &self.model.tokenizer.quantizer;
        let side = self.scales().latent_side();
        let mut latent = Tensor::zeros([self.batch, self.channels, side, side], &self.device);
        for scale in 0..self.scales().last() {
            let mut tap = Prefixed { prefix: format!("s{scale}."), tap: &mut *tap };
            let positions = vec![(0..self.scales().tokens(scale)).collect(); self.batch];
            let hidden = if scale == 0 {
                session.context_step(&mut tap)
            } else {
                let input = to_tokens(quantizer.scale_input(scale, latent.clone()));
                session.scale_step(scale, &positions, input, Keep::Yes, &mut tap)
            };
            let sampled = self.sample(session, hidden, scale, &positions, &mut tap)?;
            let tokens = self.upload(sampled.vectors, positions[0].len());
            tap.record("h", &|| to_map(tokens.clone(), self.scales().side(scale)).to_data());
            latent = latent + quantizer.contribution(scale, tokens);
            tap.record("f_hat", &|| latent.to_data());
            tap.record("next_map", &|| quantizer.scale_input(scale + 1, latent.clone()).to_data());
            report(Stage::Scale { scale, latent: &latent })?;
        }
        Ok(latent)
    }

    /// The last scale: in one or several passes, with the residual of the diffusion head, added to
    /// the latent without resizing or convolution.
    fn last_scale(
        &self,
        session: &mut Session<'_, B>,
        latent: Tensor<B, 4>,
        passes: &[Vec<Vec<usize>>],
        report: &mut dyn FnMut(Stage<'_, B>) -> Result<()>,
        tap: &mut dyn Tap,
    ) -> Result<Tensor<B, 4>> {
        let scale = self.scales().last();
        let input = to_tokens(latent.clone());
        let mut predicted = vec![];
        for (pass, positions) in passes.iter().enumerate() {
            let mut tap = Prefixed { prefix: format!("m{pass}."), tap: &mut *tap };
            let keep = if pass + 1 == passes.len() { Keep::No } else { Keep::Yes };
            let rows = gather(input.clone(), positions);
            let hidden = session.scale_step(scale, positions, rows, keep, &mut tap);
            let sampled = self.sample(session, hidden.clone(), scale, positions, &mut tap)?;
            let tokens = self.upload(sampled.vectors, positions[0].len());
            predicted.push(match &self.settings.noise_schedule {
                None => tokens,
                Some(schedule) => {
                    let indices = &sampled.indices;
                    tokens + self.residual(schedule, hidden, indices, positions, &mut tap)?
                }
            });
            if passes.len() > 1 {
                report(Stage::MaskPass { pass, passes: passes.len() })?;
            }
        }
        let tokens = gather(Tensor::cat(predicted, 1), &inverse(passes));
        Ok(latent + to_map(tokens, self.scales().latent_side()))
    }

    /// Guided logits, and tokens sampled from them.
    fn sample(
        &self,
        session: &Session<'_, B>,
        hidden: Tensor<B, 3>,
        scale: usize,
        positions: &[Vec<usize>],
        tap: &mut dyn Tap,
    ) -> Result<SampledTokens> {
        let logits = session.guided_logits(hidden, self.guidance(scale));
        tap.record("logits_cfg", &|| logits.to_data());
        let rule = self.settings.token_rule(self.scales(), scale);
        let logits = to_host(logits);
        let sampled = sample_tokens(
            &logits,
            &self.codebook,
            self.channels,
            &rule,
            self.draws,
            scale,
            positions,
        )?;
        tap.record("idx", &|| {
            let indices: Vec<i64> = sampled.indices.iter().map(|&index| index as i64).collect();
            TensorData::new(indices, [self.batch, positions[0].len()])
        });
        Ok(sampled)
    }

    /// Guidance grows with the scale.
    fn guidance(&self, scale: usize) -> f64 {
        self.settings.guidance * self.scales().ratio(scale)
    }

    /// The diffusion head's residual of one pass, `[batch, positions, Z]`.
    fn residual(
        &self,
        schedule: &NoiseSchedule,
        hidden: Tensor<B, 3>,
        indices: &[usize],
        positions: &[Vec<usize>],
        tap: &mut dyn Tap,
    ) -> Result<Tensor<B, 3>> {
        let code = |&index: &usize| &self.codebook[index * self.channels..][..self.channels];
        let codes: Vec<f32> = indices.iter().flat_map(code).copied().collect();
        let codes = self.upload(codes, positions[0].len());
        let condition = self.model.transformer.residual_condition(hidden, codes);
        tap.record("last_stage_cond", &|| condition.to_data());
        let settings = SamplerSettings {
            guidance: self.guidance(self.scales().last()),
            temperature: self.settings.temperature,
        };
        let start = self.noise(positions, |image, position, noise| {
            self.draws.diffusion_start(image, position, noise);
        });
        let step = |step| {
            self.noise(positions, |image, position, noise| {
                self.draws.diffusion_step(image, step, position, noise);
            })
        };
        let head = &self.model.residual_head;
        let mut diffusion = Prefixed { prefix: "diff_".to_string(), tap: &mut *tap };
        head.sample_with(schedule, condition, start, step, &settings, &mut diffusion)
    }

    /// Noise for the tokens of a pass, drawn by address: `[batch, positions, Z]`.
    fn noise(
        &self,
        positions: &[Vec<usize>],
        draw: impl Fn(usize, usize, &mut [f32]),
    ) -> Tensor<B, 3> {
        let addresses = positions.iter().enumerate();
        let addresses = addresses.flat_map(|(image, cells)| cells.iter().map(move |&p| (image, p)));
        let mut values = vec![0.0; self.batch * positions[0].len() * self.channels];
        for ((image, position), noise) in addresses.zip(values.chunks_exact_mut(self.channels)) {
            draw(image, position, noise);
        }
        self.upload(values, positions[0].len())
    }

    fn upload(&self, values: Vec<f32>, tokens: usize) -> Tensor<B, 3> {
        let shape = [self.batch, tokens, self.channels];
        Tensor::from_data(TensorData::new(values, shape), (&self.device, DType::F32))
    }
}

/// The tokens of `[batch, tokens, Z]` at the positions of each image; nothing is moved where those
/// are all of them in order.
fn gather<B: Backend>(tokens: Tensor<B, 3>, positions: &[Vec<usize>]) -> Tensor<B, 3> {
    let count = tokens.dims()[1];
    match positions.iter().all(|cells| cells.iter().copied().eq(0..count)) {
        true => tokens,
        false => pick_rows(tokens, positions),
    }
}

/// For each image, where in the concatenated passes each position is.
fn inverse(passes: &[Vec<Vec<usize>>]) -> Vec<Vec<usize>> {
    let of_image = |image: usize| {
        let order: Vec<usize> = passes.iter().flat_map(|pass| pass[image].clone()).collect();
        let mut places = vec![0; order.len()];
        order.into_iter().enumerate().for_each(|(place, position)| places[position] = place);
        places
    };
    (0..passes[0].len()).map(of_image).collect()
}

/// The values of a tensor on the host, in 32 bits.
pub(crate) fn to_host<B: Backend, const D: usize>(tensor: Tensor<B, D>) -> Vec<f32> {
    let data = tensor.cast(DType::F32).into_data();
    data.into_vec().expect("a tensor that was just cast to 32 bits")
}
