//! The source of an edit as tokens, and the hook that holds a generation to it.

use burn::tensor::{Bool, DType, Int, Tensor, TensorData};
use hart_ar::TextCondition;
use hart_core::transfer::upload;
use hart_core::{HartBackend, Result};
use hart_tokenizer::quantizer::to_tokens;

use super::mask::kept_at;
use crate::generation::{GenerationHook, ScaleTokens, Step};
use crate::image::Pixels;
use crate::model::HartModel;

/// An image as a latent.
pub(super) struct Source<B: HartBackend> {
    /// `[1, Z, H, W]`.
    latent: Tensor<B, 4>,
}

impl<B: HartBackend> Source<B> {
    /// Encodes an image of the model's size.
    pub(super) fn encode(model: &HartModel<B>, image: &Pixels, device: &B::Device) -> Self {
        let shape = [1, 3, image.height(), image.width()];
        let planes = TensorData::new(image.to_planes(), shape);
        let planes = upload(planes, (device, DType::F32));
        Self { latent: model.tokenizer.encode_latent(planes, &mut ()) }
    }

    /// The nearest codes `[1, tokens]` of what the latent of a generation, `[1, Z, H, W]`, still
    /// lacks of the source at a scale. Where everything before was the source's too, these are its
    /// own tokens; elsewhere they mend what has bled in from cells that are new.
    fn missing(&self, step: &Step<'_, B>, latent: Tensor<B, 4>) -> Tensor<B, 2, Int> {
        let quantizer = &step.model.tokenizer.quantizer;
        let missing = self.latent.clone() - latent;
        quantizer.nearest(to_tokens(quantizer.scale_input(step.scale, missing)))
    }

    /// The source's tokens of a step for every image of the batch, at its positions.
    pub(super) fn tokens(&self, step: &Step<'_, B>) -> ScaleTokens<B> {
        let device = step.latent.device();
        let images = step.positions.iter().enumerate();
        let indices = images.map(|(image, positions)| {
            let codes = self.missing(step, step.latent.clone().narrow(0, image, 1));
            let positions: Vec<i64> = positions.iter().map(|&position| position as i64).collect();
            let length = positions.len();
            codes.select(1, upload(TensorData::new(positions, [length]), &device))
        });
        let indices = Tensor::cat(indices.collect(), 0);
        let vectors = step.model.tokenizer.quantizer.embed(indices.clone());
        ScaleTokens { indices, vectors }
    }
}

/// Which part of a generation is the source's.
pub(super) struct Kept {
    /// Scales before this one are the source's altogether; as many as there are for all of it.
    pub(super) scales: usize,
    /// Cells of the latent that are the source's at all scales.
    pub(super) cells: Vec<bool>,
}

/// Holds a generation to its source: tokens of the kept cells are the source's, and the last scale
/// brings them to it exactly.
pub(super) struct HoldToSource<'a, B: HartBackend> {
    pub(super) source: &'a Source<B>,
    pub(super) kept: &'a Kept,
    /// How many scales there are.
    pub(super) scales: usize,
    /// What images say of it.
    pub(super) name: &'a str,
    /// Whether there is a prompt: without one the text is what images without a prompt were trained
    /// with.
    pub(super) prompted: bool,
}

impl<B: HartBackend> HoldToSource<'_, B> {
    /// Which positions of a scale are kept; none when no cell is.
    fn kept(&self, step: &Step<'_, B>) -> Option<Vec<bool>> {
        let latent = step.model.transformer.scales().latent();
        if step.scale < self.kept.scales {
            return Some(vec![true; step.grid.cells()]);
        }
        let kept = kept_at(&self.kept.cells, latent, step.grid);
        kept.contains(&true).then_some(kept)
    }
}

impl<B: HartBackend> GenerationHook<B> for HoldToSource<'_, B> {
    fn name(&self) -> Option<String> {
        Some(self.name.to_string())
    }

    fn text(&mut self, text: TextCondition<B>) -> TextCondition<B> {
        let images = text.mask.len();
        if self.prompted { text } else { text.without(&vec![true; images]) }
    }

    fn tokens(&mut self, step: &Step<'_, B>, tokens: ScaleTokens<B>) -> Result<ScaleTokens<B>> {
        let Some(kept) = self.kept(step) else { return Ok(tokens) };
        let source = self.source.tokens(step);
        let [batch, count, channels] = tokens.vectors.dims();
        let device = tokens.vectors.device();
        let kept = step.positions.iter().flatten().map(|&position| kept[position]);
        let kept = TensorData::new(kept.collect::<Vec<bool>>(), [batch, count]);
        let kept: Tensor<B, 2, Bool> = upload(kept, &device);
        let wide = kept.clone().reshape([batch, count, 1]).expand([batch, count, channels]);
        Ok(ScaleTokens {
            indices: tokens.indices.mask_where(kept, source.indices),
            vectors: tokens.vectors.mask_where(wide, source.vectors),
        })
    }

    fn latent(&mut self, scale: usize, latent: Tensor<B, 4>) -> Result<Tensor<B, 4>> {
        if scale + 1 < self.scales {
            return Ok(latent);
        }
        let [batch, channels, rows, columns] = latent.dims();
        let all = scale < self.kept.scales;
        let cells: Vec<bool> = self.kept.cells.iter().map(|&kept| kept || all).collect();
        let cells = TensorData::new(cells, [1, 1, rows, columns]);
        let cells: Tensor<B, 4, Bool> = upload(cells, &latent.device());
        let shape = [batch, channels, rows, columns];
        let source = self.source.latent.clone().expand(shape);
        Ok(latent.mask_where(cells.expand(shape), source))
    }
}
