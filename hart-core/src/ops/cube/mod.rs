//! The GPU backends of burn, fused or not, with the kernels of this crate.
//!
//! Kernels take floats of 32 and 16 bits, in any mixture; for others, and for shapes that a kernel does
//! not know, the plain operations stay. `slice_assign` writes in place by itself, so rows need no kernel.

mod attention;
mod flash;
#[cfg(feature = "fusion")]
mod fusion;
mod operation;
mod sampling;

use burn::tensor::{DType, Tensor, backend::Backend};

use self::operation::{RunsCube, input, run};
use super::{GroupNormOptions, HartBackend, Projection, plain};
use crate::kernels::cube::elementwise::Gate;
use crate::kernels::cube::group_norm::GroupNorm;
use crate::kernels::cube::heads::SplitHeads;
use crate::kernels::cube::rows::{NormalizeRows, RowNorm};
use crate::ops::sampling::{TokenSampling, TokensThere};

impl<B: RunsCube> HartBackend for B {
    const ATTENDS_TOGETHER: bool = true;

    fn attend(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        bias: Option<Tensor<Self, 4>>,
        scale: f64,
    ) -> Tensor<Self, 4> {
        attention::attend(q, k, v, bias, scale, 1)
    }

    fn attend_repeated(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        copies: usize,
        scale: f64,
    ) -> Tensor<Self, 4> {
        attention::attend(q, k, v, None, scale, copies)
    }

    fn split_heads(qkv: Tensor<Self, 3>, projection: &Projection<Self>) -> [Tensor<Self, 4>; 3] {
        if !is_split(&qkv, projection) {
            return plain::split_heads(qkv, projection);
        }
        let Projection { heads, query_bias, value_bias, query_scale, angles } = projection.clone();
        let scaled = query_scale.is_some();
        let mut inputs = vec![
            input(qkv),
            input(query_bias),
            input(value_bias),
            input(angles.cos),
            input(angles.sin),
        ];
        inputs.extend(query_scale.map(input));
        run(SplitHeads { heads, scaled }, inputs)
    }

    fn rms_norm(x: Tensor<Self, 3>, weight: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 3> {
        if !is_float(&x) || !is_float(&weight) {
            return plain::rms_norm(x, weight, epsilon);
        }
        let epsilon = epsilon as f32;
        let norm = RowNorm::RootMeanSquare;
        let operation = NormalizeRows { norm, weighted: true, modulated: false, epsilon };
        let [out] = run(operation, vec![input(x), input(weight)]);
        out
    }

    fn modulated_rms_norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        if !is_float(&x) || !is_float(&weight) || !are_modulations(&x, &scale, &shift) {
            return plain::modulated_rms_norm(x, weight, scale, shift, epsilon);
        }
        let epsilon = epsilon as f32;
        let norm = RowNorm::RootMeanSquare;
        let operation = NormalizeRows { norm, weighted: true, modulated: true, epsilon };
        let [out] = run(operation, vec![input(x), input(weight), input(scale), input(shift)]);
        out
    }

    fn modulated_layer_norm(
        x: Tensor<Self, 3>,
        weights: Option<[Tensor<Self, 1>; 2]>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        let known = weights.iter().flatten().all(is_float);
        if !is_float(&x) || !known || !are_modulations(&x, &scale, &shift) {
            return plain::modulated_layer_norm(x, weights, scale, shift, epsilon);
        }
        let (norm, weighted) = (RowNorm::Layer, weights.is_some());
        let epsilon = epsilon as f32;
        let operation = NormalizeRows { norm, weighted, modulated: true, epsilon };
        let mut inputs = vec![input(x)];
        inputs.extend(weights.into_iter().flatten().map(input));
        inputs.extend([input(scale), input(shift)]);
        let [out] = run(operation, inputs);
        out
    }

    fn add_gated(x: Tensor<Self, 3>, y: Tensor<Self, 3>, gate: Tensor<Self, 3>) -> Tensor<Self, 3> {
        let same = x.dims() == y.dims() && x.dtype() == y.dtype();
        if !same || !is_float(&x) || !is_shared(&x, &gate) {
            return plain::add_gated(x, y, gate);
        }
        let [out] = run(Gate::Add, vec![input(x), input(y), input(gate)]);
        out
    }

    fn gated_silu(gate: Tensor<Self, 3>, up: Tensor<Self, 3>) -> Tensor<Self, 3> {
        let same = gate.dims() == up.dims() && gate.dtype() == up.dtype();
        if !same || !is_float(&gate) {
            return plain::gated_silu(gate, up);
        }
        let [out] = run(Gate::Silu, vec![input(gate), input(up)]);
        out
    }

    fn sample_tokens(
        logits: &Tensor<Self, 3>,
        sampling: &TokenSampling<'_, Self>,
    ) -> Option<TokensThere<Self>> {
        sampling::sample_tokens(logits, sampling)
    }

    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        if !is_float(&x) || !is_float(&weight) || !is_float(&bias) {
            return super::group_norm::forward(x, weight, bias, options);
        }
        let GroupNormOptions { groups, epsilon, activate } = *options;
        let operation = GroupNorm { groups, epsilon: epsilon as f32, activate };
        let [out] = run(operation, vec![input(x), input(weight), input(bias)]);
        out
    }
}

/// Whether kernels compute with the type of a tensor, and there is anything in it.
fn is_float<B: Backend, const D: usize>(x: &Tensor<B, D>) -> bool {
    let known = matches!(x.dtype(), DType::F32 | DType::F16 | DType::BF16);
    known && x.dims().iter().all(|&length| length > 0)
}

/// Whether `shared` is `[batch or 1, tokens or 1, width]` for `x` `[batch, tokens, width]`.
fn is_shared<B: Backend>(x: &Tensor<B, 3>, shared: &Tensor<B, 3>) -> bool {
    let (dims, of_shared) = (x.dims(), shared.dims());
    let fits = |axis: usize| of_shared[axis] == 1 || of_shared[axis] == dims[axis];
    is_float(shared) && fits(0) && fits(1) && of_shared[2] == dims[2]
}

fn are_modulations<B: Backend>(
    x: &Tensor<B, 3>,
    scale: &Tensor<B, 3>,
    shift: &Tensor<B, 3>,
) -> bool {
    scale.dtype() == shift.dtype() && is_shared(x, scale) && is_shared(x, shift)
}

/// Whether the kernel knows how to split a projection so.
fn is_split<B: Backend>(qkv: &Tensor<B, 3>, projection: &Projection<B>) -> bool {
    let [batch, tokens, joined] = qkv.dims();
    let Projection { heads, query_bias, value_bias, query_scale, angles } = projection;
    let width = joined / 3 / heads;
    let rotated = |part: &Tensor<B, 4>| {
        let [items, one, rows, entries] = part.dims();
        let shape = (items == 1 || items == batch) && [one, rows, entries] == [1, tokens, width];
        shape && is_float(part)
    };
    let scaled = |scale: &Tensor<B, 4>| is_float(scale) && scale.dims() == [1, *heads, 1, 1];
    let biases = query_bias.dtype() == value_bias.dtype() && is_float(query_bias);
    let turned = angles.cos.dtype() == angles.sin.dtype();
    // Each half of a head goes to at most as many units as a cube has.
    let even = width.is_multiple_of(2) && width <= 256;
    let angles = turned && rotated(&angles.cos) && rotated(&angles.sin);
    is_float(qkv) && even && biases && angles && query_scale.as_ref().is_none_or(scaled)
}
