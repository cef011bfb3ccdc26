//! Area and bicubic resizing as small fixed matrices.
//!
//! Both are linear and separable: resizing a map X is `A · X · Bᵀ` with a matrix for each axis that
//! depends on the two sizes alone. Weights are computed in double precision.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use hart_core::Grid;
use hart_core::transfer::upload;

/// A resizing from one grid to another: `[to, from]` weights for each axis, none where the grids
/// are the same.
#[derive(Debug, Clone)]
pub struct Resize<B: Backend> {
    weights: Option<[Tensor<B, 2>; 2]>,
    from: Grid,
    to: Grid,
}

impl<B: Backend> Resize<B> {
    /// Area averaging: cell i of the result is the mean of the source cells
    /// `floor(i·from/to) … ceil((i+1)·from/to) - 1` (adaptive average pooling, section 2.1).
    pub fn area(from: Grid, to: Grid, device: &B::Device) -> Self {
        Self::new(area_weights, from, to, device)
    }

    /// Bicubic interpolation with a = -0.75, half-pixel centres and a clamped border, as PyTorch
    /// computes it without antialiasing (section 2.1).
    pub fn bicubic(from: Grid, to: Grid, device: &B::Device) -> Self {
        Self::new(bicubic_weights, from, to, device)
    }

    fn new(
        weights: fn(usize, usize) -> Vec<f32>,
        from: Grid,
        to: Grid,
        device: &B::Device,
    ) -> Self {
        let matrix =
            |from: usize, to: usize| upload(TensorData::new(weights(from, to), [to, from]), device);
        let axes = || [matrix(from.rows, to.rows), matrix(from.columns, to.columns)];
        // Both resizings are the identity between equal grids.
        Self { weights: (from != to).then(axes), from, to }
    }

    /// Resizes `[batch, channels, rows, columns]` of one grid to the other, in 32 bits.
    pub fn apply(&self, map: Tensor<B, 4>) -> Tensor<B, 4> {
        let Some([rows, columns]) = &self.weights else {
            return map;
        };
        let [batch, channels, height, width] = map.dims();
        debug_assert_eq!([height, width], [self.from.rows, self.from.columns]);
        let planes = map.reshape([batch * channels, height, width]);
        let rows = rows.clone().unsqueeze::<3>();
        let columns = columns.clone().transpose().unsqueeze::<3>();
        let resized = rows.matmul(planes).matmul(columns);
        resized.reshape([batch, channels, self.to.rows, self.to.columns])
    }
}

/// The `[to, from]` weights of area averaging, row by row.
fn area_weights(from: usize, to: usize) -> Vec<f32> {
    let mut weights = vec![0.0; to * from];
    for (i, row) in weights.chunks_exact_mut(from).enumerate() {
        let (start, end) = (i * from / to, ((i + 1) * from).div_ceil(to));
        row[start..end].fill((1.0 / (end - start) as f64) as f32);
    }
    weights
}

/// The `[to, from]` weights of bicubic interpolation, row by row.
fn bicubic_weights(from: usize, to: usize) -> Vec<f32> {
    const A: f64 = -0.75;
    let near = |x: f64| ((A + 2.0) * x - (A + 3.0)) * x * x + 1.0;
    let far = |x: f64| ((A * x - 5.0 * A) * x + 8.0 * A) * x - 4.0 * A;
    let mut weights = vec![0.0f64; to * from];
    for (i, row) in weights.chunks_exact_mut(from).enumerate() {
        let centre = (i as f64 + 0.5) * from as f64 / to as f64 - 0.5;
        let left = centre.floor();
        let t = centre - left;
        let taps = [far(t + 1.0), near(t), near(1.0 - t), far(2.0 - t)];
        for (offset, tap) in taps.into_iter().enumerate() {
            let cell = (left as i64 + offset as i64 - 1).clamp(0, from as i64 - 1);
            row[cell as usize] += tap;
        }
    }
    weights.into_iter().map(|weight| weight as f32).collect()
}

#[cfg(test)]
mod tests {
    use super::{area_weights, bicubic_weights};

    #[test]
    fn every_row_of_weights_sums_to_one() {
        for (from, to) in [(64, 1), (64, 27), (8, 3), (1, 64), (3, 8), (48, 64), (5, 5)] {
            for weights in [area_weights(from, to), bicubic_weights(from, to)] {
                for row in weights.chunks_exact(from) {
                    let sum: f64 = row.iter().map(|&w| f64::from(w)).sum();
                    assert!((sum - 1.0).abs() < 1e-6, "{from} to {to}: {sum}");
                }
            }
        }
    }

    #[test]
    fn equal_sides_are_the_identity() {
        for weights in [area_weights(4, 4), bicubic_weights(4, 4)] {
            for (i, weight) in weights.into_iter().enumerate() {
                assert_eq!(weight, if i % 5 == 0 { 1.0 } else { 0.0 });
            }
        }
    }
}
