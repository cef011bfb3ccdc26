//! One generation: the state that steps share, and the steps (sections 4.1 to 4.5).
//!
//! Rows of every doubled batch are ordered with the conditional half first.

mod blocks;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use hart_core::nn::context_angles;
use hart_core::ops::Angles;
use hart_core::tap::{Prefixed, Tap};
use hart_core::{Error, HartBackend, Result};

use crate::cache::{Keep, LayerCache};
use crate::condition::TextCondition;
use crate::head::HeadModulation;
use crate::modulation::{ModulationValues, pool_context, pool_max};
use crate::pruning::{Computed, KeptResults};
use crate::transformer::Transformer;
use blocks::{Pruned, Work};

/// The base of the rotary frequencies of context tokens.
pub(crate) const CONTEXT_BASE: f64 = 10_000.0;

/// Which halves of guidance are computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Halves {
    /// The prompts alone.
    Conditional,
    /// The prompts, and the empty prompt that guidance leads away from.
    Both,
}

/// What is computed in one step.
#[derive(Debug, Clone, Copy)]
pub struct ScaleStep<'a> {
    /// The scale, from 1 on.
    pub scale: usize,
    /// For each image the row-major positions of its tokens, the same number for all.
    pub positions: &'a [Vec<usize>],
    /// Whether later steps will attend to these tokens.
    pub keep: Keep,
    /// Which halves are computed. A half that was left out cannot be taken up again.
    pub halves: Halves,
    /// Which of the tokens go through the blocks.
    pub computed: Computed,
}

impl<'a> ScaleStep<'a> {
    /// A step in which every token goes through all blocks.
    pub fn whole(scale: usize, positions: &'a [Vec<usize>], keep: Keep, halves: Halves) -> Self {
        Self { scale, positions, keep, halves, computed: Computed::All }
    }
}

/// The last block's output for the tokens of a step.
#[derive(Debug, Clone)]
pub struct Hidden<B: Backend> {
    /// `[rows, tokens, C]`, the rows of the conditional half before those of the unconditional
    /// one, if that was computed.
    pub states: Tensor<B, 3>,
    batch: usize,
}

/// The logits of the halves of guidance, `[batch, tokens, V]` each, in 32 bits.
#[derive(Debug, Clone)]
pub struct HalfLogits<B: Backend> {
    /// With the prompts.
    pub conditional: Tensor<B, 3>,
    /// With the empty prompt, where a step is guided.
    pub unconditional: Option<Tensor<B, 3>>,
}

impl<B: Backend> HalfLogits<B> {
    /// `(1 + guidance)·conditional - guidance·unconditional`.
    ///
    /// # Errors
    /// [`Error::Invalid`] for guidance where there is no unconditional half.
    pub fn guided(self, guidance: f64) -> Result<Tensor<B, 3>> {
        if guidance == 0.0 {
            return Ok(self.conditional);
        }
        let unconditional = self.unconditional.ok_or_else(|| {
            Error::invalid("the guidance", guidance, "0 where the unconditional half is left out")
        })?;
        Ok(self.conditional * (1.0 + guidance) - unconditional * guidance)
    }
}

/// A generation in progress. It owns the key/value cache and borrows the model, so that any number
/// of sessions can use one model at once.
#[derive(Debug)]
pub struct Session<'a, B: Backend> {
    transformer: &'a Transformer<B>,
    batch: usize,
    /// The halves that steps may still ask for.
    halves: Halves,
    /// The embedded context with its level, the input of the first step: of the prompts `[batch, T,
    /// C]`, and of the empty one, whose T tokens are all identical, one token `[batch, 1, C]`.
    context: Option<Vec<Tensor<B, 3>>>,
    text: TextCondition<B>,
    /// The negative prompts, where there are any: the unconditional half has them instead of the empty
    /// one, token by token.
    negative: Option<TextCondition<B>>,
    levels: Tensor<B, 2>,
    modulations: Vec<Option<ModulationValues<B>>>,
    head: HeadModulation<B>,
    /// For each block the cache of the conditional half, and that of the unconditional one.
    caches: Vec<Vec<LayerCache<B>>>,
    /// What blocks gave at the last scale whose results are kept.
    results: Option<KeptResults<B>>,
}

impl Halves {
    /// How many halves are computed.
    pub fn count(self) -> usize {
        match self {
            Self::Conditional => 1,
            Self::Both => 2,
        }
    }
}

impl<B: Backend> Hidden<B> {
    /// The rows of the conditional half, `[batch, tokens, C]`.
    pub fn conditional(&self) -> Tensor<B, 3> {
        self.states.clone().narrow(0, 0, self.batch)
    }

