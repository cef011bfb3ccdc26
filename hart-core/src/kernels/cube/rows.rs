//! Norms of rows, modulated or not: one cube a row.

use burn::tensor::Shape;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::CubeOperation;
use super::arguments::{Team, address_type, broadcast, cubes, in_rows, room, vector_size};
use super::reduce::{cube_sum, rounded, vector_sum};

/// What rows are divided by.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum RowNorm {
    /// The root of the mean square. Rows are rounded before they meet the weight.
    RootMeanSquare,
    /// The standard deviation, after the mean is taken away. Rows are rounded after weight and bias.
    Layer,
}

/// Inputs are the rows `[batch, tokens, width]`, a weight `[width]` (and a bias, for
/// [`RowNorm::Layer`]) if `weighted`, and scale and shift, which rows may share, if `modulated`.
#[derive(Clone, Copy, Debug)]
pub struct NormalizeRows {
    /// Which norm.
    pub norm: RowNorm,
    /// Whether there are weights.
    pub weighted: bool,
    /// Whether there are scale and shift.
    pub modulated: bool,
    /// Added to the mean square.
    pub epsilon: f32,
}

impl CubeOperation for NormalizeRows {
    const NAME: &'static str = "hart_normalize_rows";

    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let mut inputs = inputs.into_iter();
        let mut next = |present: bool| present.then(|| inputs.next().expect("an input"));
        let x = in_rows(next(true).expect("rows"));
        let weight = next(self.weighted).map(in_rows);
        let bias = next(self.weighted && self.norm == RowNorm::Layer).map(in_rows);
        let scale = next(self.modulated).map(broadcast);
        let shift = next(self.modulated).map(broadcast);

        let shape = x.meta.shape.clone();
        let out = room(&x, shape.clone(), x.dtype);
        let mut tensors = vec![&x, &out];
        tensors.extend([&weight, &bias, &scale, &shift].into_iter().flatten());
        let vector = vector_size(&tensors, shape[2]);
        let address = address_type(&tensors);
        let team = Team::new(&x, shape[2] / vector);
        let dtype = |other: &Option<CubeTensor<R>>| other.as_ref().map_or(x.dtype, |x| x.dtype);
        let types = [x.dtype, dtype(&weight), dtype(&scale)].map(Into::into);
        let client = x.client.clone();
        // Every position is below the length of the row that the cube was given.
        unsafe {
            normalize_rows::launch_unchecked(
                &client,
                cubes(shape[0] * shape[1]),
                team.dim(),
                address,
                vector,
                x.into_tensor_arg(),
                weight.map(CubeTensor::into_tensor_arg).into(),
                bias.map(CubeTensor::into_tensor_arg).into(),
                scale.map(CubeTensor::into_tensor_arg).into(),
                shift.map(CubeTensor::into_tensor_arg).into(),
                out.clone().into_tensor_arg(),
                self.epsilon,
                self.norm,
                team,
                types,
            );
        }
        vec![out]
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn normalize_rows<F: Float, W: Float, S: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    weight: &ComptimeOption<Tensor<Vector<W, N>>>,
    bias: &ComptimeOption<Tensor<Vector<W, N>>>,
    scale: &ComptimeOption<Tensor<Vector<S, N>>>,
    shift: &ComptimeOption<Tensor<Vector<S, N>>>,
    out: &mut Tensor<Vector<F, N>>,
    epsilon: f32,
    #[comptime] norm: RowNorm,
    #[comptime] team: Team,
    #[define(F, W, S)] _types: [StorageType; 3],
) {
    let row = CUBE_POS;
    let tokens = x.shape(1);
    if row >= x.shape(0) * tokens {
        terminate!();
    }
    let (item, token) = (row / tokens, row % tokens);
    let width = x.shape(2);
    let vectors = width / N::value();
    let start = row_start::<F, N>(x, item, token);
    let out_start = row * vectors;
    let first = UNIT_POS as usize;
    let step = comptime!(team.units as usize);

    let mut mean = f32::new(0.0_f32);
    if comptime!(norm == RowNorm::Layer) {
        let mut sum = Vector::<f32, N>::new(0.0);
        let mut i = first;
        while i < vectors {
            sum += Vector::cast_from(x[start + i]);
            i += step;
        }
        mean = cube_sum(vector_sum::<N>(sum), team) / width as f32;
    }
    let mut squares = Vector::<f32, N>::new(0.0);
    let mut i = first;
    while i < vectors {
        let value = Vector::<f32, N>::cast_from(x[start + i]) - Vector::new(mean);
        squares += value * value;
        i += step;
    }
    let mean_square = cube_sum(vector_sum::<N>(squares), team) / width as f32;
    let factor = f32::new(1.0_f32) / f32::sqrt(mean_square + epsilon);

    let mut i = first;
    while i < vectors {
        let value = Vector::<f32, N>::cast_from(x[start + i]) - Vector::new(mean);
        let value = value * Vector::new(factor);
        let value = weigh::<F, W, N>(value, weight, bias, i, norm);
        let value = modulate::<F, S, N>(value, scale, shift, item, token, i);
        out[out_start + i] = Vector::cast_from(value);
        i += step;
    }
}

