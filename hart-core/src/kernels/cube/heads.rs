//! From the projection of a block to queries, keys and values, in one pass over it.

use burn::tensor::Shape;
use burn_cubecl::kernel::into_contiguous;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::CubeOperation;
use super::arguments::{address_type, broadcast, cubes, in_rows, room, vector_size};
use super::reduce::{rounded, vector_sum};

/// The units of a cube, or somewhat fewer where heads do not divide them.
const UNITS: usize = 192;

/// Inputs are the projection `[batch, tokens, 3·C]`, the biases of queries and values `[C]`, cosines and
/// sines `[batch or 1, 1, tokens, C / heads]`, and the factor of queries `[1, heads, 1, 1]` if queries and
/// keys are brought to length one. Out come queries, keys and values `[batch, heads, tokens, C / heads]`.
#[derive(Clone, Copy, Debug)]
pub struct SplitHeads {
    /// Heads the width is divided into, each of an even width.
    pub heads: usize,
    /// Whether queries and keys are brought to length one.
    pub scaled: bool,
}

impl CubeOperation for SplitHeads {
    const NAME: &'static str = "hart_split_heads";

    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        let [batch, tokens, joined] = inputs[0].dims();
        vec![Shape::new([batch, self.heads, tokens, joined / 3 / self.heads]); 3]
    }

    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let mut inputs = inputs.into_iter();
        let mut next = || inputs.next().expect("an input");
        let qkv = in_rows(next());
        let [query_bias, value_bias] = [in_rows(next()), in_rows(next())];
        let [cos, sin] = [broadcast(next()), broadcast(next())];
        let scale = self.scaled.then(|| into_contiguous(next()));

        let [batch, tokens, joined] = qkv.meta.shape.dims();
        let half = joined / 3 / self.heads / 2;
        let shape = Shape::new([batch, self.heads, tokens, 2 * half]);
        let [q, k, v] = [(); 3].map(|()| room(&qkv, shape.clone(), qkv.dtype));
        let tensors = [&qkv, &query_bias, &value_bias, &cos, &sin, &q, &k, &v];
        let vector = vector_size(&tensors, half);
        let address = address_type(&tensors);
        // Each unit holds a vector of the first half of a head and its partner in the second.
        let lanes = half / vector;
        let places = (UNITS / lanes).max(1);
        let scale_type = scale.as_ref().map_or(qkv.dtype, |scale| scale.dtype);
        let types = [qkv.dtype, query_bias.dtype, cos.dtype, scale_type].map(Into::into);
        let client = qkv.client.clone();
        // Units without a head neither read nor write.
        unsafe {
            split_heads::launch_unchecked(
                &client,
                cubes((batch * tokens * 3 * self.heads).div_ceil(places)),
                CubeDim::new_1d((places * lanes) as u32),
                address,
                vector,
                qkv.into_tensor_arg(),
                query_bias.into_tensor_arg(),
                value_bias.into_tensor_arg(),
                cos.into_tensor_arg(),
                sin.into_tensor_arg(),
                scale.map(CubeTensor::into_tensor_arg).into(),
                q.clone().into_tensor_arg(),
                k.clone().into_tensor_arg(),
                v.clone().into_tensor_arg(),
                lanes,
                places,
                types,
            );
        }
        vec![q, k, v]
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
fn split_heads<F: Float, W: Float, A: Float, S: Float, N: Size>(
    qkv: &Tensor<Vector<F, N>>,
    query_bias: &Tensor<Vector<W, N>>,
    value_bias: &Tensor<Vector<W, N>>,
    cos: &Tensor<Vector<A, N>>,
    sin: &Tensor<Vector<A, N>>,
    scale: &ComptimeOption<Tensor<S>>,
    q: &mut Tensor<Vector<F, N>>,
    k: &mut Tensor<Vector<F, N>>,
    v: &mut Tensor<Vector<F, N>>,
    #[comptime] lanes: usize,
    #[comptime] places: usize,
    #[define(F, W, A, S)] _types: [StorageType; 4],
) {
    let unit = UNIT_POS as usize;
    let (place, lane) = (unit / lanes, unit % lanes);
    // Heads that follow each other lie in a row of the projection.
    let index = CUBE_POS * places + place;
    let heads = q.shape(1);
    let tokens = q.shape(2);
    let (row, rest) = (index / (3 * heads), index % (3 * heads));
    let (part, head) = (rest / heads, rest % heads);
    let (item, token) = (row / tokens, row % tokens);
    let present = item < q.shape(0);

    let mut first = Vector::<f32, N>::new(0.0);
    let mut second = Vector::<f32, N>::new(0.0);
    if present {
        let at =
            (item * qkv.stride(0) + token * qkv.stride(1)) / N::value() + rest * 2 * lanes + lane;
        first = Vector::cast_from(qkv[at]);
        second = Vector::cast_from(qkv[at + lanes]);
        let at = head * 2 * lanes + lane;
        if part == 0 {
            first = biased::<F, W, N>(first, query_bias[at]);
            second = biased::<F, W, N>(second, query_bias[at + lanes]);
        } else if part == 2 {
            first = biased::<F, W, N>(first, value_bias[at]);
            second = biased::<F, W, N>(second, value_bias[at + lanes]);
        }
    }
    #[comptime]
    if let ComptimeOption::Some(scale) = scale {
        // The units of a head each know the squares of a part of it.
        let mut squares = SharedMemory::<f32>::new(comptime!(places * lanes));
        squares[unit] = vector_sum::<N>(first * first + second * second);
        sync_cube();
        let mut square = f32::new(0.0_f32);
        #[unroll]
        for i in 0..lanes {
            square += squares[place * lanes + i];
        }
        if part < 2 {
            let mut factor = f32::new(1.0_f32) / max(f32::sqrt(square), f32::new(1e-12_f32));
            if part == 0 && present {
                factor *= f32::cast_from(scale[head]);
            }
            first *= Vector::new(factor);
            second *= Vector::new(factor);
        }
    }
    if present {
        if part < 2 {
            let at = (item * cos.stride(0) + token * cos.stride(2)) / N::value() + lane;
            let at_sin = (item * sin.stride(0) + token * sin.stride(2)) / N::value() + lane;
            let turned = second * Vector::cast_from(sin[at_sin]);
            let turned_second = first * Vector::cast_from(sin[at_sin + lanes]);
            first = first * Vector::cast_from(cos[at]) - turned;
            second = second * Vector::cast_from(cos[at + lanes]) + turned_second;
        }
        let at = ((item * heads + head) * tokens + token) * 2 * lanes + lane;
        if part == 0 {
            q[at] = Vector::cast_from(first);
            q[at + lanes] = Vector::cast_from(second);
        } else if part == 1 {
            k[at] = Vector::cast_from(first);
            k[at + lanes] = Vector::cast_from(second);
        } else {
            v[at] = Vector::cast_from(first);
            v[at + lanes] = Vector::cast_from(second);
        }
    }
}

/// A sum in the type of the projection.
#[cube]
fn biased<F: Float, W: Float, N: Size>(x: Vector<f32, N>, bias: Vector<W, N>) -> Vector<f32, N> {
    rounded::<F, N>(x + rounded::<F, N>(Vector::cast_from(bias)))
}
