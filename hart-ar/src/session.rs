//! One generation: the state that steps share, and the steps (sections 4.1 to 4.5).
//!
//! Rows of every doubled batch are ordered with the conditional half first.

use std::ops::Range;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use hart_core::nn::{Angles, context_angles, visual_angles};
use hart_core::tap::{Prefixed, Tap};
use hart_core::{Error, HartBackend, Result, ScaleSchedule};

use crate::cache::{Keep, LayerCache};
use crate::halves::Halves;
use crate::head::HeadModulation;
use crate::modulation::{ModulationValues, pool_context, pool_max};
use crate::transformer::Transformer;

/// The base of the rotary frequencies of context tokens.
pub(crate) const CONTEXT_BASE: f64 = 10_000.0;

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

/// A generation in progress. It owns the key/value cache and borrows the model, so that any number
/// of sessions can use one model at once.
#[derive(Debug)]
pub struct Session<'a, B: Backend> {
    transformer: &'a Transformer<B>,
    batch: usize,
    /// The embedded context with its level, the input of the first step: of the prompts `[batch, T,
    /// C]`, and one token of the empty one `[batch, 1, C]`, whose T tokens are all alike.
    context: Option<[Tensor<B, 3>; 2]>,
    context_positions: Vec<Vec<i64>>,
    levels: Tensor<B, 2>,
    modulations: Vec<Option<ModulationValues<B>>>,
    head: HeadModulation<B>,
    /// For each block the cache of the conditional half and that of the unconditional one.
    caches: Vec<[LayerCache<B>; 2]>,
}

impl<'a, B: HartBackend> Session<'a, B> {
    /// Prepares a generation for a batch of prompts: embeds the context, pools it, and computes all
    /// modulations once. `last_scale_kept` tokens of the last scale will be attended to by later
    /// masked passes; 0 when it is predicted in one pass.
    ///
    /// # Errors
    /// [`Error::Invalid`] when shapes do not fit the transformer or each other.
    pub fn new(
        transformer: &'a Transformer<B>,
        text: &TextCondition<B>,
        last_scale_kept: usize,
        tap: &mut dyn Tap,
    ) -> Result<Self> {
        check_text(transformer, text)?;
        let [batch, tokens, _] = text.context.dims();
        let device = text.context.device();
        let unconditional = text.context.zeros_like();
        let both = Tensor::cat(vec![text.context.clone(), unconditional], 0);
        let embedded = transformer.context.forward(both);
        tap.record("cond_BLD", &|| embedded.to_data());

        let kind = transformer.modulation();
        let pooled = pool_context(kind, embedded.clone(), valid_tokens(text, &device));
        tap.record("cond_pooled", &|| pooled.to_data());
        let modulations = transformer.blocks.iter().map(|b| b.modulation.values(pooled.clone()));
        let largest = pool_max(embedded.clone());
        tap.record("cond_max_pooled", &|| largest.to_data());

        let scales = transformer.scales();
        let levels = transformer.levels.rows(scales.count(), &device);
        tap.record("lvl_embed_rows", &|| levels.to_data());
        let middle: usize = (1..scales.last()).map(|scale| scales.tokens(scale)).sum();
        let visual = middle + last_scale_kept;
        let caches = || {
            let unconditional = LayerCache::standing_for(tokens, 1 + visual);
            [LayerCache::new(tokens + visual), unconditional]
        };
        let session = Self {
            transformer,
            batch,
            context: None,
            context_positions: text.positions.clone(),
            modulations: modulations.collect(),
            head: transformer.head.modulate(largest),
            caches: transformer.blocks.iter().map(|_| caches()).collect(),
            levels,
        };
        let context = session.with_level(embedded, 0);
        let conditional = context.clone().narrow(0, 0, batch);
        let unconditional = context.narrow(0, batch, batch).narrow(1, 0, 1);
        Ok(Self { context: Some([conditional, unconditional]), ..session })
    }