/// Where a row begins, in vectors.
#[cube]
fn row_start<F: Float, N: Size>(x: &Tensor<Vector<F, N>>, item: usize, token: usize) -> usize {
    (item * x.stride(0) + token * x.stride(1)) / N::value()
}

/// Weight and bias, with the rounding of the norm.
#[cube]
fn weigh<F: Float, W: Float, N: Size>(
    value: Vector<f32, N>,
    weight: &ComptimeOption<Tensor<Vector<W, N>>>,
    bias: &ComptimeOption<Tensor<Vector<W, N>>>,
    i: usize,
    #[comptime] norm: RowNorm,
) -> Vector<f32, N> {
    let value = match comptime!(norm) {
        RowNorm::RootMeanSquare => rounded::<F, N>(value),
        RowNorm::Layer => value,
    };
    #[comptime]
    let value = match weight {
        ComptimeOption::Some(weight) => {
            let weight = Vector::<f32, N>::cast_from(weight[i]);
            match comptime!(norm) {
                RowNorm::RootMeanSquare => value * rounded::<F, N>(weight),
                RowNorm::Layer => value * weight,
            }
        }
        ComptimeOption::None => value,
    };
    #[comptime]
    let value = match bias {
        ComptimeOption::Some(bias) => value + Vector::cast_from(bias[i]),
        ComptimeOption::None => value,
    };
    rounded::<F, N>(value)
}

/// `value · (1 + scale) + shift`, rounded after each step.
#[cube]
fn modulate<F: Float, S: Float, N: Size>(
    value: Vector<f32, N>,
    scale: &ComptimeOption<Tensor<Vector<S, N>>>,
    shift: &ComptimeOption<Tensor<Vector<S, N>>>,
    item: usize,
    token: usize,
    i: usize,
) -> Vector<f32, N> {
    #[comptime]
    let value = match scale {
        ComptimeOption::Some(scale) => {
            let at = row_start::<S, N>(scale, item, token) + i;
            let factor = Vector::<f32, N>::cast_from(scale[at]) + Vector::new(f32::new(1.0_f32));
            rounded::<F, N>(value * rounded::<F, N>(rounded::<S, N>(factor)))
        }
        ComptimeOption::None => value,
    };
    #[comptime]
    let offset = match shift {
        ComptimeOption::Some(shift) => {
            let at = row_start::<S, N>(shift, item, token) + i;
            rounded::<F, N>(Vector::cast_from(shift[at]))
        }
        ComptimeOption::None => Vector::new(f32::new(0.0_f32)),
    };
    value + offset
}
