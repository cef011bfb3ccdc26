//! What is computed once a generation: the embedded context, all modulations, and empty caches
//! (sections 4.1 and 4.2).

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use hart_core::tap::Tap;
use hart_core::transfer::upload;
use hart_core::{Error, HartBackend, Result};

use super::{Halves, Session};
use crate::block::Block;
use crate::cache::LayerCache;
use crate::condition::TextCondition;
use crate::modulation::{pool_context, pool_max};
use crate::transformer::Transformer;

impl<'a, B: HartBackend> Session<'a, B> {
    /// Prepares a generation for a batch of prompts: embeds the context, pools it, and computes all
    /// modulations once. `last_scale_kept` tokens of the last scale will be attended to by later
    /// masked passes; 0 when it is predicted in one pass. Without any guidance
    /// [`Halves::Conditional`] saves half of the work.
    ///
    /// # Errors
    /// [`Error::Invalid`] when shapes do not fit the transformer or each other.
    pub fn new(
        transformer: &'a Transformer<B>,
        text: &TextCondition<B>,
        last_scale_kept: usize,
        halves: Halves,
        tap: &mut dyn Tap,
    ) -> Result<Self> {
        let prompts = Prompts { text, negative: None, halves };
        Self::begin(transformer, prompts, last_scale_kept, tap)
    }

    /// The same with a negative prompt for each prompt: guidance leads away from it, instead of from
    /// the empty one, and both halves are computed.
    ///
    /// # Errors
    /// As [`Self::new`], and [`Error::Invalid`] for another number of negative prompts.
    pub fn with_negative(
        transformer: &'a Transformer<B>,
        text: &TextCondition<B>,
        negative: &TextCondition<B>,
        last_scale_kept: usize,
        tap: &mut dyn Tap,
    ) -> Result<Self> {
        negative.check(transformer)?;
        let (found, expected) = (negative.mask.len(), text.mask.len());
        if found != expected {
            return Err(Error::invalid("the number of negative prompts", found, expected));
        }
        let prompts = Prompts { text, negative: Some(negative), halves: Halves::Both };
        Self::begin(transformer, prompts, last_scale_kept, tap)
    }

    fn begin(
        transformer: &'a Transformer<B>,
        prompts: Prompts<'_, B>,
        last_scale_kept: usize,
        tap: &mut dyn Tap,
    ) -> Result<Self> {
        prompts.text.check(transformer)?;
        let device = prompts.text.context.device();
        let embedded = transformer.context.forward(prompts.context());
        tap.record("context.embedded", &|| embedded.to_data());
        let valid = prompts.valid_tokens(&device);
        let pooled = pool_context(transformer.modulation(), embedded.clone(), valid);
        tap.record("context.pooled", &|| pooled.to_data());
        let largest = pool_max(embedded.clone());
        tap.record("context.largest", &|| largest.to_data());
        let scales = transformer.scales();
        let levels = transformer.levels.rows(scales.count(), &device);
        tap.record("levels", &|| levels.to_data());

        let blocks = &transformer.blocks;
        let middle: usize = (1..scales.last()).map(|scale| scales.tokens(scale)).sum();
        let caches = |block: &Block<B>| {
            prompts.caches(middle + last_scale_kept, block.attention.cache_type())
        };
        let session = Self {
            transformer,
            batch: prompts.text.context.dims()[0],
            halves: prompts.halves,
            context: None,
            text: prompts.text.clone(),
            negative: prompts.negative.cloned(),
            modulations: blocks.iter().map(|b| b.modulation.values(pooled.clone())).collect(),
            head: transformer.head.modulate(largest),
            caches: blocks.iter().map(caches).collect(),
            levels,
            results: None,
        };
        let context = prompts.inputs(session.with_level(embedded, 0));
        Ok(Self { context: Some(context), ..session })
    }
}

/// What the halves of a generation are told.
struct Prompts<'a, B: Backend> {
    text: &'a TextCondition<B>,
    negative: Option<&'a TextCondition<B>>,
    halves: Halves,
}

impl<B: HartBackend> Prompts<'_, B> {
    fn has_both(&self) -> bool {
        self.halves == Halves::Both
    }

    /// The context of all rows, `[rows, T, context width]`; that of the empty prompt is zero.
    fn context(&self) -> Tensor<B, 3> {
        let conditional = self.text.context.clone();
        if !self.has_both() {
            return conditional;
        }
        let empty = || conditional.zeros_like();
        let unconditional = self.negative.map_or_else(empty, |negative| negative.context.clone());
        Tensor::cat(vec![conditional, unconditional], 0)
    }

    /// `[rows, T]`, 1 for valid tokens; of the empty prompt only the first one.
    fn valid_tokens(&self, device: &B::Device) -> Tensor<B, 2> {
        let conditional = self.text.valid_tokens(device);
        if !self.has_both() {
            return conditional;
        }
        if let Some(negative) = self.negative {
            return Tensor::cat(vec![conditional, negative.valid_tokens(device)], 0);
        }
        let [batch, tokens] = conditional.dims();
        let unconditional = (0..batch * tokens).map(|i| if i % tokens == 0 { 1.0 } else { 0.0 });
        let data = TensorData::new(unconditional.collect::<Vec<f32>>(), [batch, tokens]);
        Tensor::cat(vec![conditional, upload(data, (device, DType::F32))], 0)
    }

    /// A block's empty caches, one for each half, with room for the context and `visual` tokens, in
    /// another type than theirs if it is given.
    fn caches(&self, visual: usize, dtype: Option<DType>) -> Vec<LayerCache<B>> {
        let [_, tokens, _] = self.text.context.dims();
        let unconditional = match self.negative {
            Some(_) => LayerCache::new(tokens + visual),
            // One token of an empty context represents all T.
            None => LayerCache::repeating(tokens, 1 + visual),
        };
        let both = [LayerCache::new(tokens + visual), unconditional];
        both.into_iter().take(self.halves.count()).map(|cache| cache.stored_as(dtype)).collect()
    }

    /// The input of the first step for each half, from the embedded context of all rows.
    fn inputs(&self, embedded: Tensor<B, 3>) -> Vec<Tensor<B, 3>> {
        let [batch, tokens, _] = self.text.context.dims();
        let mut inputs = vec![embedded.clone().narrow(0, 0, batch)];
        if self.has_both() {
            let length = if self.negative.is_some() { tokens } else { 1 };
            inputs.push(embedded.narrow(0, batch, batch).narrow(1, 0, length));
        }
        inputs
    }
}
