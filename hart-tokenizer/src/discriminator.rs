//! The adversary of the tokenizer in training: a PatchGAN that tells reconstructions from images
//! patch by patch (section 6).

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::{Tensor, backend::Backend};

/// Stages after the first that double the channels.
const STAGES: usize = 3;
/// The most that channels are multiplied by.
const WIDEST: usize = 8;
/// Slope of the leaky rectifier below zero.
const SLOPE: f64 = 0.2;
/// The largest adaptive weight.
const MAX_WEIGHT: f64 = 1e4;

/// Convolutions with 4×4 kernels; every logit judges one patch of the image.
#[derive(Module, Debug)]
pub struct PatchDiscriminator<B: Backend> {
    input: Conv2d<B>,
    stages: Vec<Stage<B>>,
    output: Conv2d<B>,
}

/// Convolution, batch norm, leaky rectifier.
#[derive(Module, Debug)]
pub struct Stage<B: Backend> {
    convolution: Conv2d<B>,
    norm: BatchNorm<B>,
}

impl<B: Backend> PatchDiscriminator<B> {
    /// A discriminator with `channels` after its first convolution (64 in the release), with fresh
    /// weights: convolutions normal with deviation 0.02.
    pub fn init(channels: usize, device: &B::Device) -> Self {
        let convolution = |input, output, stride, bias| {
            Conv2dConfig::new([input, output], [4, 4])
                .with_stride([stride, stride])
                .with_padding(PaddingConfig2d::Explicit(1, 1, 1, 1))
                .with_bias(bias)
                .with_initializer(burn::nn::Initializer::Normal { mean: 0.0, std: 0.02 })
                .init(device)
        };
        let width = |stage: usize| channels * (1 << stage).min(WIDEST);
        let stage = |i: usize| Stage {
            // All but the last halve the image.
            convolution: convolution(width(i - 1), width(i), if i < STAGES { 2 } else { 1 }, false),
            norm: BatchNormConfig::new(width(i)).init(device),
        };
        Self {
            input: convolution(3, channels, 2, true),
            stages: (1..=STAGES).map(stage).collect(),
            output: convolution(width(STAGES), 1, 1, true),
        }
    }

    /// Images `[batch, 3, h, w]` in [-1, 1], at least 32 pixels a side, to logits `[batch, 1, h /
    /// 8 - 2, w / 8 - 2]`: the larger, the more real.
    pub fn forward(&self, images: Tensor<B, 4>) -> Tensor<B, 4> {
        let mut x = leaky_relu(self.input.forward(images), SLOPE);
        for stage in &self.stages {
            x = leaky_relu(stage.norm.forward(stage.convolution.forward(x)), SLOPE);
        }
        self.output.forward(x)
    }
}

/// The discriminator's hinge loss from its logits, `[1]`.
pub fn hinge_loss<B: Backend>(real: Tensor<B, 4>, reconstructed: Tensor<B, 4>) -> Tensor<B, 1> {
    (relu(-real + 1.0).mean() + relu(reconstructed + 1.0).mean()) * 0.5
}

/// The tokenizer's adversarial loss from the logits of its reconstructions, `[1]`.
pub fn adversarial_loss<B: Backend>(reconstructed: Tensor<B, 4>) -> Tensor<B, 1> {
    -reconstructed.mean()
}

/// The weight that gives the adversarial loss as much pull on the decoder's last layer as the
/// reconstruction has: the ratio of the lengths of both gradients there, at most 10,000.
pub fn adaptive_weight<B: Backend>(
    reconstruction_gradient: Tensor<B, 4>,
    adversarial_gradient: Tensor<B, 4>,
) -> f64 {
    let length = |gradient: Tensor<B, 4>| -> f64 {
        let values = gradient.to_data();
        values.iter::<f64>().map(|value| value * value).sum::<f64>().sqrt()
    };
    let ratio = length(reconstruction_gradient) / (length(adversarial_gradient) + 1e-4);
    ratio.clamp(0.0, MAX_WEIGHT)
}
