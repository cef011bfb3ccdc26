//! One transformer block (section 4.2).

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use hart_core::nn::{Prepare, RmsNorm, RmsNormConfig};
use hart_core::ops::{Angles, pick_rows};
use hart_core::tap::Tap;
use hart_core::{HartBackend, Precision};

use crate::attention::Attention;
use crate::cache::{Keep, LayerCache};
use crate::config::TransformerConfig;
use crate::mlp::Mlp;
use crate::modulation::{Modulation, ModulationValues};
use crate::pruning::{most_active, pick_angles, put_rows};

/// Attention and feed-forward part, each normalised, modulated and added to its input.
#[derive(Module, Debug)]
pub struct Block<B: Backend> {
    /// Used before both parts.
    norm: RmsNorm<B>,
    /// Attention over all tokens so far.
    pub attention: Attention<B>,
    mlp: Mlp<B>,
    /// The learned part of the modulation.
    pub modulation: Modulation<B>,
}

impl<B: Backend> Block<B> {
    /// A block of the configured sizes.
    pub fn init(config: &TransformerConfig, device: &B::Device) -> Self {
        Self {
            norm: RmsNormConfig::new(config.width).with_epsilon(config.norm_epsilon).init(device),
            attention: Attention::init(config, device),
            mlp: Mlp::init(config, device),
            modulation: Modulation::init(config, device),
        }
    }
}

/// What a block works with in one step of a generation, beside the tokens themselves.
#[derive(Debug)]
pub struct BlockStep<'a, B: Backend> {
    /// Its modulation for each row, if the model has any.
    pub modulation: Option<&'a ModulationValues<B>>,
    /// The rotations of the tokens' positions.
    pub angles: &'a Angles<B>,
    /// The earlier tokens that are attended to: one cache a half, that of as many rows each, in order.
    pub caches: &'a mut [LayerCache<B>],
    /// Whether later steps will attend to these tokens.
    pub keep: Keep,
}

impl<B: HartBackend> Block<B> {
    /// `x` `[rows, tokens, C]` to the same shape, attending to the caches and to itself.
    pub fn forward(
        &self,
        x: Tensor<B, 3>,
        step: BlockStep<'_, B>,
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        self.forward_with(x, step, &mut |_| {}, tap)
    }

    /// The same; `see` is shown what attention and feed-forward give before it is added.
    pub(crate) fn forward_with(
        &self,
        x: Tensor<B, 3>,
        step: BlockStep<'_, B>,
        see: &mut dyn FnMut(&Tensor<B, 3>),
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        let BlockStep { modulation, angles, caches, keep } = step;
        let attend = |x| self.attention.forward(x, angles, caches, keep);
        self.run(x, modulation, attend, see, tap)
    }

    /// The same for `count` tokens of each row alone; the other ones take the results of `earlier`
    /// (attention and feed-forward, `[rows, tokens, C]` each).
    pub(crate) fn forward_pruned(
        &self,
        x: Tensor<B, 3>,
        step: BlockStep<'_, B>,
        count: usize,
        [attention, feed_forward]: [Tensor<B, 3>; 2],
    ) -> Tensor<B, 3> {
        let BlockStep { modulation, angles, caches, keep } = step;
        let places = most_active(&x, count);
        let picked = self.normalize(pick_rows(x.clone(), &places), modulation, 0);
        let angles = pick_angles(angles, &places);
        let attended = self.attention.forward(picked, &angles, caches, keep);
        let x = add(x, put_rows(attention, attended, &places), modulation, 0);

        let places = most_active(&x, count);
        let picked = self.normalize(pick_rows(x.clone(), &places), modulation, 1);
        let transformed = self.mlp.forward(picked);
        add(x, put_rows(feed_forward, transformed, &places), modulation, 1)
    }

    /// The same without a cache, under an additive mask broadcastable to `[batch, heads, tokens,
    /// tokens]`.
    pub fn forward_masked(
        &self,
        x: Tensor<B, 3>,
        modulation: Option<&ModulationValues<B>>,
        angles: &Angles<B>,
        mask: Option<Tensor<B, 4>>,
    ) -> Tensor<B, 3> {
        let attend = |x| self.attention.forward_masked(x, angles, mask);
        self.run(x, modulation, attend, &mut |_| {}, &mut ())
    }

    fn run(
        &self,
        x: Tensor<B, 3>,
        modulation: Option<&ModulationValues<B>>,
        attend: impl FnOnce(Tensor<B, 3>) -> Tensor<B, 3>,
        see: &mut dyn FnMut(&Tensor<B, 3>),
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        let attended = attend(self.normalize(x.clone(), modulation, 0));
        tap.record("attention", &|| attended.to_data());
        see(&attended);
        let x = add(x, attended, modulation, 0);
        let transformed = self.mlp.forward(self.normalize(x.clone(), modulation, 1));
        see(&transformed);
        let x = add(x, transformed, modulation, 1);
        tap.record("output", &|| x.to_data());
        x
    }

    /// The input of part 0 (attention) or 1 (feed-forward).
    fn normalize(
        &self,
        x: Tensor<B, 3>,
        modulation: Option<&ModulationValues<B>>,
        part: usize,
    ) -> Tensor<B, 3> {
        match modulation {
            Some(values) => {
                let (scale, shift) = (&values.scales[part], &values.shifts[part]);
                self.norm.forward_modulated(x, scale.clone(), shift.clone())
            }
            None => self.norm.forward(x),
        }
    }
}

/// Adds the result of a part to its input.
fn add<B: HartBackend>(
    x: Tensor<B, 3>,
    y: Tensor<B, 3>,
    modulation: Option<&ModulationValues<B>>,
    part: usize,
) -> Tensor<B, 3> {
    match modulation {
        Some(values) => B::add_gated(x, y, values.gates[part].clone()),
        None => x + y,
    }
}

impl<B: HartBackend> Prepare for Block<B> {
    fn prepare(&mut self, precision: Precision) {
        self.attention.prepare(precision);
        self.mlp.prepare(precision);
    }
}
