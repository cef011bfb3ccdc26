//! Small operations on tensors that several parts share; no backend needs another form of them.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};

use crate::transfer::upload;

/// Swaps the axes `axis` and `axis + 1`.
///
/// Where one of them has a single entry no element moves, and a reshape says the same. It is also
/// what keeps the GPU backends right: burn-cubecl 0.21 reads a reshaped view wrongly when an axis
/// of one entry was swapped.
pub fn swap_neighbours<B: Backend, const D: usize>(x: Tensor<B, D>, axis: usize) -> Tensor<B, D> {
    let mut shape = x.dims();
    if shape[axis] != 1 && shape[axis + 1] != 1 {
        return x.swap_dims(axis, axis + 1);
    }
    shape.swap(axis, axis + 1);
    x.reshape(shape)
}

/// [`swap_neighbours`] into memory of its own, for tensors that are used again afterwards
/// (where an axis has a single entry it stays a view, one that every backend keeps count of).
///
/// burn-tch 0.21 takes a swapped view for the only holder of the memory it shares, and later
/// operations on the view may then write over the tensor it was taken of.
pub fn swap_neighbours_apart<B: Backend, const D: usize>(
    x: Tensor<B, D>,
    axis: usize,
) -> Tensor<B, D> {
    let swapped = swap_neighbours(x, axis);
    let shape = swapped.dims();
    // No view has the elements of a swapped one in a row.
    swapped.reshape([shape.iter().product::<usize>()]).reshape(shape)
}

/// Whether the positions of every image are all `count` of them, in order.
pub fn are_all(positions: &[Vec<usize>], count: usize) -> bool {
    positions.iter().all(|cells| cells.iter().copied().eq(0..count))
}

/// The tokens of `[batch, count, channels]` at the `positions` of each image, in their order:
/// `[batch, picked, channels]`. Every image has the same number of positions, all below `count`;
/// nothing is moved where they [are all](are_all) of them.
///
/// The gradient reaches the tokens that were picked.
pub fn pick_rows<B: Backend>(tokens: Tensor<B, 3>, positions: &[Vec<usize>]) -> Tensor<B, 3> {
    let [batch, count, channels] = tokens.dims();
    if are_all(positions, count) {
        return tokens;
    }
    let rows = positions.iter().enumerate().flat_map(|(image, positions)| {
        positions.iter().map(move |position| (image * count + position) as i64)
    });
    let rows: Vec<i64> = rows.collect();
    let length = rows.len();
    let rows: Tensor<B, 1, Int> = upload(TensorData::new(rows, [length]), &tokens.device());
    let flat = tokens.reshape([batch * count, channels]);
    flat.select(0, rows).reshape([batch, length / batch, channels])
}

/// Vectors scaled to length 1 over the last axis; a zero vector stays zero.
pub fn unit_length<B: Backend, const D: usize>(x: Tensor<B, D>) -> Tensor<B, D> {
    let length = x.clone().square().sum_dim(D - 1).sqrt().clamp_min(1e-12);
    x / length
}

/// Softmax over the last axis in 32 bits.
pub fn softmax_f32<B: Backend, const D: usize>(scores: Tensor<B, D>) -> Tensor<B, D> {
    softmax(scores.cast(DType::F32), D - 1)
}
