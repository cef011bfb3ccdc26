//! Rotary position embedding of context and visual tokens.
//!
//! Angles are computed on the host in the reference's order of operations and single precision, so
//! that they are the same on every backend.

use burn::tensor::{Tensor, TensorData, backend::Backend};

/// The base of the rotary frequencies.
const BASE: f64 = 10_000.0;

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
            let values: Vec<f32> = angles.iter().map(|&angle| f(angle)).collect();
            Tensor::from_data(TensorData::new(values, [batch, 1, tokens, width]), device)
        };
        Self { cos: tensor(f32::cos), sin: tensor(f32::sin) }
    }
}

/// The angles of one-dimensional positions, `[positions, head width]` row by row: frequencies
/// `base^(-2i/d)`, i < d/2, the d/2 angles repeated twice (section 4.2).
pub fn context_angles(positions: &[i64], head_width: usize, base: f64) -> Vec<f32> {
    let frequencies = frequencies(head_width / 2, base);
    let angles = |position: &i64| {
        let angle = *position as f32;
        let half: Vec<f32> = frequencies.iter().map(|frequency| angle * frequency).collect();
        [half.clone(), half].concat()
    };
    positions.iter().flat_map(angles).collect()
}

/// The angles of the visual tokens of one scale, `[tokens, head width]` row by row, for the tokens
/// at `positions` (row-major indices in the scale): for each coordinate d/4 frequencies
/// `base^(-4i/d)`, their angles repeated twice, the block of the row before that of the column.
///
/// Since the rotation pairs entry i with entry i + d/2, it mixes row and column angles and is no
/// orthogonal rotation; that is how the released weights were trained (section 4.2).
pub fn visual_angles(
    positions: &[usize],
    side: usize,
    latent_side: usize,
    offset: i64,
    head_width: usize,
) -> Vec<f32> {
    let frequencies = frequencies(head_width / 4, BASE);
    let coordinates = visual_positions(side, latent_side);
    let mut angles = Vec::with_capacity(positions.len() * head_width);
    for &position in positions {
        for cell in [position / side, position % side] {
            let coordinate = coordinates[cell] + offset as f32;
            for _ in 0..2 {
                angles.extend(frequencies.iter().map(|frequency| coordinate * frequency));
            }
        }
    }
    angles
}

/// The coordinate of every row (and column) of a scale of `side` cells, on the grid of the latent:
/// divided before multiplied, in single precision.
pub fn visual_positions(side: usize, latent_side: usize) -> Vec<f32> {
    (0..side).map(|cell| cell as f32 / side as f32 * latent_side as f32).collect()
}

/// `base^(-i/count)` for i < count.
fn frequencies(count: usize, base: f64) -> Vec<f32> {
    let exponent = |i: usize| i as f32 / count as f32;
    (0..count).map(|i| 1.0 / (base as f32).powf(exponent(i))).collect()
}
