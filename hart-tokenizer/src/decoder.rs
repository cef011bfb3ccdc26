//! A latent to pixels (section 2).

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::tensor::module::interpolate;
use burn::tensor::ops::{InterpolateMode, InterpolateOptions};
use burn::tensor::{Tensor, backend::Backend};
use hart_core::nn::{Convolution, Prepare};
use hart_core::ops::group_norm;
use hart_core::tap::Tap;
use hart_core::{HartBackend, Precision, Result};

use crate::blocks::{AttentionBlock, Middle, ResidualBlock, norm, run_blocks, same_convolution};
use crate::config::AutoencoderConfig;
use crate::finer::{identity, split_last};
use crate::strips::Strips;

/// Residual blocks of one level.
const BLOCKS: usize = 3;

/// The convolutional decoder.
#[derive(Module, Debug)]
pub struct Decoder<B: Backend> {
    input: Convolution<B>,
    middle: Middle<B>,
    /// From the finest resolution to the coarsest, the order of the checkpoint.
    levels: Vec<DecoderLevel<B>>,
    norm: GroupNorm<B>,
    output: Convolution<B>,
}

/// The blocks of one resolution, and the way to the next finer one.
#[derive(Module, Debug)]
pub struct DecoderLevel<B: Backend> {
    blocks: Vec<ResidualBlock<B>>,
    /// One after each block, at the coarsest level only.
    attentions: Vec<AttentionBlock<B>>,
    /// After doubling height and width; none at the finest level.
    upsample: Option<Convolution<B>>,
}

impl<B: Backend> Decoder<B> {
    /// A decoder of the configured sizes.
    pub fn init(config: &AutoencoderConfig, device: &B::Device) -> Self {
        let multipliers = &config.channel_multipliers;
        let width = |level: usize| config.base_channels * multipliers[level];
        let last = multipliers.len() - 1;
        let groups = config.norm_groups;
        let level = |i: usize| {
            // The blocks come from the next coarser level.
            let input = width((i + 1).min(last));
            DecoderLevel::init(groups, [input, width(i)], i == last, i > 0, device)
        };
        Self {
            input: same_convolution(config.latent_channels, width(last), 3, device),
            middle: Middle::init(groups, width(last), device),
            levels: (0..multipliers.len()).map(level).collect(),
            norm: norm(groups, width(0), device),
            output: same_convolution(width(0), 3, 3, device),
        }
    }
}

impl<B: Backend> Decoder<B> {
    /// The same decoder before the finest level of `fresh` ([`crate::finer`]).
    pub(crate) fn before(mut self, fresh: Self) -> Result<Self> {
        let output = split_last(&self.output)?;
        let [_, channels, _, _] = output.weight()?.dims();
        self.levels[0].upsample = Some(identity(channels, &output.bias().device()));
        let mut levels = fresh.levels;
        levels.truncate(1);
        for level in &mut levels {
            let blocks = std::mem::take(&mut level.blocks).into_iter();
            level.blocks = blocks.map(ResidualBlock::silent).collect::<Result<_>>()?;
        }
        levels.extend(self.levels);
        Ok(Self { levels, output, ..self })
    }
}

impl<B: Backend> DecoderLevel<B> {
    fn init(
        groups: usize,
        [input, output]: [usize; 2],
        attention: bool,
        upsample: bool,
        device: &B::Device,
    ) -> Self {
        let width = |i| if i == 0 { input } else { output };
        let attentions = if attention { BLOCKS } else { 0 };
        Self {
            blocks: (0..BLOCKS)
                .map(|i| ResidualBlock::init(groups, width(i), output, device))
                .collect(),
            attentions: (0..attentions)
                .map(|_| AttentionBlock::init(groups, output, device))
                .collect(),
            upsample: upsample.then(|| same_convolution(output, output, 3, device)),
        }
    }
}

impl<B: HartBackend> Decoder<B> {
    /// `[batch, Z, height, width]` to `[batch, 3, f · height, f · width]`, not yet clamped to
    /// [-1, 1].
    pub fn forward(&self, latent: Tensor<B, 4>, tap: &mut dyn Tap) -> Tensor<B, 4> {
        self.forward_with_features(latent, tap).0
    }

    /// The same, and the features that the last layer made it from.
    pub fn forward_with_features(
        &self,
        latent: Tensor<B, 4>,
        tap: &mut dyn Tap,
    ) -> (Tensor<B, 4>, Tensor<B, 4>) {
        let mut look = |name: &str, x: &Tensor<B, 4>| {
            tap.record(&format!("decoder.{name}"), &|| x.to_data());
        };
        let x = self.input.forward(latent);
        look("input", &x);
        let mut x = self.middle.forward(x, &mut look);
        for (i, level) in self.levels.iter().enumerate().rev() {
            x = level.forward(x);
            if level.upsample.is_some() {
                look(&format!("level.{i}"), &x);
            }
        }
        let features = group_norm(&self.norm, x, true);
        (self.output.forward(features.clone()), features)
    }

    /// [`Self::forward`] in strips of `rows` rows of the latent, at least 1: the same result up to
    /// rounding, in less memory.
    pub fn forward_in_strips(&self, latent: Tensor<B, 4>, rows: usize) -> Tensor<B, 4> {
        let x = self.middle.forward(self.input.forward(latent), &mut |_, _| ());
        let mut levels = self.levels.iter().rev();
        let coarsest = levels.next().expect("a decoder has at least one level");
        // Attention looks at the whole map, which is small where there is any.
        let x = run_blocks(&coarsest.blocks, &coarsest.attentions, x);
        let mut strips = coarsest.upsample_strips(Strips::cut(&x, rows));
        drop(x);
        for level in levels {
            for block in &level.blocks {
                strips = block.forward_in_strips(strips);
            }
            strips = level.upsample_strips(strips);
        }
        let norm = strips.norm(&self.norm);
        let pixels: Strips<B> = strips.convolve(&self.output, 1, |x| norm.activate(x)).collect();
        pixels.join()
    }

    /// The last layer: features to pixels.
    pub fn last_layer(&self) -> &Convolution<B> {
        &self.output
    }
}

impl<B: HartBackend> DecoderLevel<B> {
    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let x = run_blocks(&self.blocks, &self.attentions, x);
        match &self.upsample {
            Some(upsample) => upsample.forward(double(x)),
            None => x,
        }
    }

    fn upsample_strips(&self, x: Strips<B>) -> Strips<B> {
        match &self.upsample {
            Some(upsample) => x.convolve(upsample, 2, double).collect(),
            None => x,
        }
    }
}

impl<B: HartBackend> Prepare for Decoder<B> {
    fn prepare(&mut self, precision: Precision) {
        self.input.prepare(precision);
        self.middle.prepare(precision);
        self.levels.prepare(precision);
        self.output.prepare(precision);
    }
}

impl<B: HartBackend> Prepare for DecoderLevel<B> {
    fn prepare(&mut self, precision: Precision) {
        self.blocks.prepare(precision);
        self.attentions.prepare(precision);
        self.upsample.prepare(precision);
    }
}

/// Every pixel as a square of four.
fn double<B: Backend>(x: Tensor<B, 4>) -> Tensor<B, 4> {
    let [_, _, height, width] = x.dims();
    interpolate(x, [2 * height, 2 * width], InterpolateOptions::new(InterpolateMode::Nearest))
}
