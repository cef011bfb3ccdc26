//! A linear layer.

use burn::module::{Module, Param};
use burn::nn::{self, LinearConfig};
use burn::tensor::{Tensor, backend::Backend};

use super::{Prepare, Weight};
use crate::{HartBackend, Precision, Result};

/// `x · weight + bias`, as trained or in the form that the backend multiplies fastest.
#[derive(Module, Debug)]
pub struct Linear<B: Backend> {
    /// `[in, out]`; prepared weights have taken up the bias.
    weight: Weight<B, 2>,
    /// `[out]`
    bias: Option<Param<Tensor<B, 1>>>,
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
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when the layer is prepared.
    pub fn weight(&self) -> Result<Tensor<B, 2>> {
        self.weight.values()
    }

    /// The same layer with other weights `[in, out]`.
    ///
    /// # Errors
    /// [`Error::Invalid`](crate::Error::Invalid) when the layer is prepared.
    pub fn map_weight(self, f: impl FnOnce(Tensor<B, 2>) -> Tensor<B, 2>) -> Result<Self> {
        Ok(Self { weight: self.weight.map_values(f)?, ..self })
    }

    fn bias(&self) -> Option<Tensor<B, 1>> {
        self.bias.as_ref().map(Param::val)
    }
}

impl<B: Backend> From<nn::Linear<B>> for Linear<B> {
    fn from(layer: nn::Linear<B>) -> Self {
        Self { weight: Weight::Plain(layer.weight), bias: layer.bias }
    }
}

impl<B: HartBackend> Linear<B> {
    /// `[…, in]` to `[…, out]`; the input takes the type the weights are stored in.
    pub fn forward<const D: usize>(&self, x: Tensor<B, D>) -> Tensor<B, D> {
        match &self.weight {
            Weight::Prepared(prepared) => B::prepared_linear(prepared, x),
            Weight::Plain(weight) => {
                let weight = weight.val();
                B::affine(x.cast(weight.dtype()), weight, self.bias())
            }
        }
    }
}

impl<B: HartBackend> Prepare for Linear<B> {
    fn prepare(&mut self, precision: Precision) {
        let bias = self.bias();
        self.weight.prepare(|weight| B::prepare_linear(weight, bias, precision));
    }
}
