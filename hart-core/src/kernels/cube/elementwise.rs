//! Gates, over tensors `[batch, tokens, width]`.

use burn::tensor::Shape;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use super::CubeOperation;
use super::arguments::{Team, address_type, broadcast, cubes, room, vector_size};
use super::reduce::{rounded, sigmoid};

/// How three values become one.
#[derive(Clone, Copy, Debug, PartialEq, Eq, Hash)]
pub enum Gate {
    /// `SiLU(a) · b`, of two inputs of one shape.
    Silu,
    /// `a + b · c`, where rows may share `c`.
    Add,
}

impl CubeOperation for Gate {
    const NAME: &'static str = "hart_gate";

    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        vec![inputs[0].clone()]
    }

    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let mut inputs = inputs.into_iter().map(broadcast);
        let a = inputs.next().expect("two inputs");
        let b = inputs.next().expect("two inputs");
        let c = inputs.next();
        let shape = a.meta.shape.clone();
        let out = room(&a, shape.clone(), a.dtype);
        let mut tensors = vec![&a, &b, &out];
        tensors.extend(&c);
        let vector = vector_size(&tensors, shape[2]);
        let address = address_type(&tensors);
        let count = shape.num_elements() / vector;
        let team = Team::new(&a, count);
        let gate_type = c.as_ref().map_or(a.dtype, |c| c.dtype);
        let types = [a.dtype, b.dtype, gate_type].map(Into::into);
        let client = a.client.clone();
        // Units beyond the last value are ended.
        unsafe {
            gate::launch_unchecked(
                &client,
                cubes(count.div_ceil(team.units as usize)),
                team.dim(),
                address,
                vector,
                a.into_tensor_arg(),
                b.into_tensor_arg(),
                c.map(CubeTensor::into_tensor_arg).into(),
                out.clone().into_tensor_arg(),
                types,
            );
        }
        vec![out]
    }
}

#[cube(launch_unchecked, address_type = "dynamic")]
fn gate<F: Float, G: Float, H: Float, N: Size>(
    a: &Tensor<Vector<F, N>>,
    b: &Tensor<Vector<G, N>>,
    c: &ComptimeOption<Tensor<Vector<H, N>>>,
    out: &mut Tensor<Vector<F, N>>,
    #[define(F, G, H)] _types: [StorageType; 3],
) {
    let tokens = out.shape(1);
    let vectors = out.shape(2) / N::value();
    if ABSOLUTE_POS >= out.shape(0) * tokens * vectors {
        terminate!();
    }
    let (row, i) = (ABSOLUTE_POS / vectors, ABSOLUTE_POS % vectors);
    let (item, token) = (row / tokens, row % tokens);
    let x = Vector::<f32, N>::cast_from(entry::<F, N>(a, item, token, i));
    let y = Vector::<f32, N>::cast_from(entry::<G, N>(b, item, token, i));
    #[comptime]
    let value = match c {
        ComptimeOption::Some(gate) => {
            let gate = Vector::<f32, N>::cast_from(entry::<H, N>(gate, item, token, i));
            x + rounded::<G, N>(y * rounded::<G, N>(gate))
        }
        ComptimeOption::None => x * sigmoid::<N>(x) * y,
    };
    out[ABSOLUTE_POS] = Vector::cast_from(value);
}

#[cube]
fn entry<F: Float, N: Size>(
    x: &Tensor<Vector<F, N>>,
    item: usize,
    token: usize,
    i: usize,
) -> Vector<F, N> {
    x[(item * x.stride(0) + token * x.stride(1)) / N::value() + i]
}
