//! The encoded prompts that a generation follows (section 3).

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use hart_core::transfer::upload;
use hart_core::{Error, HartBackend, Result};

use crate::transformer::Transformer;

/// The encoded prompts of a batch.
#[derive(Debug, Clone)]
pub struct TextCondition<B: Backend> {
    /// Hidden states of the text encoder, `[batch, T, context width]`.
    pub context: Tensor<B, 3>,
    /// For each prompt which of its T tokens are not padding.
    pub mask: Vec<Vec<bool>>,
    /// For each prompt the position of each token; -1 before the first one of a left-padded prompt.
    pub positions: Vec<Vec<i64>>,
}

impl<B: Backend> TextCondition<B> {
    /// The same prompts with the context of some set to zero; masks and positions stay. So the
    /// transformer learns what guidance needs, images without a prompt.
    pub fn without(&self, dropped: &[bool]) -> Self {
        let keep: Vec<f32> = dropped.iter().map(|&drop| f32::from(u8::from(!drop))).collect();
        let keep = TensorData::new(keep, [dropped.len(), 1, 1]);
        let keep = upload(keep, &self.context.device());
        Self { context: self.context.clone() * keep, ..self.clone() }
    }

    /// `[batch, T]`, 1 for tokens that are not padding.
    pub(crate) fn valid_tokens(&self, device: &B::Device) -> Tensor<B, 2> {
        let [batch, tokens, _] = self.context.dims();
        let valid = self.mask.iter().flatten().map(|&valid| f32::from(u8::from(valid)));
        let data = TensorData::new(valid.collect::<Vec<_>>(), [batch, tokens]);
        upload(data, (device, DType::F32))
    }

    /// For each prompt the position of its last token, from which visual positions are counted.
    pub(crate) fn last_positions(&self) -> Vec<i64> {
        let last = |positions: &Vec<i64>| positions.last().copied().unwrap_or(0);
        self.positions.iter().map(last).collect()
    }

    /// Checks that the prompts fit a transformer and each other.
    ///
    /// # Errors
    /// [`Error::Invalid`] when they do not.
    pub(crate) fn check(&self, transformer: &Transformer<B>) -> Result<()>
    where
        B: HartBackend,
    {
        let [batch, tokens, width] = self.context.dims();
        let config = transformer.config();
        if batch == 0 || tokens != config.context_tokens || width != config.context_width {
            let expected = format!("[batch, {}, {}]", config.context_tokens, config.context_width);
            let found = self.context.dims();
            return Err(Error::shape("the shape of the text context", &found, expected));
        }
        let masks = self.mask.len() == batch && self.mask.iter().all(|row| row.len() == tokens);
        let positions =
            self.positions.len() == batch && self.positions.iter().all(|row| row.len() == tokens);
        if masks && positions {
            return Ok(());
        }
        let found = format!("{} and {} rows", self.mask.len(), self.positions.len());
        let expected = format!("{tokens} values for each of {batch} prompts");
        Err(Error::invalid("the mask or the positions of the text", found, expected))
    }
}
