//! Keys and values of earlier steps.

use burn::tensor::{DType, Tensor, backend::Backend};
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
    /// Made at the first step, whose shape it takes. Nobody else holds it between steps, so that
    /// writing a step into it copies that step alone.
    tensor: Option<Tensor<B, 4>>,
    /// The type it is kept in, if not that of the steps.
    dtype: Option<DType>,
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
        let buffer = || Buffer { tensor: None, dtype: None, capacity, length: 0 };
        Self { keys: buffer(), values: buffer(), copies }
    }

    /// The same, kept in another type than that of the steps, where the backend
    /// [attends to it](HartBackend::ATTENDS_TO_F16).
    pub fn stored_as(mut self, dtype: Option<DType>) -> Self {
        self.keys.dtype = dtype;
        self.values.dtype = dtype;
        self
    }

    /// How many identical tokens the first one represents.
    pub fn copies(&self) -> usize {
        self.copies
    }

    /// One cache for the rows of several, one behind the other, with identical tokens written out;
    /// `Err` gives them back as they are where they do not hold equally many tokens then, or none yet.
    pub(crate) fn join(caches: Vec<Self>) -> Result<Self, Vec<Self>> {
        let written_out = |cache: &Self| {
            let (keys, values) = cache.kept()?;
            Some([keys, values].map(|kept| write_out(kept, cache.copies)))
        };
        let Some(parts) = caches.iter().map(written_out).collect::<Option<Vec<_>>>() else {
            return Err(caches);
        };
        let tokens = parts[0][0].dims()[2];
        if parts.iter().any(|part| part[0].dims()[2] != tokens) {
            return Err(caches);
        }
        let capacity = tokens + caches[0].keys.capacity - caches[0].keys.length;
        let (keys, values) = parts.into_iter().map(|[keys, values]| (keys, values)).unzip();
        let buffer = |parts: Vec<Tensor<B, 4>>, like: &Buffer<B>| {
            let mut buffer = Buffer { tensor: None, dtype: like.dtype, capacity, length: 0 };
            buffer.push(Tensor::cat(parts, 0));
            buffer
        };
        let (keys, values) = (buffer(keys, &caches[0].keys), buffer(values, &caches[0].values));
        Ok(Self { keys, values, copies: 1 })
    }

    /// Keeps the first rows alone.
    pub(crate) fn keep_rows(&mut self, rows: usize) {
        for buffer in [&mut self.keys, &mut self.values] {
            buffer.tensor = buffer.tensor.take().map(|tensor| tensor.narrow(0, 0, rows));
        }
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

/// The first token of `[batch, heads, tokens, width]` as `copies` of it.
fn write_out<B: Backend>(x: Tensor<B, 4>, copies: usize) -> Tensor<B, 4> {
    if copies == 1 {
        return x;
    }
    let [batch, heads, _, width] = x.dims();
    let first = x.clone().narrow(2, 0, 1).expand([batch, heads, copies - 1, width]);
    Tensor::cat(vec![first, x], 2)
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
            Tensor::empty(shape, (&step.device(), self.dtype.unwrap_or(step.dtype())))
        });
        let tensor = B::write_rows(tensor, self.length, step);
        self.length = end;
        let filled = tensor.clone().narrow(2, 0, end);
        self.tensor = Some(tensor);
        filled
    }

    fn with(&self, step: Tensor<B, 4>) -> Tensor<B, 4> {
        let dtype = self.dtype.unwrap_or(step.dtype());
        let earlier = self.filled();
        if dtype == step.dtype() {
            return match earlier {
                Some(earlier) => Tensor::cat(vec![earlier, step], 2),
                None => step,
            };
        }
        let [batch, heads, tokens, width] = step.dims();
        let shape = [batch, heads, self.length + tokens, width];
        let mut all = Tensor::empty(shape, (&step.device(), dtype));
        if let Some(earlier) = earlier {
            all = B::write_rows(all, 0, earlier);
        }
        B::write_rows(all, self.length, step)
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{DType, Distribution, Tensor};

    use super::{Keep, LayerCache};

    fn rows(tokens: usize) -> Tensor<Flex, 4> {
        Tensor::random([2, 3, tokens, 4], Distribution::Normal(0.0, 1.0), &Default::default())
    }

    /// Three steps, the last one not kept: all keys that the last one attends to.
    fn attended(mut cache: LayerCache<Flex>, steps: &[Tensor<Flex, 4>]) -> Tensor<Flex, 4> {
        let mut all = None;
        for (i, step) in steps.iter().enumerate() {
            let keep = if i + 1 == steps.len() { Keep::No } else { Keep::Yes };
            all = Some(cache.extend(step.clone(), step.clone() * 2.0, keep).0);
        }
        let (keys, values) = cache.kept().expect("the first steps");
        assert_eq!(keys.dims()[2], steps[0].dims()[2] + steps[1].dims()[2]);
        let twice = keys.cast(DType::F32) * 2.0 - values.cast(DType::F32);
        assert!(twice.abs().max().into_scalar() < 4e-3, "values are kept beside keys");
        all.expect("steps")
    }

    #[test]
    fn steps_stand_one_behind_the_other_in_whatever_type_they_are_kept() {
        let steps = [rows(5), rows(1), rows(7)];
        let expected = Tensor::cat(steps.to_vec(), 2);
        let found = attended(LayerCache::new(9), &steps);
        assert_eq!(found.to_data(), expected.to_data());
        let found = attended(LayerCache::new(9).stored_as(Some(DType::F16)), &steps);
        assert_eq!(found.dtype(), DType::F16);
        let apart = (found.cast(DType::F32) - expected).abs().max().into_scalar();
        assert!(apart > 0.0 && apart < 4e-3, "the nearest values of 16 bits: {apart}");
    }
}
