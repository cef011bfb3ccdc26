//! The two blocks that encoder and decoder are built of (section 2).

use burn::module::Module;
use burn::nn::{GroupNorm, GroupNormConfig};
use burn::tensor::{Tensor, backend::Backend};
use hart_core::nn::{Convolution, ConvolutionConfig, Prepare};
use hart_core::ops::{group_norm, swap_neighbours};
use hart_core::{HartBackend, Precision, Result};

use crate::strips::Strips;

/// A convolution that keeps height and width; `kernel` is odd.
pub(crate) fn same_convolution<B: Backend>(
    input: usize,
    output: usize,
    kernel: usize,
    device: &B::Device,
) -> Convolution<B> {
    ConvolutionConfig::same(input, output, kernel).init(device)
}

/// GroupNorm with `groups` groups.
pub(crate) fn norm<B: Backend>(groups: usize, channels: usize, device: &B::Device) -> GroupNorm<B> {
    GroupNormConfig::new(groups, channels).with_epsilon(1e-6).init(device)
}

/// Norm, SiLU, convolution, twice, added to the input.
#[derive(Module, Debug)]
pub struct ResidualBlock<B: Backend> {
    norm_1: GroupNorm<B>,
    convolution_1: Convolution<B>,
    norm_2: GroupNorm<B>,
    convolution_2: Convolution<B>,
    /// A 1×1 convolution where the channel counts differ.
    shortcut: Option<Convolution<B>>,
}

impl<B: Backend> ResidualBlock<B> {
    /// A block from `input` to `output` channels, normalised in `groups` groups.
    pub fn init(groups: usize, input: usize, output: usize, device: &B::Device) -> Self {
        Self {
            norm_1: norm(groups, input, device),
            convolution_1: same_convolution(input, output, 3, device),
            norm_2: norm(groups, output, device),
            convolution_2: same_convolution(output, output, 3, device),
            shortcut: (input != output).then(|| same_convolution(input, output, 1, device)),
        }
    }
}

impl<B: Backend> ResidualBlock<B> {
    /// The same block, which adds nothing to its input until it is trained.
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) when it is prepared.
    pub(crate) fn silent(self) -> Result<Self> {
        Ok(Self { convolution_2: self.convolution_2.scale(0.0, 0.0)?, ..self })
    }
}

impl<B: HartBackend> ResidualBlock<B> {
    /// `[batch, input, height, width]` to `[batch, output, height, width]`.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let h = self.convolution_1.forward(group_norm(&self.norm_1, x.clone(), true));
        let h = self.convolution_2.forward(group_norm(&self.norm_2, h, true));
        let x = match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        x + h
    }

    /// The same, strip by strip.
    pub(crate) fn forward_in_strips(&self, x: Strips<B>) -> Strips<B> {
        let norm = x.norm(&self.norm_1);
        let h = x.clone().convolve(&self.convolution_1, 1, |x| norm.activate(x));
        let h: Strips<B> = h.collect();
        let norm = h.norm(&self.norm_2);
        let h = h.convolve(&self.convolution_2, 1, |h| norm.activate(h));
        let shortcut = |x| match &self.shortcut {
            Some(shortcut) => shortcut.forward(x),
            None => x,
        };
        x.add(h, shortcut)
    }
}

/// Single-head attention over all positions, added to the input.
#[derive(Module, Debug)]
pub struct AttentionBlock<B: Backend> {
    norm: GroupNorm<B>,
    /// Queries, keys and values, in this order along the channels.
    qkv: Convolution<B>,
    output: Convolution<B>,
}

impl<B: Backend> AttentionBlock<B> {
    /// A block over `channels`, normalised in `groups` groups.
    pub fn init(groups: usize, channels: usize, device: &B::Device) -> Self {
        Self {
            norm: norm(groups, channels, device),
            qkv: same_convolution(channels, 3 * channels, 1, device),
            output: same_convolution(channels, channels, 1, device),
        }
    }
}

impl<B: HartBackend> AttentionBlock<B> {
    /// `[batch, channels, height, width]` to the same shape.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [batch, channels, height, width] = x.dims();
        let qkv = self.qkv.forward(group_norm(&self.norm, x.clone(), false));
        let qkv = swap_neighbours(qkv.reshape([batch, 3, channels, height * width]), 2);
        let part = |i| qkv.clone().narrow(1, i, 1);
        let scale = (channels as f64).powf(-0.5);
        let attended = B::attend(part(0), part(1), part(2), None, scale);
        let attended = swap_neighbours(attended, 2).reshape([batch, channels, height, width]);
        x + self.output.forward(attended)
    }
}

impl<B: HartBackend> Prepare for ResidualBlock<B> {
    fn prepare(&mut self, precision: Precision) {
        self.convolution_1.prepare(precision);
        self.convolution_2.prepare(precision);
        self.shortcut.prepare(precision);
    }
}

impl<B: HartBackend> Prepare for AttentionBlock<B> {
    fn prepare(&mut self, precision: Precision) {
        self.qkv.prepare(precision);
        self.output.prepare(precision);
    }
}

impl<B: HartBackend> Prepare for Middle<B> {
    fn prepare(&mut self, precision: Precision) {
        self.block_1.prepare(precision);
        self.attention.prepare(precision);
        self.block_2.prepare(precision);
    }
}

/// The blocks of one level, each followed by its attention where the level has any.
pub(crate) fn run_blocks<B: HartBackend>(
    blocks: &[ResidualBlock<B>],
    attentions: &[AttentionBlock<B>],
    mut x: Tensor<B, 4>,
) -> Tensor<B, 4> {
    for (i, block) in blocks.iter().enumerate() {
        x = block.forward(x);
        if let Some(attention) = attentions.get(i) {
            x = attention.forward(x);
        }
    }
    x
}

/// Residual block, attention, residual block: the middle of encoder and decoder.
#[derive(Module, Debug)]
pub struct Middle<B: Backend> {
    block_1: ResidualBlock<B>,
    attention: AttentionBlock<B>,
    block_2: ResidualBlock<B>,
}

impl<B: Backend> Middle<B> {
    /// A middle over `channels`, normalised in `groups` groups.
    pub fn init(groups: usize, channels: usize, device: &B::Device) -> Self {
        Self {
            block_1: ResidualBlock::init(groups, channels, channels, device),
            attention: AttentionBlock::init(groups, channels, device),
            block_2: ResidualBlock::init(groups, channels, channels, device),
        }
    }
}

impl<B: HartBackend> Middle<B> {
    /// `[batch, channels, height, width]` to the same shape; `look` sees the result of each part.
    pub(crate) fn forward(
        &self,
        x: Tensor<B, 4>,
        look: &mut dyn FnMut(&str, &Tensor<B, 4>),
    ) -> Tensor<B, 4> {
        let x = self.block_1.forward(x);
        look("middle.block_1", &x);
        let x = self.attention.forward(x);
        look("middle.attention", &x);
        let x = self.block_2.forward(x);
        look("middle.block_2", &x);
        x
    }
}
