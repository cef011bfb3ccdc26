//! A convolution.

use burn::module::{Module, Param};
use burn::nn::PaddingConfig2d;
use burn::nn::conv::{Conv2d, Conv2dConfig};
use burn::tensor::ops::PadMode;
use burn::tensor::{Tensor, backend::Backend};

use super::Prepare;
use crate::ops::{ConvolutionOptions, Prepared};
use crate::{HartBackend, Precision};

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
    /// `[out, in, kernel, kernel]`; given up when the layer is prepared.
    weight: Option<Param<Tensor<B, 4>>>,
    /// `[out]`; given up as well.
    bias: Option<Param<Tensor<B, 1>>>,
    #[module(skip)]
    prepared: Option<Prepared>,
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
        let (weight, bias) = (Some(layer.weight), layer.bias);
        Convolution { weight, bias, prepared: None, config: *self }
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
    /// # Panics
    /// When the layer is prepared.
    pub fn weight(&self) -> Tensor<B, 4> {
        self.weight.as_ref().expect("a layer has weights until it is prepared").val()
    }

    /// The bias `[out]`.
    ///
    /// # Panics
    /// When the layer is prepared.
    pub fn bias(&self) -> Tensor<B, 1> {
        self.bias.as_ref().expect("a layer has a bias until it is prepared").val()
    }
}

impl<B: Backend> Convolution<B> {
    /// The same layer with weights and bias times a factor each; a prepared one stays as it is.
    pub fn scale(mut self, weight: f64, bias: f64) -> Self {
        self.weight = self.weight.map(|values| values.map(|values| values * weight));
        self.bias = self.bias.map(|values| values.map(|values| values * bias));
        self
    }
}

impl<B: HartBackend> Convolution<B> {
    /// `[batch, in, height, width]` to `[batch, out, …]`; the input takes the type the weights are
    /// stored in.
    pub fn forward(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let options = self.config.options();
        let [top, left, bottom, right] = self.config.padding;
        let pad = |x: Tensor<B, 4>| match [top, left] == [bottom, right] {
            true => x,
            false => x.pad((left, right, top, bottom), PadMode::Constant(0.0)),
        };
        if let Some(prepared) = &self.prepared {
            return B::prepared_convolution(prepared, pad(x));
        }
        let weight = self.weight();
        let x = pad(x.cast(weight.dtype()));
        B::convolution(x, weight, self.bias(), &options)
    }
}

impl<B: HartBackend> Prepare for Convolution<B> {
    fn prepare(&mut self, precision: Precision) {
        if self.weight.is_none() {
            return;
        }
        let options = self.config.options();
        self.prepared = B::prepare_convolution(self.weight(), self.bias(), &options, precision);
        if self.prepared.is_some() {
            (self.weight, self.bias) = (None, None);
        }
    }
}
