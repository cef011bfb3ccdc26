//! A convolution.

use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, backend::Backend};

use super::{Prepare, Weight};
use crate::ops::ConvolutionOptions;
use crate::{HartBackend, Precision, Result};

/// The shape of a [`Convolution`].
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionConfig {
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Side of the kernel.
    pub kernel: usize,
    /// Zeros above, left, below and right.
    pub padding: [usize; 4],
    /// The step along both axes.
    pub stride: usize,
}

/// A convolution with a bias, as trained or in the form that the backend computes fastest.
#[derive(Module, Debug)]
pub struct Convolution<B: Backend> {
    /// `[out, in, kernel, kernel]`; prepared weights have taken up the bias.
    weight: Weight<B, 4>,
    /// `[out]`
    bias: Param<Tensor<B, 1>>,
    #[module(skip)]
    config: ConvolutionConfig,
}

impl ConvolutionConfig {
    /// A convolution that keeps height and width; `kernel` is odd.
    pub fn same(input: usize, output: usize, kernel: usize) -> Self {
        Self { channels: [input, output], kernel, padding: [kernel / 2; 4], stride: 1 }
    }

    /// A layer initialised by burn's default.
    pub fn init<B: Backend>(&self, device: &B::Device) -> Convolution<B> {
        let layer: Conv2d<B> = Conv2dConfig::new(self.channels, [self.kernel; 2])
            .with_padding(PaddingConfig2d::Valid)
            .init(device);
        let bias = layer.bias.expect("burn's convolutions have a bias by default");
        Convolution { weight: Weight::Plain(layer.weight), bias, config: *self }
    }

    /// A layer with these weights `[out, in, kernel, kernel]` and this bias `[out]`.
    pub fn with<B: Backend>(&self, weight: Tensor<B, 4>, bias: Tensor<B, 1>) -> Convolution<B> {
        let weight = Weight::Plain(Param::from_tensor(weight));
        Convolution { weight, bias: Param::from_tensor(bias), config: *self }
    }

    /// What is left to the convolution when an uneven padding was added before.
    fn options(&self) -> ConvolutionOptions {
        let [top, left, bottom, right] = self.padding;
        let padding = if [top, left] == [bottom, right] { [top, left] } else { [0, 0] };
        ConvolutionOptions { padding, stride: [self.stride; 2] }
    }
}

impl<B: Backend> Convolution<B> {
    /// The weights `[out, in, kernel, kernel]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when the layer is prepared.
    pub fn weight(&self) -> Result<Tensor<B, 4>> {
        self.weight.values()
    }

    /// The bias `[out]`.
    pub fn bias(&self) -> Tensor<B, 1> {
        self.bias.val()
    }

    /// The same layer with weights and bias times a factor each.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when the layer is prepared.
    pub fn scale(self, weight: f64, bias: f64) -> Result<Self> {
        Ok(Self {
            weight: self.weight.map_values(|values| values * weight)?,
            bias: self.bias.map(|values| values * bias),
            config: self.config,
        })
    }
}

impl<B: HartBackend> Convolution<B> {
    /// `[batch, in, height, width]` to `[batch, out, …]`; the input takes the type the weights are
    /// stored in.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        match &self.weight {
            Weight::Prepared(prepared) => B::prepared_convolution(prepared, self.pad(x)),
            Weight::Plain(weight) => {
                let weight = weight.val();
                let x = self.pad(x.cast(weight.dtype()));
                B::convolution(x, weight, self.bias(), &self.config.options())
            }
        }
    }

    /// Adds an uneven padding, which the convolution itself has no option for.
    fn pad(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let [top, left, bottom, right] = self.config.padding;
        if [top, left] == [bottom, right] {
            return x;
        }
        x.pad((left, right, top, bottom), PadMode::Constant(0.0))
    }
}

impl<B: HartBackend> Prepare for Convolution<B> {
    fn prepare(&mut self, precision: Precision) {
        let (bias, options) = (self.bias(), self.config.options());
        self.weight.prepare(|weight| B::prepare_convolution(weight, bias, &options, precision));
    }
}
