//! The rotation of queries and keys.

use burn::tensor::{Tensor, TensorData, backend::Backend};
use rayon::prelude::*;

use crate::Grid;
use crate::transfer::upload;

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
            upload(TensorData::new(values, [batch, 1, tokens, width]), device)
        };
        Self { cos: tensor(f32::cos), sin: tensor(f32::sin) }
    }

    /// Of every cell of a map, from the angles of its rows and of its columns, `[batch, rows or columns,
    /// head width / 2]` each in row-major order: the same values as of [`Self::new`], put together on
    /// the device.
    pub fn of_map(
        [rows, columns]: [&[f32]; 2],
        batch: usize,
        grid: Grid,
        device: &B::Device,
    ) -> Self {
        let half = rows.len() / (batch * grid.rows).max(1);
        let part = |angles: &[f32], shape: [usize; 4], f: fn(f32) -> f32| {
            let values: Vec<f32> = angles.iter().map(|&angle| f(angle)).collect();
            let part: Tensor<B, 4> = upload(TensorData::new(values, shape), device);
            part.expand([batch, grid.rows, grid.columns, half])
        };
        let tensor = |f| {
            let down = part(rows, [batch, grid.rows, 1, half], f);
            let along = part(columns, [batch, 1, grid.columns, half], f);
            Tensor::cat(vec![down, along], 3).reshape([batch, 1, grid.cells(), 2 * half])
        };
        Self { cos: tensor(f32::cos), sin: tensor(f32::sin) }
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;

    use super::Angles;
    use crate::Grid;

    #[test]
    fn those_of_a_map_are_those_of_its_rows_and_columns() {
        let (grid, device) = (Grid::new(2, 3), Default::default());
        let rows: Vec<f32> = (0..8).map(|i| i as f32 * 0.3).collect();
        let columns: Vec<f32> = (0..12).map(|i| 5.0 - i as f32 * 0.7).collect();
        let mut each = vec![];
        for image in 0..2 {
            for cell in 0..grid.cells() {
                let [row, column] = grid.place(cell);
                each.extend_from_slice(&rows[(image * 2 + row) * 2..][..2]);
                each.extend_from_slice(&columns[(image * 3 + column) * 2..][..2]);
            }
        }
        let expected = Angles::<Flex>::new(&each, [2, 6, 4], &device);
        let found = Angles::<Flex>::of_map([&rows, &columns], 2, grid, &device);
        assert_eq!(found.cos.to_data(), expected.cos.to_data());
        assert_eq!(found.sin.to_data(), expected.sin.to_data());
    }
}
