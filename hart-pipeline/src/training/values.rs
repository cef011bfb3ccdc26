//! Between values of the host and tensors.

use burn::tensor::{Tensor, TensorData, backend::Backend};

/// Values as a tensor of a shape.
pub(super) fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// The value of a tensor with one element.
pub(super) trait ScalarF64 {
    /// As a double.
    fn into_scalar_f64(self) -> f64;
}

impl<B: Backend> ScalarF64 for Tensor<B, 1> {
    fn into_scalar_f64(self) -> f64 {
        self.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
    }
}