    /// The first step: all context tokens. Returns the hidden state of the last one, `[2·batch, 1,
    /// C]`, from which scale 0 is predicted.
    ///
    /// # Panics
    /// When it is called a second time.
    pub fn context_step(&mut self, tap: &mut dyn Tap) -> Tensor<B, 3> {
        let context = self.context.take().expect("the context is the first step and only that");
        let [conditional, unconditional] = context;
        let [batch, tokens, _] = conditional.dims();
        let device = conditional.device();
        let head_width = self.transformer.config().head_width();
        let positions = std::mem::take(&mut self.context_positions);
        let angles = |positions: &[Vec<i64>]| {
            let rows = positions.iter();
            let values: Vec<f32> =
                rows.flat_map(|row| context_angles(row, head_width, CONTEXT_BASE)).collect();
            Angles::new(&values, [batch, positions[0].len(), head_width], &device)
        };
        let mut halves = Halves::new(tokens, &mut *tap);
        let rotation = angles(&positions);
        let conditional = self.blocks(conditional, &rotation, 0..1, Keep::Yes, &mut halves);
        let rotation = angles(&vec![vec![0]; batch]);
        let second = &mut halves.second();
        let unconditional = self.blocks(unconditional, &rotation, 1..2, Keep::Yes, second);
        self.context_positions = positions;
        tap.record("logits_pre_cfg", &|| {
            let unconditional = unconditional.clone().repeat_dim(1, tokens);
            let both = Tensor::cat(vec![conditional.clone(), unconditional], 0);
            self.plain_logits(both).to_data()
        });
        Tensor::cat(vec![conditional.narrow(1, tokens - 1, 1), unconditional], 0)
    }

    /// A later step: the tokens of scale `scale` at `positions` (row-major indices, for each image
    /// as many), fed with the image so far at that scale, `[batch, positions, Z]`. Returns the
    /// hidden states `[2·batch, positions, C]`.
    pub fn scale_step(
        &mut self,
        scale: usize,
        positions: &[Vec<usize>],
        image_so_far: Tensor<B, 3>,
        keep: Keep,
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        let words = self.transformer.words.forward(image_so_far).repeat_dim(0, 2);
        let x = self.with_level(words, scale);
        let angles = self.visual_angles(scale, positions, &x.device());
        let hidden = self.blocks(x, &angles, 0..2, keep, tap);
        tap.record("logits_pre_cfg", &|| self.plain_logits(hidden.clone()).to_data());
        hidden
    }

    /// Guided logits `[batch, tokens, V]` in 32 bits: `(1 + guidance)·conditional -
    /// guidance·unconditional`; without guidance the unconditional half is left out.
    ///
    /// The head is linear behind its norm, so features could be guided instead and projected once.
    /// That saves two thousandths of a generation and doubles the rounding error of the logits,
    /// whose terms nearly cancel: smooth sampling would magnify it.
    pub fn guided_logits(&self, hidden: Tensor<B, 3>, guidance: f64) -> Tensor<B, 3> {
        let head = &self.transformer.head;
        let half = |start| {
            let rows = hidden.clone().narrow(0, start, self.batch);
            head.features(rows, &self.head.rows(start, self.batch))
        };
        let conditional = half(0);
        if guidance == 0.0 {
            return head.logits(conditional);
        }
        let unconditional = half(self.batch);
        head.logits(conditional) * (1.0 + guidance) - head.logits(unconditional) * guidance
    }

    /// The logits of both halves, `[2·batch, tokens, V]`.
    fn plain_logits(&self, hidden: Tensor<B, 3>) -> Tensor<B, 3> {
        let head = &self.transformer.head;
        head.logits(head.features(hidden, &self.head))
    }

