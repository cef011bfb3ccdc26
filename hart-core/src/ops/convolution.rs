//! Two-dimensional convolution in burn's operations, and its backward pass.

use burn::tensor::ops::ConvOptions;
use burn::tensor::{Tensor, TensorPrimitive, backend::Backend, module};

/// Rows and columns of zeros on all four sides, and the step.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ConvolutionOptions {
    /// Zeros above and below, left and right.
    pub padding: [usize; 2],
    /// The step along both axes.
    pub stride: [usize; 2],
}

impl ConvolutionOptions {
    fn burn(&self) -> ConvOptions<2> {
        ConvOptions::new(self.stride, self.padding, [1, 1], 1)
    }
}

/// The plain form of [`super::HartBackend::convolution`].
pub(super) fn forward<B: Backend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Tensor<B, 1>,
    options: &ConvolutionOptions,
) -> Tensor<B, 4> {
    module::conv2d(x, weight, Some(bias), options.burn())
}

/// The backward pass of [`forward`]: gradients by input, weight and bias.
pub(super) fn pull_back<B: Backend>(
    gradient: Tensor<B, 4>,
    x: Tensor<B, 4>,
    weight: Tensor<B, 4>,
    bias: Tensor<B, 1>,
    options: &ConvolutionOptions,
) -> (Tensor<B, 4>, Tensor<B, 4>, Tensor<B, 1>) {
    let wrap = |primitive| TensorPrimitive::Float(primitive);
    let (x, weight) = (x.into_primitive().tensor(), weight.into_primitive().tensor());
    let gradient = gradient.into_primitive().tensor();
    let by_x = B::conv2d_x_backward(x.clone(), weight.clone(), gradient.clone(), options.burn());
    let by_weight = B::conv2d_weight_backward(x.clone(), weight, gradient.clone(), options.burn());
    let by_bias = B::conv2d_bias_backward(x, bias.into_primitive().tensor(), gradient);
    (
        Tensor::from_primitive(wrap(by_x)),
        Tensor::from_primitive(wrap(by_weight)),
        Tensor::from_primitive(wrap(by_bias)),
    )
}
