//! Pixels to a latent (section 2).

use burn::module::Module;
use burn::nn::GroupNorm;
use burn::tensor::{Tensor, backend::Backend};
use hart_core::nn::{Convolution, ConvolutionConfig};
use hart_core::ops::group_norm;
use hart_core::tap::Tap;
use hart_core::{HartBackend, Result};

use crate::blocks::{AttentionBlock, Middle, ResidualBlock, norm, run_blocks, same_convolution};
use crate::config::AutoencoderConfig;
use crate::finer::split_first;

/// Residual blocks of one level.
const BLOCKS: usize = 2;

/// The convolutional encoder.
#[derive(Module, Debug)]
pub struct Encoder<B: Backend> {
    input: Convolution<B>,
    levels: Vec<EncoderLevel<B>>,
    middle: Middle<B>,
    norm: GroupNorm<B>,
    output: Convolution<B>,
}

/// The blocks of one resolution, and the way to the next.
#[derive(Module, Debug)]
pub struct EncoderLevel<B: Backend> {
    blocks: Vec<ResidualBlock<B>>,
    /// One after each block, at the last level only.
    attentions: Vec<AttentionBlock<B>>,
    /// Halves height and width; none at the last level.
    downsample: Option<Convolution<B>>,
}

impl<B: Backend> Encoder<B> {
    /// An encoder of the configured sizes.
    pub fn init(config: &AutoencoderConfig, device: &B::Device) -> Self {
        let last = config.channel_multipliers.len() - 1;
        let groups = config.norm_groups;
        let mut channels = config.base_channels;
        let mut levels = vec![];
        for (i, multiplier) in config.channel_multipliers.iter().enumerate() {
            let output = config.base_channels * multiplier;
            levels.push(EncoderLevel::init(groups, [channels, output], i == last, device));
            channels = output;
        }
        Self {
            input: same_convolution(3, config.base_channels, 3, device),
            levels,
            middle: Middle::init(groups, channels, device),
            norm: norm(groups, channels, device),
            output: same_convolution(channels, config.latent_channels, 3, device),
        }
    }
}

impl<B: Backend> Encoder<B> {
    /// The same encoder behind the first level of `fresh` ([`crate::finer`]).
    pub(crate) fn behind(self, fresh: Self) -> Result<Self> {
        let [input, downsample] = split_first(&fresh.input, &self.input)?;
        let mut levels = fresh.levels;
        levels.truncate(1);
        for level in &mut levels {
            let blocks = std::mem::take(&mut level.blocks).into_iter();
            level.blocks = blocks.map(ResidualBlock::silent).collect::<Result<_>>()?;
            level.downsample = Some(downsample.clone());
        }
        levels.extend(self.levels);
        Ok(Self { input, levels, ..self })
    }
}

impl<B: Backend> EncoderLevel<B> {
    fn init(groups: usize, [input, output]: [usize; 2], last: bool, device: &B::Device) -> Self {
        let width = |i| if i == 0 { input } else { output };
        let attentions = if last { BLOCKS } else { 0 };
        // One column right and one row below are padded, not all four sides.
        let downsample = ConvolutionConfig {
            channels: [output, output],
            kernel: 3,
            padding: [0, 0, 1, 1],
            stride: 2,
        };
        Self {
            blocks: (0..BLOCKS)
                .map(|i| ResidualBlock::init(groups, width(i), output, device))
                .collect(),
            attentions: (0..attentions)
                .map(|_| AttentionBlock::init(groups, output, device))
                .collect(),
            downsample: (!last).then(|| downsample.init(device)),
        }
    }
}

impl<B: HartBackend> Encoder<B> {
    /// `[batch, 3, height, width]` in [-1, 1] to `[batch, Z, height / f, width / f]`.
    pub fn forward(&self, image: Tensor<B, 4>, tap: &mut dyn Tap) -> Tensor<B, 4> {
        let mut look = |name: &str, x: &Tensor<B, 4>| {
            tap.record(&format!("encoder.{name}"), &|| x.to_data());
        };
        let mut x = self.input.forward(image);
        look("input", &x);
        for (i, level) in self.levels.iter().enumerate() {
            x = level.forward(x);
            if level.downsample.is_some() {
                look(&format!("level.{i}"), &x);
            }
        }
        let x = self.middle.forward(x, &mut look);
        let normalized = group_norm(&self.norm, x, false);
        look("norm", &normalized);
        self.output.forward(B::silu(normalized))
    }
}

impl<B: HartBackend> EncoderLevel<B> {
    fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let x = run_blocks(&self.blocks, &self.attentions, x);
        match &self.downsample {
            Some(downsample) => downsample.forward(x),
            None => x,
        }
    }
}
