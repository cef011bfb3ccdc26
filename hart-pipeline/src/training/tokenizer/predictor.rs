//! The model whose residual head the decoder is trained for.

use std::path::Path;

use burn::tensor::{Int, Tensor};
use hart_core::random::SeededDraws;
use hart_core::{Error, HartBackend, Result};
use hart_tokenizer::quantizer::to_map;
use hart_tokenizer::{DecoderInput, HybridTokenizer};

use crate::HartPipeline;

/// A model over the tokenizer in training, whose latents stay as they are.
pub(super) struct Predictor<B: HartBackend> {
    pipeline: HartPipeline<B>,
    /// The tokenizer as the training begins: its encoder and its codes are those of every step.
    tokenizer: HybridTokenizer<B>,
}

impl<B: HartBackend> Predictor<B> {
    /// Reads the model in a folder, which must be over the tokenizer that is trained.
    ///
    /// # Errors
    /// Those of a pipeline that cannot be loaded, and [`Error::Config`] for a model over another
    /// tokenizer.
    pub(super) fn open(
        folder: &Path,
        tokenizer: HybridTokenizer<B>,
        device: &B::Device,
    ) -> Result<Self> {
        let pipeline = HartPipeline::builder().model(folder).build::<B>(device)?;
        let codebook = |tokenizer: &HybridTokenizer<B>| {
            let codes = tokenizer.quantizer.codebook.val().into_data();
            (codes.shape.to_vec(), codes.iter::<f32>().map(f32::to_bits).collect::<Vec<_>>())
        };
        if codebook(&pipeline.model()?.tokenizer) != codebook(&tokenizer) {
            return Err(Error::Config {
                path: "[data]".into(),
                key: "predictor".to_string(),
                found: format!("{}, over other codes", folder.display()),
                expected: "a model over the tokenizer of `start_from`".to_string(),
            });
        }
        Ok(Self { pipeline, tokenizer })
    }

    /// What the residual head makes of images `[batch, 3, height, width]` in [-1, 1]:
    /// `[batch, Z, H, W]`, zeros where the decoder sees something else. `None` when it always does.
    /// The images of a step have the noise of the seeds from `first` on.
    pub(super) fn predict(
        &self,
        images: &Tensor<B, 4>,
        inputs: &[DecoderInput],
        captions: &[String],
        first: u64,
    ) -> Result<Option<Tensor<B, 4>>> {
        let is_predicted = |item: &usize| inputs[*item] == DecoderInput::Predicted;
        let items: Vec<usize> = (0..inputs.len()).filter(is_predicted).collect();
        if items.is_empty() {
            return Ok(None);
        }
        let rows: Vec<i64> = items.iter().map(|&item| item as i64).collect();
        let rows = Tensor::<B, 1, Int>::from_data(&rows[..], &images.device());
        let latent = self.tokenizer.encode_latent(images.clone().select(0, rows), &mut ());
        let tokens = self.tokenizer.quantizer.encode(latent);
        let captions: Vec<&str> = items.iter().map(|&item| captions[item].as_str()).collect();
        let text = self.pipeline.text_encoder().encode(&captions)?.text;
        let seeds = items.iter().map(|&item| first.wrapping_add(item as u64));
        let draws = SeededDraws::new(seeds.collect::<Vec<_>>());
        let temperature = self.pipeline.defaults().temperature;
        let model = self.pipeline.model()?;
        let found = model.predict_residual(&text, &tokens, &draws, temperature)?;
        let found = to_map(found, self.tokenizer.quantizer.scales().latent());
        // Nothing comes first, so that it can be chosen as well.
        let nothing = found.clone().narrow(0, 0, 1).zeros_like();
        let place =
            |item| items.iter().position(|&other| other == item).map_or(0, |k| 1 + k as i64);
        let places: Vec<i64> = (0..inputs.len()).map(place).collect();
        let places = Tensor::<B, 1, Int>::from_data(&places[..], &images.device());
        Ok(Some(Tensor::cat(vec![nothing, found], 0).select(0, places)))
    }
}
