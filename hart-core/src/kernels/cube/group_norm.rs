//! GroupNorm with its activation: statistics by several cubes a group, then all values.

use burn::tensor::{DType, Shape};
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::CubeOperation;
use super::arguments::{Team, address_type, cubes, in_rows, room, vector_size};
use super::reduce::{cube_sum, sigmoid, vector_sum};

/// The most cubes that take the statistics of one group: no more than the units of the smallest team,
/// which add them up.
const PARTS: usize = 32;

/// Vectors that a unit reads, where there are enough of them: of statistics, and of values.
const VECTORS_A_UNIT: [usize; 2] = [16, 4];

/// Inputs are maps `[batch, channels, height, width]`, and weight and bias `[channels]`.
#[derive(Clone, Copy, Debug)]
pub struct GroupNorm {
    /// Groups the channels are cut into.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f32,
    /// Whether SiLU follows.
    pub activate: bool,
}

impl CubeOperation for GroupNorm {
    const NAME: &'static str = "hart_group_norm";

    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let [x, weight, bias] = inputs.try_into().expect("three inputs");
        let (x, weight, bias) = (into_contiguous(x), in_rows(weight), in_rows(bias));
        let [batch, channels, height, width] = x.meta.shape.dims();
        let pixels = height * width;
        // A view of rows of pixels, so that vectors do not depend on the width of the maps.
        let (client, device, dtype) = (x.client.clone(), x.device.clone(), x.dtype);
        let rows = Shape::new([batch, channels, pixels]);
        let x = CubeTensor::new_contiguous(client.clone(), device, rows, x.handle, dtype);
        let out = room(&x, Shape::new([batch, channels, height, width]), dtype);
        let vector = vector_size(&[&x], pixels);
        let address = address_type(&[&x]);
        let parts = self.parts(channels / self.groups * pixels / vector);
        let statistics = room(&x, Shape::new([batch * self.groups, parts, 2]), DType::F32);
        let team = Team::new(&x, channels / self.groups * pixels / vector);
        // Both kernels end the cubes and loops that are beyond their maps.
        unsafe {
            take_statistics::launch_unchecked(
                &client,
                cubes(batch * self.groups * parts),
                team.dim(),
                address,
                vector,
                x.clone().into_tensor_arg(),
                statistics.clone().into_tensor_arg(),
                team,
                x.dtype.into(),
            );
            let piece = team.units as usize * VECTORS_A_UNIT[1];
            let pieces = (pixels / vector).div_ceil(piece);
            let types = [x.dtype, weight.dtype, bias.dtype].map(Into::into);
            normalize::launch_unchecked(
                &client,
                cubes(batch * channels * pieces),
                team.dim(),
                address,
                vector,
                x.into_tensor_arg(),
                statistics.into_tensor_arg(),
                weight.into_tensor_arg(),
                bias.into_tensor_arg(),
                out.clone().into_tensor_arg(),
                self.epsilon,
                channels / self.groups,
                self.activate,
                piece,
                team,
                types,
            );
        }
        vec![out]
    }
}

impl GroupNorm {
    /// How many cubes share a group of N vectors.
    fn parts(&self, vectors: usize) -> usize {
        (vectors / (256 * VECTORS_A_UNIT[0])).clamp(1, PARTS)
    }
}

/// Where a part of a group of `vectors` begins, in vectors.
#[cube]
fn part_start(part: usize, parts: usize, vectors: usize) -> usize {
    let length = vectors.div_ceil(parts);
    min(part * length, vectors)
}

/// The mean of a part of a group, and the sum of the squares of what differs from it.
#[cube(launch_unchecked, address_type = "dynamic")]
fn take_statistics<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    statistics: &mut Tensor<f32>,
    #[comptime] team: Team,
    #[define(F)] _type: StorageType,
) {
    let parts = statistics.shape(1);
    let groups = statistics.shape(0);
    let (group, part) = (CUBE_POS / parts, CUBE_POS % parts);
    if group >= groups {
        terminate!();
    }
    let vectors = x.shape(0) * x.shape(1) * x.shape(2) / N::value() / groups;
    let start = part_start(part, parts, vectors);
    let end = part_start(part + 1, parts, vectors);
    // Welford's recurrence, one an entry of the vectors.
    let mut count = f32::new(0.0_f32);
    let mut mean = Vector::<f32, N>::new(0.0);
    let mut square = Vector::<f32, N>::new(0.0);
    let mut i = start + UNIT_POS as usize;
    while i < end {
        count += f32::new(1.0_f32);
        let value = Vector::<f32, N>::cast_from(x[group * vectors + i]);
        let difference = value - mean;
        mean += difference * Vector::new(f32::new(1.0_f32) / count);
        square += difference * (value - mean);
        i += comptime!(team.units as usize);
    }
    let all = max((end - start) as f32, f32::new(1.0_f32)) * N::value() as f32;
    let total = cube_sum(count * vector_sum::<N>(mean), team) / all;
    let apart = mean - Vector::new(total);
    let square = vector_sum::<N>(square) + count * vector_sum::<N>(apart * apart);
    let square = cube_sum(square, team);
    if UNIT_POS == 0 {
        statistics[CUBE_POS * 2] = total;
        statistics[CUBE_POS * 2 + 1] = square;
    }
}

/// A piece of the map of one channel.
#[cube(launch_unchecked, address_type = "dynamic")]
fn normalize<F: Float, W: Float, V: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    statistics: &Tensor<f32>,
    weight: &Tensor<W>,
    bias: &Tensor<V>,
    out: &mut Tensor<Vector<F, N>>,
    epsilon: f32,
    channels_a_group: usize,
    #[comptime] activate: bool,
    #[comptime] piece: usize,
    #[comptime] team: Team,
    #[define(F, W, V)] _types: [StorageType; 3],
) {
    let channels = x.shape(1);
    let vectors = x.shape(2) / N::value();
    let pieces = vectors.div_ceil(piece);
    let (map, start) = (CUBE_POS / pieces, CUBE_POS % pieces * piece);
    if map >= x.shape(0) * channels {
        terminate!();
    }
    let channel = map % channels;
    let parts = statistics.shape(1);
    let group = map / channels_a_group;

    // Each unit brings one part of the statistics.
    let unit = UNIT_POS as usize;
    let of_group = vectors * channels_a_group;
    let mut count = f32::new(0.0_f32);
    let mut part_mean = f32::new(0.0_f32);
    let mut part_square = f32::new(0.0_f32);
    if unit < parts {
        let length = part_start(unit + 1, parts, of_group) - part_start(unit, parts, of_group);
        count = (length * N::value()) as f32;
        part_mean = statistics[(group * parts + unit) * 2];
        part_square = statistics[(group * parts + unit) * 2 + 1];
    }
    let all = (of_group * N::value()) as f32;
    let mean = cube_sum(count * part_mean, team) / all;
    let apart = part_mean - mean;
    let variance = cube_sum(part_square + count * apart * apart, team) / all;

    let factor = f32::cast_from(weight[channel]) / f32::sqrt(variance + epsilon);
    let offset = f32::cast_from(bias[channel]);
    let mut i = start + unit;
    while i < min(start + piece, vectors) {
        let value = Vector::<f32, N>::cast_from(x[map * vectors + i]) - Vector::new(mean);
        let value = value * Vector::new(factor) + Vector::new(offset);
        let value = if comptime!(activate) { value * sigmoid::<N>(value) } else { value };
        out[map * vectors + i] = Vector::cast_from(value);
        i += comptime!(team.units as usize);
    }
}