    /// All blocks on the rows of some halves of guidance.
    fn blocks(
        &mut self,
        mut x: Tensor<B, 3>,
        angles: &Angles<B>,
        halves: Range<usize>,
        keep: Keep,
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        tap.record("x_in", &|| x.to_data());
        let (first, rows) = (halves.start * self.batch, halves.len() * self.batch);
        let layers = self.transformer.blocks.iter().zip(&self.modulations).zip(&mut self.caches);
        for (i, ((block, modulation), caches)) in layers.enumerate() {
            let mut tap = Prefixed { prefix: format!("block{i}_"), tap: &mut *tap };
            let modulation = modulation.as_ref().map(|values| values.rows(first, rows));
            let caches = &mut caches[halves.clone()];
            x = block.forward(x, modulation.as_ref(), angles, caches, keep, &mut tap);
        }
        tap.record("blocklast_out", &|| x.to_data());
        x
    }

    /// Adds the embedding of a level to embedded tokens.
    fn with_level(&self, x: Tensor<B, 3>, level: usize) -> Tensor<B, 3> {
        let row = self.levels.clone().narrow(0, level, 1).cast(x.dtype());
        x + row.unsqueeze()
    }

    fn visual_angles(
        &self,
        scale: usize,
        positions: &[Vec<usize>],
        device: &B::Device,
    ) -> Angles<B> {
        let scales = self.transformer.scales();
        let head_width = self.transformer.config().head_width();
        // Visual positions are counted from the last context token's.
        let last = |context: &Vec<i64>| context.last().copied().unwrap_or(0);
        let conditional = self.context_positions.iter().map(last);
        let offsets = conditional.chain(std::iter::repeat_n(0, self.batch));
        let angles: Vec<f32> = offsets
            .zip(positions.iter().chain(positions))
            .flat_map(|(offset, cells)| rotations(scales, scale, cells, offset, head_width))
            .collect();
        Angles::new(&angles, [2 * self.batch, positions[0].len(), head_width], device)
    }
}

/// The angles of some tokens of a scale, `[tokens, head width]`.
pub(crate) fn rotations(
    scales: &ScaleSchedule,
    scale: usize,
    cells: &[usize],
    offset: i64,
    head_width: usize,
) -> Vec<f32> {
    visual_angles(cells, scales.side(scale), scales.latent_side(), offset, head_width)
}

impl<B: Backend> TextCondition<B> {
    /// `[batch, T]`, 1 for tokens that are not padding.
    pub(crate) fn valid_tokens(&self, device: &B::Device) -> Tensor<B, 2> {
        let [batch, tokens, _] = self.context.dims();
        let valid = self.mask.iter().flatten().map(|&valid| f32::from(u8::from(valid)));
        let data = TensorData::new(valid.collect::<Vec<_>>(), [batch, tokens]);
        Tensor::from_data(data, (device, DType::F32))
    }
}

/// `[2·batch, T]`, 1 for valid tokens; of the unconditional half only the first one.
fn valid_tokens<B: Backend>(text: &TextCondition<B>, device: &B::Device) -> Tensor<B, 2> {
    let conditional = text.valid_tokens(device);
    let [batch, tokens] = conditional.dims();
    let unconditional = (0..batch * tokens).map(|i| if i % tokens == 0 { 1.0 } else { 0.0 });
    let data = TensorData::new(unconditional.collect::<Vec<f32>>(), [batch, tokens]);
    Tensor::cat(vec![conditional, Tensor::from_data(data, (device, DType::F32))], 0)
}

pub(crate) fn check_text<B: HartBackend>(
    transformer: &Transformer<B>,
    text: &TextCondition<B>,
) -> Result<()> {
    let [batch, tokens, width] = text.context.dims();
    let config = transformer.config();
    if batch == 0 || tokens != config.context_tokens || width != config.context_width {
        let expected = format!("[batch, {}, {}]", config.context_tokens, config.context_width);
        return Err(Error::shape("the shape of the text context", &text.context.dims(), expected));
    }
    let fits = |lengths: Vec<usize>| lengths.len() == batch && lengths.iter().all(|&n| n == tokens);
    if !fits(text.mask.iter().map(Vec::len).collect())
        || !fits(text.positions.iter().map(Vec::len).collect())
    {
        let expected = format!("{tokens} values for each of {batch} prompts");
        return Err(Error::invalid(
            "the mask or the positions of the text",
            "shorter or longer",
            expected,
        ));
    }
    Ok(())
}