    /// The rows of the unconditional half, if it was computed.
    pub fn unconditional(&self) -> Option<Tensor<B, 3>> {
        let rows = self.states.dims()[0];
        (rows > self.batch).then(|| self.states.clone().narrow(0, self.batch, self.batch))
    }
}

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
        Self::begin(transformer, (text, None), last_scale_kept, halves, tap)
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
        let texts = (text, Some(negative));
        Self::begin(transformer, texts, last_scale_kept, Halves::Both, tap)
    }

    fn begin(
        transformer: &'a Transformer<B>,
        (text, negative): (&TextCondition<B>, Option<&TextCondition<B>>),
        last_scale_kept: usize,
        halves: Halves,
        tap: &mut dyn Tap,
    ) -> Result<Self> {
        text.check(transformer)?;
        let [batch, tokens, _] = text.context.dims();
        let device = text.context.device();
        let mut context = vec![text.context.clone()];
        if halves == Halves::Both {
            let empty = || text.context.zeros_like();
            context.push(negative.map_or_else(empty, |negative| negative.context.clone()));
        }
        let embedded = transformer.context.forward(Tensor::cat(context, 0));
        tap.record("context.embedded", &|| embedded.to_data());

        let valid = valid_tokens(text, negative, halves, &device);
        let pooled = pool_context(transformer.modulation(), embedded.clone(), valid);
        tap.record("context.pooled", &|| pooled.to_data());
        let modulations = transformer.blocks.iter().map(|b| b.modulation.values(pooled.clone()));
        let largest = pool_max(embedded.clone());
        tap.record("context.largest", &|| largest.to_data());

        let scales = transformer.scales();
        let levels = transformer.levels.rows(scales.count(), &device);
        tap.record("levels", &|| levels.to_data());
        let middle: usize = (1..scales.last()).map(|scale| scales.tokens(scale)).sum();
        let visual = middle + last_scale_kept;
        let caches = || {
            // One token of an empty context represents all T.
            let unconditional = match negative {
                Some(_) => LayerCache::new(tokens + visual),
                None => LayerCache::repeating(tokens, 1 + visual),
            };
            let both = [LayerCache::new(tokens + visual), unconditional];
            both.into_iter().take(halves.count()).collect()
        };
        let session = Self {
            transformer,
            batch,
            halves,
            context: None,
            text: text.clone(),
            negative: negative.cloned(),
            modulations: modulations.collect(),
            head: transformer.head.modulate(largest),
            caches: transformer.blocks.iter().map(|_| caches()).collect(),
            levels,
            results: None,
        };
        let context = session.with_level(embedded, 0);
        let mut inputs = vec![context.clone().narrow(0, 0, batch)];
        if halves == Halves::Both {
            let length = if negative.is_some() { tokens } else { 1 };
            inputs.push(context.narrow(0, batch, batch).narrow(1, 0, length));
        }
        Ok(Self { context: Some(inputs), ..session })
    }

    /// The first step: all context tokens. Returns the hidden state of the last one, a single
    /// token, from which scale 0 is predicted.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it is called a second time.
    pub fn context_step(&mut self, tap: &mut dyn Tap) -> Result<Hidden<B>> {
        let context = self.context.take().ok_or_else(|| {
            Error::invalid("a second context step", "asked for", "one, the first step")
        })?;
        let empty = || vec![vec![0]; self.batch];
        let negative = self.negative.as_ref().map(|negative| negative.positions.clone());
        let positions = [self.text.positions.clone(), negative.unwrap_or_else(empty)];
        let names = ["conditional.", "unconditional."];
        let mut last = vec![];
        for (half, x) in context.into_iter().enumerate() {
            let [_, tokens, _] = x.dims();
            let angles = self.context_angles(&positions[half], &x.device());
            let mut tap = Prefixed { prefix: names[half].to_string(), tap: &mut *tap };
            let work = Work { halves: half..half + 1, keep: Keep::Yes, pruned: Pruned::No };
            let hidden = self.blocks(x, &angles, work, &mut tap);
            tap.record("logits", &|| self.logits(hidden.clone(), half).to_data());
            last.push(hidden.narrow(1, tokens - 1, 1));
        }
        Ok(Hidden { states: Tensor::cat(last, 0), batch: self.batch })
    }

    /// A later step: the tokens of a scale, fed with the image so far at that scale, `[batch,
    /// positions, Z]`. Returns the hidden states of these tokens.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a half that was left out before, and for tokens to be left out of the
    /// blocks when no earlier results are kept, or not all tokens are asked for.
    pub fn scale_step(
        &mut self,
        step: ScaleStep<'_>,
        image_so_far: Tensor<B, 3>,
        tap: &mut dyn Tap,
    ) -> Result<Hidden<B>> {
        if step.halves == Halves::Both && self.halves == Halves::Conditional {
            let what = format!("the unconditional half at scale {}", step.scale);
            return Err(Error::invalid(what, "asked for after it was left out", "the other half"));
        }
        self.halves = step.halves;
        let halves = step.halves.count();
        let words = self.transformer.words.forward(image_so_far);
        let words = if halves > 1 { words.repeat_dim(0, halves) } else { words };
        let x = self.with_level(words, step.scale);
        let angles = self.visual_angles(&step, &x.device());
        let pruned = self.pruned(&step)?;
        let work = Work { halves: 0..halves, keep: step.keep, pruned };
        let states = self.blocks(x, &angles, work, tap);
        let hidden = Hidden { states, batch: self.batch };
        tap.record("logits", &|| {
            let conditional = self.logits(hidden.conditional(), 0);
            let both = hidden.unconditional().map(|rows| self.logits(rows, 1));
            Tensor::cat(std::iter::once(conditional).chain(both).collect(), 0).to_data()
        });
        Ok(hidden)
    }

    /// Guided logits `[batch, tokens, V]` in 32 bits ([`HalfLogits::guided`]); without guidance the
    /// unconditional half is left out.
    ///
    /// The head is linear behind its norm, so features could be guided instead and projected once.
    /// That saves two thousandths of a generation and doubles the rounding error of the logits,
    /// whose terms nearly cancel: smooth sampling would magnify it.
    ///
    /// # Errors
    /// [`Error::Invalid`] for guidance of a step whose unconditional half was left out.
    pub fn guided_logits(&self, hidden: &Hidden<B>, guidance: f64) -> Result<Tensor<B, 3>> {
        self.half_logits(hidden, guidance != 0.0).guided(guidance)
    }

    /// The logits of the conditional half, and of the other one if the step is `guided` and it was
    /// computed.
    pub fn half_logits(&self, hidden: &Hidden<B>, guided: bool) -> HalfLogits<B> {
        let unconditional = hidden.unconditional().filter(|_| guided);
        HalfLogits {
            conditional: self.logits(hidden.conditional(), 0),
            unconditional: unconditional.map(|rows| self.logits(rows, 1)),
        }
    }

    /// The logits of one half's hidden states.
    fn logits(&self, hidden: Tensor<B, 3>, half: usize) -> Tensor<B, 3> {
        let head = &self.transformer.head;
        let modulation = self.head.rows(half * self.batch, self.batch);
        head.logits(head.features(hidden, &modulation))
    }

    /// Adds the embedding of a level to embedded tokens.
    fn with_level(&self, x: Tensor<B, 3>, level: usize) -> Tensor<B, 3> {
        let row = self.levels.clone().narrow(0, level, 1).cast(x.dtype());
        x + row.unsqueeze()
    }

    fn context_angles(&self, positions: &[Vec<i64>], device: &B::Device) -> Angles<B> {
        let head_width = self.transformer.config().head_width();
        let rows = positions.iter();
        let angles: Vec<f32> =
            rows.flat_map(|row| context_angles(row, head_width, CONTEXT_BASE)).collect();
        Angles::new(&angles, [positions.len(), positions[0].len(), head_width], device)
    }

    fn visual_angles(&self, step: &ScaleStep<'_>, device: &B::Device) -> Angles<B> {
        // The empty prompt's positions are all 0.
        let negative = self.negative.as_ref().map(TextCondition::last_positions);
        let negative = negative.unwrap_or_else(|| vec![0; self.batch]);
        let offsets = self.text.last_positions().into_iter().chain(negative);
        let rows = step.halves.count() * self.batch;
        let angles: Vec<f32> = offsets
            .zip(step.positions.iter().cycle())
            .take(rows)
            .flat_map(|(offset, cells)| self.transformer.rotations(step.scale, cells, offset))
            .collect();
        let head_width = self.transformer.config().head_width();
        Angles::new(&angles, [rows, step.positions[0].len(), head_width], device)
    }
}

/// `[rows, T]`, 1 for valid tokens; of the empty prompt only the first one.
fn valid_tokens<B: Backend>(
    text: &TextCondition<B>,
    negative: Option<&TextCondition<B>>,
    halves: Halves,
    device: &B::Device,
) -> Tensor<B, 2> {
    let conditional = text.valid_tokens(device);
    if halves == Halves::Conditional {
        return conditional;
    }
    if let Some(negative) = negative {
        return Tensor::cat(vec![conditional, negative.valid_tokens(device)], 0);
    }
    let [batch, tokens] = conditional.dims();
    let unconditional = (0..batch * tokens).map(|i| if i % tokens == 0 { 1.0 } else { 0.0 });
    let data = TensorData::new(unconditional.collect::<Vec<f32>>(), [batch, tokens]);
    Tensor::cat(vec![conditional, Tensor::from_data(data, (device, DType::F32))], 0)
}
