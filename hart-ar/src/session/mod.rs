//! One generation: the state that steps share, and the steps (sections 4.1 to 4.5).
//!
//! Rows of every doubled batch are ordered with the conditional half first.

mod begin;
mod blocks;
mod halves;

use burn::tensor::{Tensor, backend::Backend};
use hart_core::nn::context_angles;
use hart_core::ops::{Angles, are_all};
use hart_core::tap::{Prefixed, Tap};
use hart_core::{Error, HartBackend, Result};

use crate::cache::{Keep, LayerCache};
use crate::condition::TextCondition;
use crate::head::HeadModulation;
use crate::modulation::ModulationValues;
use crate::pruning::{Computed, KeptResults};
use crate::transformer::Transformer;
use blocks::{Pruned, Work};
pub use halves::{HalfLogits, Halves, Hidden};

/// The base of the rotary frequencies of context tokens.
pub(crate) const CONTEXT_BASE: f64 = 10_000.0;

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
    /// For each block the cache of the conditional half, and that of the unconditional one; or one for
    /// both.
    caches: Vec<Vec<LayerCache<B>>>,
    /// What blocks gave at the last scale whose results are kept.
    results: Option<KeptResults<B>>,
}

impl<B: HartBackend> Session<'_, B> {
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
        self.arrange_caches(step.halves);
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
        let offsets: Vec<i64> = offsets.take(rows).collect();
        let head_width = self.transformer.config().head_width();
        let grid = self.transformer.scales().grid(step.scale);
        if are_all(step.positions, grid.cells()) {
            let axes =
                offsets.iter().map(|&offset| self.transformer.axis_rotations(step.scale, offset));
            let (down, along): (Vec<_>, Vec<_>) = axes.map(|[down, along]| (down, along)).unzip();
            return Angles::of_map([&down.concat(), &along.concat()], rows, grid, device);
        }
        let angles: Vec<f32> = offsets
            .iter()
            .zip(step.positions.iter().cycle())
            .flat_map(|(&offset, cells)| self.transformer.rotations(step.scale, cells, offset))
            .collect();
        Angles::new(&angles, [rows, step.positions[0].len(), head_width], device)
    }
}
