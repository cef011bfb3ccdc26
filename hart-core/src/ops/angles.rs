//! The rotation of queries and keys.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rayon::prelude::*;

/// Cosines and sines of the rotation, each `[batch, 1, tokens, head width]`, or with batch 1 when
/// all rows rotate alike.
#[derive(Debug, Clone)]
pub struct Angles<B: Backend> {
    /// Cosines.
    pub cos: Tensor<B, 4>,
    /// Sines.
    pub sin: Tensor<B, 4>,
}

impl<B: Backend> Angles<B> {
    /// From angles in row-major order, `[batch, tokens, head width]`.
    pub fn new(angles: &[f32], [batch, tokens, width]: [usize; 3], device: &B::Device) -> Self {
        let tensor = |f: fn(f32) -> f32| {
            let values: Vec<f32> = angles.par_iter().map(|&angle| f(angle)).collect();
            Tensor::from_data(TensorData::new(values, [batch, 1, tokens, width]), device)
        };
        Self { cos: tensor(f32::cos), sin: tensor(f32::sin) }
    }
}
