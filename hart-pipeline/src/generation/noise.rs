//! Noise of the residual diffusion, drawn by the address of every token.

use burn::tensor::{DType, Float, Tensor, TensorData, backend::Backend};
use hart_core::random::Draws;
use hart_core::transfer::upload;
use rayon::prelude::*;

/// The noise of one pass, `[images, N, channels]` each for the N tokens of each image.
///
/// That of all steps goes to the device at once: an upload between two steps would wait for the first
/// of them.
pub(crate) struct ResidualNoise<'a, B: Backend> {
    draws: &'a dyn Draws,
    /// For each image the row-major positions of its tokens.
    positions: &'a [Vec<usize>],
    channels: usize,
    device: B::Device,
    /// The start, and behind it the first steps, `[1 + steps, images, N, channels]`.
    drawn: Tensor<B, 4>,
}

impl<'a, B: Backend> ResidualNoise<'a, B> {
    /// Draws the start and the first `steps` steps.
    pub(crate) fn new(
        draws: &'a dyn Draws,
        positions: &'a [Vec<usize>],
        channels: usize,
        steps: usize,
        device: &B::Device,
    ) -> Self {
        let drawn = draw(draws, positions, channels, 0..steps + 1);
        let drawn = upload(drawn, (device, DType::F32));
        Self { draws, positions, channels, device: device.clone(), drawn }
    }

    /// What sampling starts from.
    pub(crate) fn start(&self) -> Tensor<B, 3> {
        self.drawn.clone().narrow(0, 0, 1).squeeze_dim(0)
    }

    /// That of a step by its index in sampling order.
    pub(crate) fn step(&self, step: usize) -> Tensor<B, 3> {
        let row = step + 1;
        if row < self.drawn.dims()[0] {
            return self.drawn.clone().narrow(0, row, 1).squeeze_dim(0);
        }
        // An experiment with steps of its own.
        let drawn = draw(self.draws, self.positions, self.channels, row..row + 1);
        upload::<B, 4, Float>(drawn, (&self.device, DType::F32)).squeeze_dim(0)
    }
}

/// `[rows, images, N, channels]`: row 0 is the start, row i the step i - 1.
fn draw(
    draws: &dyn Draws,
    positions: &[Vec<usize>],
    channels: usize,
    rows: std::ops::Range<usize>,
) -> TensorData {
    let (images, tokens) = (positions.len(), positions[0].len());
    let addresses = positions.iter().enumerate();
    let addresses: Vec<(usize, usize)> =
        addresses.flat_map(|(image, cells)| cells.iter().map(move |&p| (image, p))).collect();
    let shape = [rows.len(), images, tokens, channels];
    let mut values = vec![0.0; shape.iter().product()];
    values.par_chunks_exact_mut(channels).enumerate().for_each(|(place, noise)| {
        let (image, position) = addresses[place % addresses.len()];
        match rows.start + place / addresses.len() {
            0 => draws.diffusion_start(image, position, noise),
            row => draws.diffusion_step(image, row - 1, position, noise),
        }
    });
    TensorData::new(values, shape)
}
