//! Noise of the residual diffusion, drawn by the address of every token.

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use rayon::prelude::*;

/// `[images, N, channels]` for the N tokens of each image, whose row-major positions are given; `draw`
/// fills the values of one (its image, its position).
pub(crate) fn noise<B: Backend>(
    positions: &[Vec<usize>],
    channels: usize,
    draw: impl Fn(usize, usize, &mut [f32]) + Sync,
    device: &B::Device,
) -> Tensor<B, 3> {
    let (images, tokens) = (positions.len(), positions[0].len());
    let addresses = positions.iter().enumerate();
    let addresses: Vec<(usize, usize)> =
        addresses.flat_map(|(image, cells)| cells.iter().map(move |&p| (image, p))).collect();
    let mut values = vec![0.0; images * tokens * channels];
    let rows = values.par_chunks_exact_mut(channels).zip(addresses);
    rows.for_each(|(noise, (image, position))| draw(image, position, noise));
    let values = TensorData::new(values, [images, tokens, channels]);
    Tensor::from_data(values, (device, DType::F32))
}
