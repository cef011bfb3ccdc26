//! Keys and values of earlier steps.

use burn::tensor::{Tensor, backend::Backend};
use hart_core::HartBackend;

/// Whether a step's keys and values will be attended to by a later step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Keep {
    /// Later steps attend to them.
    Yes,
    /// The last step: storing them would be wasted.
    No,
}

/// The keys and values of one block, in memory made once for the whole generation.
#[derive(Debug)]
pub struct LayerCache<B: Backend> {
    keys: Buffer<B>,
    values: Buffer<B>,
    /// How many identical tokens the first one represents.
    copies: usize,
}

/// A tensor `[batch, heads, capacity, width]` filled from the front.
#[derive(Debug)]
struct Buffer<B: Backend> {
    /// Made at the first step, whose shape and type it takes. Nobody else holds it between steps, so
    /// that writing a step into it copies that step alone.
    tensor: Option<Tensor<B, 4>>,
    capacity: usize,
    length: usize,
}

impl<B: HartBackend> LayerCache<B> {
    /// Room for `capacity` tokens.
    pub fn new(capacity: usize) -> Self {
        Self::repeating(1, capacity)
    }

    /// The same when the first token represents `copies` identical ones: their keys and values are
    /// the same, so that one of them with a larger share of the softmax does for all.
    pub fn repeating(copies: usize, capacity: usize) -> Self {
        let buffer = || Buffer { tensor: None, capacity, length: 0 };
        Self { keys: buffer(), values: buffer(), copies }
    }

    /// How many identical tokens the first one represents.
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// The keys and values of all tokens so far, those of this step `[batch, heads, tokens, width]`
    /// behind those of earlier steps.
    pub fn extend(
        &mut self,
        keys: Tensor<B, 4>,
        values: Tensor<B, 4>,
        keep: Keep,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        match keep {
            Keep::Yes => (self.keys.push(keys), self.values.push(values)),
            Keep::No => (self.keys.with(keys), self.values.with(values)),
        }
    }

    /// Keys and values kept so far, `[batch, heads, tokens, width]` each; `None` before the first.
    pub fn kept(&self) -> Option<(Tensor<B, 4>, Tensor<B, 4>)> {
        Some((self.keys.filled()?, self.values.filled()?))
    }
}

impl<B: HartBackend> Buffer<B> {
    fn filled(&self) -> Option<Tensor<B, 4>> {
        self.tensor.clone().map(|tensor| tensor.narrow(2, 0, self.length))
    }

    fn push(&mut self, step: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, heads, tokens, width] = step.dims();
        let end = self.length + tokens;
        debug_assert!(end <= self.capacity, "the cache was made for {} tokens", self.capacity);
        let tensor = self.tensor.take().unwrap_or_else(|| {
            let shape = [batch, heads, self.capacity, width];
            Tensor::empty(shape, (&step.device(), step.dtype()))
        });
        let tensor = B::write_rows(tensor, self.length, step);
        self.length = end;
        let filled = tensor.clone().narrow(2, 0, end);
        self.tensor = Some(tensor);
        filled
    }

    fn with(&self, step: Tensor<B, 4>) -> Tensor<B, 4> {
        match self.filled() {
            Some(earlier) => Tensor::cat(vec![earlier, step], 2),
            None => step,
        }
    }
}
