//! From the scores of attention to weights: one cube a row, in place.

use burn::tensor::Shape;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::CubeOperation;
use super::arguments::{Team, address_type, cubes, in_rows};
use super::reduce::{cube_max, cube_sum, vector_max, vector_sum};

/// The softmax of scores `[batch, heads, queries, keys]` over the keys.
#[derive(Clone, Copy, Debug)]
pub struct Softmax {
    /// Added to the scores of the first key.
    pub first: f32,
}

impl CubeOperation for Softmax {
    const NAME: &'static str = "hart_softmax";

    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [scores] = inputs.try_into().expect("scores");
        let scores = in_rows(scores);
        let alone = scores.can_mut() && scores.is_nonoverlapping();
        let scores = if alone { scores } else { scores.copy() };
        let [batch, heads, queries, keys] = scores.meta.shape.dims();
        let vector = vector_size(&scores);
        let team = Team::new(&scores, keys.div_ceil(vector));
        // Cubes beyond the last row are ended, and what follows a row in its last vector is known to be
        // padding.
        unsafe {
            softmax::launch_unchecked(
                &scores.client,
                cubes(batch * heads * queries),
                team.dim(),
                address_type(&[&scores]),
                vector,
                scores.clone().into_tensor_arg(),
                self.first,
                team,
                scores.dtype.into(),
            );
        }
        vec![scores]
    }
}

/// How many scores are read at once. Rows that do not divide may be followed by padding, as those of a
/// matrix product are on some devices: it is read, and written, as well.
fn vector_size<R: CubeRuntime>(scores: &CubeTensor<R>) -> usize {
    let (shape, strides) = (&scores.meta.shape, &scores.meta.strides);
    let last: usize = (0..3).map(|axis| (shape[axis] - 1) * strides[axis]).sum();
    let room = scores.handle.size_in_used() as usize / scores.dtype.size();
    let fits = |size: usize| {
        let padded = shape[3].next_multiple_of(size);
        let aligned = (0..3).all(|axis| strides[axis].is_multiple_of(size));
        let apart = padded == shape[3] || (0..3).all(|axis| strides[axis] >= padded);
        aligned && apart && last + padded <= room
    };
    let mut sizes = scores.client.io_optimized_vector_sizes(scores.dtype.size());
    sizes.find(|&size| fits(size)).unwrap_or(1)
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn softmax<F: Float, N: Size>(
    scores: &mut Tensor<Vector<F, N>>,
    first: f32,
    #[comptime] team: Team,
    #[define(F)] _type: StorageType,
) {
    let (heads, queries) = (scores.shape(1), scores.shape(2));
    let (outer, query) = (CUBE_POS / queries, CUBE_POS % queries);
    let (item, head) = (outer / heads, outer % heads);
    if item >= scores.shape(0) {
        terminate!();
    }
    let at = item * scores.stride(0) + head * scores.stride(1) + query * scores.stride(2);
    let start = at / N::value();
    let keys = scores.shape(3);
    let vectors = keys.div_ceil(N::value());
    let step = comptime!(team.units as usize);

    let mut largest = Vector::<f32, N>::new(f32::min_value());
    let mut i = UNIT_POS as usize;
    while i < vectors {
        largest = max(largest, score::<F, N>(scores, start, i, first));
        i += step;
    }
    let largest = Vector::<f32, N>::new(cube_max(vector_max::<N>(largest), team));

    let mut powers = Vector::<f32, N>::new(0.0);
    let mut i = UNIT_POS as usize;
    while i < vectors {
        powers += Vector::exp(score::<F, N>(scores, start, i, first) - largest);
        i += step;
    }
    let total = cube_sum(vector_sum::<N>(powers), team);
    let factor = Vector::<f32, N>::new(f32::new(1.0_f32) / total);

    let mut i = UNIT_POS as usize;
    while i < vectors {
        let power = Vector::exp(score::<F, N>(scores, start, i, first) - largest);
        scores[start + i] = Vector::cast_from(power * factor);
        i += step;
    }
}

/// Scores in 32 bits, the lowest there are where a row has ended.
#[cube]
fn score<F: Float, N: Size>(
    scores: &Tensor<Vector<F, N>>,
    start: usize,
    i: usize,
    first: f32,
) -> Vector<f32, N> {
    let mut score = Vector::<f32, N>::cast_from(scores[start + i]);
    if i == 0 {
        score[0] += first;
    }
    let keys = scores.shape(3);
    if (i + 1) * N::value() > keys {
        #[unroll]
        for lane in 0..N::value() {
            if i * N::value() + lane >= keys {
                score[lane] = f32::min_value();
            }
        }
    }
    score
}
