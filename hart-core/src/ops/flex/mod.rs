//! Flex with the kernels of this crate.
//!
//! Kernels compute in 32-bit floats; for tensors of other types, and for masked attention, the plain
//! operations stay. Prepared layers keep their weights in the type they were loaded in, and take and
//! give 32-bit floats: activations flow in 32 bits then, whatever the precision.

mod attention;
mod layers;
mod values;

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};

use self::values::{SharedRows, Values, change, is_f32};
use super::{ConvolutionOptions, GroupNormOptions, HartBackend, Prepared, Projection, plain};
use crate::Precision;
use crate::kernels::cpu::elementwise;
use crate::kernels::cpu::norm::{Modulation, Norm};

impl HartBackend for Flex {
    const MULTIPLIES_INT8: bool = true;

    const ATTENDS_TO_F16: bool = true;

    const PREPARED_COMPUTE_F32: bool = true;

    const TOKENS_AT_ONCE: Option<usize> = Some(256);

    fn attend(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        bias: Option<Tensor<Self, 4>>,
        scale: f64,
    ) -> Tensor<Self, 4> {
        if bias.is_some() || !(is_f32(&q) && is_f32(&k) && is_f32(&v)) {
            let options = burn::tensor::ops::AttentionModuleOptions {
                scale: Some(scale),
                softcap: None,
                is_causal: false,
            };
            return burn::tensor::module::attention(q, k, v, None, bias, options);
        }
        attention::attend(&q, &k, &v, scale, 1)
    }

    fn attend_repeated(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        copies: usize,
        scale: f64,
    ) -> Tensor<Self, 4> {
        if attention::is_attended(&q, &k, &v) {
            attention::attend(&q, &k, &v, scale, copies)
        } else {
            plain::attend_repeated(q, k, v, copies, scale)
        }
    }

    fn split_heads(qkv: Tensor<Self, 3>, projection: &Projection<Self>) -> [Tensor<Self, 4>; 3] {
        if is_f32(&qkv) {
            attention::split_heads(qkv, projection)
        } else {
            plain::split_heads(qkv, projection)
        }
    }

    fn rms_norm(x: Tensor<Self, 3>, weight: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 3> {
        if !is_f32(&x) {
            return plain::rms_norm(x, weight, epsilon);
        }
        let weight = Values::of(weight);
        layers::normalize(x, Norm::RootMeanSquare { weight: weight.get() }, epsilon, None)
    }

    fn modulated_rms_norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        match (is_f32(&x), SharedRows::of(&x, &scale), SharedRows::of(&x, &shift)) {
            (true, Some(scale), Some(shift)) => {
                let weight = Values::of(weight);
                let modulation = Modulation { scale: scale.get(), shift: shift.get() };
                let norm = Norm::RootMeanSquare { weight: weight.get() };
                layers::normalize(x, norm, epsilon, Some(modulation))
            }
            _ => plain::modulated_rms_norm(x, weight, scale, shift, epsilon),
        }
    }

    fn modulated_layer_norm(
        x: Tensor<Self, 3>,
        weights: Option<[Tensor<Self, 1>; 2]>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        match (is_f32(&x), SharedRows::of(&x, &scale), SharedRows::of(&x, &shift)) {
            (true, Some(scale), Some(shift)) => {
                let weights = weights.map(|parts| parts.map(Values::of));
                let weights = weights.as_ref().map(|parts| parts.each_ref().map(Values::get));
                let modulation = Modulation { scale: scale.get(), shift: shift.get() };
                layers::normalize(x, Norm::Layer { weights }, epsilon, Some(modulation))
            }
            _ => plain::modulated_layer_norm(x, weights, scale, shift, epsilon),
        }
    }

    fn add_gated(x: Tensor<Self, 3>, y: Tensor<Self, 3>, gate: Tensor<Self, 3>) -> Tensor<Self, 3> {
        match SharedRows::of(&x, &gate) {
            Some(shared) if is_f32(&x) && is_f32(&y) && y.dims() == x.dims() => {
                let (width, y) = (x.dims()[2], Values::of(y));
                change(x, |x| elementwise::add_gated(x, y.get(), shared.get(), width))
            }
            _ => plain::add_gated(x, y, gate),
        }
    }

    fn gated_silu(gate: Tensor<Self, 3>, up: Tensor<Self, 3>) -> Tensor<Self, 3> {
        if !is_f32(&gate) || !is_f32(&up) {
            return plain::gated_silu(gate, up);
        }
        let up = Values::of(up);
        change(gate, |gate| elementwise::gated_silu_in_place(gate, up.get()))
    }

    fn gelu_tanh(x: Tensor<Self, 3>) -> Tensor<Self, 3> {
        if is_f32(&x) { change(x, elementwise::gelu_tanh_in_place) } else { plain::gelu_tanh(x) }
    }

    fn silu<const D: usize>(x: Tensor<Self, D>) -> Tensor<Self, D> {
        if is_f32(&x) { change(x, elementwise::silu_in_place) } else { plain::silu(x) }
    }

    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        if is_f32(&x) {
            layers::group_norm(x, weight, bias, options)
        } else {
            super::group_norm::forward(x, weight, bias, options)
        }
    }

    fn convolution(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> Tensor<Self, 4> {
        if is_f32(&x) && is_f32(&weight) {
            layers::convolve(&layers::pack_kernels(weight, bias, options), x)
        } else {
            super::convolution::forward(x, weight, bias, options)
        }
    }

    // burn-flex 0.21 copies the whole buffer in `slice_assign`, even one that nobody else holds.
    fn write_rows(buffer: Tensor<Self, 4>, first: usize, rows: Tensor<Self, 4>) -> Tensor<Self, 4> {
        attention::write_rows(buffer, first, rows)
    }

    fn prepare_linear(
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
        precision: Precision,
    ) -> Option<Prepared> {
        layers::pack_matrix(weight, bias, precision)
    }

    fn prepared_linear<const D: usize>(layer: &Prepared, x: Tensor<Self, D>) -> Tensor<Self, D> {
        layers::multiply(layer, x)
    }

    fn prepare_convolution(
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
        _: Precision,
    ) -> Option<Prepared> {
        let (weight, bias) = (weight.cast(DType::F32), bias.cast(DType::F32));
        Some(Prepared::new(layers::pack_kernels(weight, bias, options)))
    }

    fn prepared_convolution(layer: &Prepared, x: Tensor<Self, 4>) -> Tensor<Self, 4> {
        let kernels = layer.get().expect("a layer that this backend has prepared");
        layers::convolve(kernels, x.cast(DType::F32))
    }
}
