//! The adversary of the tokenizer in training: a PatchGAN that separates reconstructions from images
//! patch by patch (section 6).

use std::collections::BTreeMap;

use burn::module::Module;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::nn::{BatchNorm, BatchNormConfig, PaddingConfig2d};
use burn::tensor::activation::{leaky_relu, relu};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use hart_core::checkpoint::tensors;
use hart_core::initialize::{Start, initialize};
use hart_core::nn::Convolution;
use hart_core::{HartBackend, Result};

use crate::loss::Reconstruction;
use crate::names::DISCRIMINATOR_NAMES;

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

    /// The same discriminator with fresh weights that follow from a seed.
    ///
    /// # Errors
    /// None that a discriminator can have: its layers are never prepared.
    pub fn initialize(self, seed: u64) -> Result<Self> {
        initialize(self, seed, &|path, shape| match shape.len() {
            4 => Start::Normal(0.02),
            _ if path.ends_with("norm.gamma") => Start::Constant(1.0),
            _ if path.ends_with("bias") || path.ends_with("beta") => Start::Constant(0.0),
            _ => Start::AsMade,
        })
    }

    /// All weights by their names in the released layout.
    ///
    /// # Errors
    /// None that a discriminator can have: its layers are never prepared.
    pub fn tensors(&self) -> Result<BTreeMap<String, TensorData>> {
        tensors(self, &DISCRIMINATOR_NAMES)
    }

    /// Images `[batch, 3, h, w]` in [-1, 1], at least 24 pixels a side, to logits `[batch, 1, h /
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

/// The adversarial loss's pull on reconstructions, balanced against the error's.
#[derive(Debug, Clone)]
pub struct AdversarialPull<B: Backend> {
    /// The loss from the logits of the reconstructions, `[1]`.
    pub loss: Tensor<B, 1>,
    /// Its gradient by the reconstructions, `[batch, 3, h, w]`, times the weight.
    pub gradient: Tensor<B, 4>,
    /// The weight that gives it as much pull on the decoder's last layer as the error has: the
    /// ratio of the lengths of both gradients there, at most 10,000.
    pub weight: f64,
}

impl<B: AutodiffBackend + HartBackend> AdversarialPull<B> {
    /// Of a discriminator on `reconstruction`, which `last_layer` made of its features, when
    /// `images` were wanted. It is computed on the device of `last_layer` and the discriminator,
    /// wherever the others are.
    ///
    /// Only the last layer is differentiated for the weight; the pull is handed on as a gradient by
    /// the images, so that one pass back through the tokenizer serves both losses: add
    /// [`Self::term`] to the others.
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) when `last_layer` is prepared.
    pub fn of(
        discriminator: &PatchDiscriminator<B>,
        last_layer: &Convolution<B>,
        reconstruction: &Reconstruction<B>,
        images: Tensor<B, 4>,
    ) -> Result<Self> {
        let last_weight = last_layer.weight()?;
        let device = last_weight.device();
        let here = |x: &Tensor<B, 4>| x.clone().detach().to_device(&device);
        let images = here(&images);
        let leaf = here(&reconstruction.images).require_grad();
        let loss = adversarial_loss(discriminator.forward(leaf.clone()));
        let grads = loss.backward();
        let gradient = leaf.grad(&grads).map_or_else(|| leaf.zeros_like(), Tensor::from_inner);
        let features = here(&reconstruction.features);
        let length = |loss: &dyn Fn(Tensor<B, 4>) -> Tensor<B, 1>| {
            let grads = loss(last_layer.forward(features.clone())).backward();
            last_weight.grad(&grads).map_or(0.0, length)
        };
        let error = length(&|found| (found - images.clone()).square().mean());
        let pull = length(&|found| (found * gradient.clone()).sum());
        let weight = (error / (pull + 1e-4)).clamp(0.0, MAX_WEIGHT);
        Ok(Self { loss: loss.detach(), gradient: gradient * weight, weight })
    }

    /// What is added to the tokenizer's loss: its gradient is the weighted adversarial one, its
    /// value means nothing.
    pub fn term(&self, reconstruction: &Reconstruction<B>) -> Tensor<B, 1> {
        let device = reconstruction.images.device();
        (reconstruction.images.clone() * self.gradient.clone().to_device(&device)).sum()
    }
}

/// The Euclidean length of a tensor.
fn length<B: Backend>(tensor: Tensor<B, 4>) -> f64 {
    tensor.square().sum().sqrt().into_data().iter::<f64>().next().unwrap_or(f64::NAN)
}
