//! A linear layer.

use burn::module::{Module, Param};
use burn::nn::{self, LinearConfig};
use burn::tensor::{Tensor, backend::Backend};

use super::Prepare;
use crate::ops::Prepared;
use crate::{HartBackend, Precision};

/// `x · weight + bias`, as trained or in the form that the backend multiplies fastest.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[in, out]`; given up when the layer is prepared.
    weight: Option<Param<Tensor<B, 2>>>,
    /// `[out]`.
    bias: Option<Param<Tensor<B, 1>>>,
    #[module(skip)]
    prepared: Option<Prepared>,
}

impl<B: Backend> Linear<B> {
    /// A layer from `input` to `output` entries with a bias, initialised by burn's default.
    pub fn init(input: usize, output: usize, device: &B::Device) -> Self {
        LinearConfig::new(input, output).init(device).into()
    }

    /// The same without a bias.
    pub fn without_bias(input: usize, output: usize, device: &B::Device) -> Self {
        LinearConfig::new(input, output).with_bias(false).init(device).into()
    }

    /// The weights `[in, out]`.
    ///
    /// # Panics
    /// When the layer is prepared.
    pub fn weight(&self) -> Tensor<B, 2> {
        self.weight.as_ref().expect("a layer has weights until it is prepared").val()
    }

    /// The same layer with other weights `[in, out]`; a prepared one stays as it is.
    pub fn map_weight(mut self, f: impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>) -> Self {
        self.weight = self.weight.map(|weight| weight.map(f));
        self
    }
}

impl<B: Backend> From<nn::Linear<B>> for Linear<B> {
    fn from(layer: nn::Linear<B>) -> Self {
        Self { weight: Some(layer.weight), bias: layer.bias, prepared: None }
    }
}

impl<B: HartBackend> Linear<B> {
    /// `[…, in]` to `[…, out]`; the input takes the type the weights are stored in.
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        if let Some(prepared) = &self.prepared {
            return B::prepared_linear(prepared, x);
        }
        let weight = self.weight();
        let x = x.cast(weight.dtype());
        B::affine(x, weight, self.bias.as_ref().map(|bias| bias.val()))
    }
}

impl<B: HartBackend> Prepare for Linear<B> {
    fn prepare(&mut self, precision: Precision) {
        let Some(weight) = &self.weight else { return };
        let bias = self.bias.as_ref().map(|bias| bias.val());
        self.prepared = B::prepare_linear(weight.val(), bias, precision);
        if self.prepared.is_some() {
            (self.weight, self.bias) = (None, None);
        }
    }
}
