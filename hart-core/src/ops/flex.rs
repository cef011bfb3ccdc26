//! Flex with the kernels of this crate.
//!
//! Kernels take 32-bit floats; for tensors of other types, and for masked attention, the plain
//! operations stay.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor, TensorData, TensorPrimitive};
use burn_flex::FlexTensor;

use super::{ConvolutionOptions, GroupNormOptions, HartBackend, Prepared, Projection, plain};
use crate::Precision;
use crate::kernels::cpu::attention::{self, Heads, Scores};
use crate::kernels::cpu::convolution::{Geometry, PackedKernels};
use crate::kernels::cpu::int8::Int8Matrix;
use crate::kernels::cpu::matrix::PackedMatrix;
use crate::kernels::cpu::norm::{self, Modulation, Norm};
use crate::kernels::cpu::{Broadcast, elementwise, group_norm, heads, memory};

/// The 32-bit values of a tensor, row by row.
struct Values(FlexTensor);

impl Values {
    fn of<const D: usize>(x: Tensor<Flex, D>) -> Self {
        let x = x.into_primitive().tensor();
        Self(if x.is_contiguous() { x } else { x.to_contiguous() })
    }

    fn get(&self) -> &[f32] {
        self.0.as_slice().expect("contiguous 32-bit values")
    }
}

fn wrap<const D: usize>(data: FlexTensor) -> Tensor<Flex, D> {
    Tensor::from_primitive(TensorPrimitive::Float(data))
}

fn tensor<const D: usize>(values: Vec<f32>, shape: [usize; D]) -> Tensor<Flex, D> {
    wrap(FlexTensor::from_data(TensorData::new(values, shape)))
}

/// Room for as many values as a shape has.
fn room<const D: usize>(shape: [usize; D]) -> Vec<f32> {
    memory::fresh(shape.iter().product())
}

fn is_f32<const D: usize>(x: &Tensor<Flex, D>) -> bool {
    x.dtype() == DType::F32
}

/// Changes the values of a tensor in place, or those of a copy when someone else holds it.
fn change<const D: usize>(x: Tensor<Flex, D>, f: impl FnOnce(&mut [f32])) -> Tensor<Flex, D> {
    let mut data = x.into_data();
    f(data.as_mut_slice().expect("32-bit values"));
    wrap(FlexTensor::from_data(data))
}

/// The heads of `[batch, heads, rows, width]`, where they lie if rows are whole and heads evenly
/// spaced; in a copy otherwise.
fn evenly_spaced(x: Tensor<Flex, 4>) -> (FlexTensor, usize) {
    let [batch, heads, rows, width] = x.dims();
    let x = x.into_primitive().tensor();
    let step = match *x.layout().strides() {
        [entry, head, row, 1]
            if (row == width as isize || rows == 1)
                && (entry == head * heads as isize || batch == 1)
                && head > 0 =>
        {
            head as usize
        }
        _ => return (x.to_contiguous(), rows * width),
    };
    (x, step)
}

/// Rows that those of another tensor are combined with.
struct SharedRows {
    values: FlexTensor,
    step: usize,
    rows: usize,
}

impl SharedRows {
    /// Those of `shared` `[batch or 1, tokens or 1, width]` for `x` `[batch, tokens, width]`, where
    /// they lie if they are evenly spaced, in a copy otherwise; `None` where no number of rows in a
    /// row shares one, or for other types than 32-bit floats.
    fn of(x: &Tensor<Flex, 3>, shared: &Tensor<Flex, 3>) -> Option<Self> {
        let ([batch, tokens, width], [items, places, entries]) = (x.dims(), shared.dims());
        let rows = match (items, places) {
            _ if entries != width || !is_f32(shared) => return None,
            (1, 1) => batch * tokens,
            (_, 1) if items == batch => tokens,
            _ if [items, places] == [batch, tokens] => 1,
            _ => return None,
        };
        let values = shared.clone().into_primitive().tensor();
        let step = match *values.layout().strides() {
            [item, row, 1]
                if row > 0 && item > 0 && (item == row * places as isize || items == 1) =>
            {
                row as usize
            }
            [item, _, 1] if places == 1 && item > 0 => item as usize,
            _ => return Some(Self { values: values.to_contiguous(), step: width, rows }),
        };
        Some(Self { values, step, rows })
    }

    fn get(&self) -> Broadcast<'_> {
        let values = &self.values.storage::<f32>()[self.values.layout().start_offset()..];
        Broadcast { values, step: self.step, rows: self.rows }
    }
}

fn heads_of(x: &FlexTensor, rows: usize, step: usize) -> Heads<'_> {
    Heads { values: &x.storage::<f32>()[x.layout().start_offset()..], rows, step }
}

impl HartBackend for Flex {
    const MULTIPLIES_INT8: bool = true;

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
        attend(q, k, v, scale, 1)
    }

    fn attend_repeated(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        copies: usize,
        scale: f64,
    ) -> Tensor<Self, 4> {
        match is_f32(&q) && is_f32(&k) && is_f32(&v) {
            true => attend(q, k, v, scale, copies),
            false => plain::attend_repeated(q, k, v, copies, scale),
        }
    }

    fn split_heads(qkv: Tensor<Self, 3>, projection: &Projection<Self>) -> [Tensor<Self, 4>; 3] {
        if !is_f32(&qkv) {
            return plain::split_heads(qkv, projection);
        }
        let [batch, tokens, joined] = qkv.dims();
        let (heads, width) = (projection.heads, joined / 3 / projection.heads);
        let shape = [batch, heads, tokens, width];
        let qkv = Values::of(qkv);
        let [query_bias, value_bias] =
            [&projection.query_bias, &projection.value_bias].map(|bias| Values::of(bias.clone()));
        let scale = projection.query_scale.clone().map(Values::of);
        let [cos, sin] =
            [&projection.angles.cos, &projection.angles.sin].map(|part| Values::of(part.clone()));
        let mut out = [room(shape), room(shape), room(shape)];
        let [q, k, v] = &mut out;
        let projection = heads::Projection {
            values: qkv.get(),
            heads,
            width,
            tokens,
            query_bias: query_bias.get(),
            value_bias: value_bias.get(),
            query_scale: scale.as_ref().map(Values::get),
            cos: cos.get(),
            sin: sin.get(),
        };
        heads::split_heads(&projection, [q, k, v]);
        out.map(|values| tensor(values, shape))
    }

    fn rms_norm(x: Tensor<Self, 3>, weight: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 3> {
        if !is_f32(&x) {
            return plain::rms_norm(x, weight, epsilon);
        }
        let weight = Values::of(weight);
        normalize(x, Norm::RootMeanSquare { weight: weight.get() }, epsilon, None)
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
                normalize(x, norm, epsilon, Some(modulation))
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
                normalize(x, Norm::Layer { weights }, epsilon, Some(modulation))
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
        match is_f32(&x) {
            true => change(x, elementwise::gelu_tanh_in_place),
            false => plain::gelu_tanh(x),
        }
    }

    fn silu<const D: usize>(x: Tensor<Self, D>) -> Tensor<Self, D> {
        match is_f32(&x) {
            true => change(x, elementwise::silu_in_place),
            false => plain::silu(x),
        }
    }

    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        if !is_f32(&x) {
            return super::group_norm::forward(x, weight, bias, options);
        }
        let shape = x.dims();
        let (x, mut out) = (Values::of(x), room(shape));
        let (weight, bias) = (Values::of(weight), Values::of(bias));
        let norm = group_norm::GroupNorm {
            groups: options.groups,
            weight: weight.get(),
            bias: bias.get(),
            epsilon: options.epsilon as f32,
            activate: options.activate,
        };
        group_norm::group_norm(x.get(), shape[2] * shape[3], norm, &mut out);
        tensor(out, shape)
    }

    fn convolution(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> Tensor<Self, 4> {
        if !is_f32(&x) || !is_f32(&weight) {
            return super::convolution::forward(x, weight, bias, options);
        }
        convolve(&packed(weight, bias, options), x)
    }

    // burn-flex 0.21 copies the whole buffer in `slice_assign`, even one that nobody else holds.
    fn write_rows(buffer: Tensor<Self, 4>, first: usize, rows: Tensor<Self, 4>) -> Tensor<Self, 4> {
        let ([_, _, capacity, width], [.., tokens, _]) = (buffer.dims(), rows.dims());
        let whole = is_f32(&buffer) && is_f32(&rows) && first + tokens <= capacity;
        let mut buffer = buffer.into_primitive().tensor();
        if !whole || !buffer.is_contiguous() {
            return plain::write_rows(wrap(buffer), first, rows);
        }
        let rows = Values::of(rows);
        let heads = buffer.storage_mut::<f32>().chunks_exact_mut(capacity * width);
        for (head, rows) in heads.zip(rows.get().chunks_exact(tokens * width)) {
            head[first * width..][..tokens * width].copy_from_slice(rows);
        }
        wrap(buffer)
    }

    fn prepare_linear(
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
        precision: Precision,
    ) -> Option<Prepared> {
        if !is_f32(&weight) {
            return None;
        }
        let shape = weight.dims();
        let (weight, bias) = (Values::of(weight), bias.map(Values::of));
        let (weight, bias) = (weight.get(), bias.as_ref().map(Values::get));
        Some(match precision {
            Precision::Int8 => Prepared::new(Int8Matrix::new(weight, bias, shape)),
            _ => Prepared::new(PackedMatrix::new(weight, bias, shape)),
        })
    }

    fn prepared_linear<const D: usize>(layer: &Prepared, x: Tensor<Self, D>) -> Tensor<Self, D> {
        let mut shape = x.dims();
        let x = Values::of(x.cast(DType::F32));
        let mut multiply = |outputs: usize, multiply: &dyn Fn(&[f32], &mut [f32])| {
            shape[D - 1] = outputs;
            let mut out = room(shape);
            multiply(x.get(), &mut out);
            tensor(out, shape)
        };
        if let Some(matrix) = layer.get::<Int8Matrix>() {
            return multiply(matrix.shape()[1], &|x, out| matrix.multiply(x, out));
        }
        let matrix: &PackedMatrix = layer.get().expect("a layer that this backend has prepared");
        multiply(matrix.shape()[1], &|x, out| matrix.multiply(x, out))
    }

    fn prepare_convolution(
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
        _: Precision,
    ) -> Option<Prepared> {
        if !is_f32(&weight) {
            return None;
        }
        Some(Prepared::new(packed(weight, bias, options)))
    }

    fn prepared_convolution(layer: &Prepared, x: Tensor<Self, 4>) -> Tensor<Self, 4> {
        let kernels = layer.get().expect("a layer that this backend has prepared");
        convolve(kernels, x.cast(DType::F32))
    }
}

fn normalize(
    x: Tensor<Flex, 3>,
    norm: Norm<'_>,
    epsilon: f64,
    modulation: Option<Modulation<'_>>,
) -> Tensor<Flex, 3> {
    let shape = x.dims();
    let (x, mut out) = (Values::of(x), room(shape));
    norm::normalize(x.get(), shape[2], norm, epsilon as f32, modulation, &mut out);
    tensor(out, shape)
}

/// Attention without a mask.
fn attend(
    q: Tensor<Flex, 4>,
    k: Tensor<Flex, 4>,
    v: Tensor<Flex, 4>,
    scale: f64,
    copies: usize,
) -> Tensor<Flex, 4> {
    let shape = q.dims();
    let [_, _, queries, width] = shape;
    let keys = k.dims()[2];
    let ((q, q_step), (k, k_step), (v, v_step)) =
        (evenly_spaced(q), evenly_spaced(k), evenly_spaced(v));
    let mut out = room(shape);
    attention::attend(
        heads_of(&q, queries, q_step),
        heads_of(&k, keys, k_step),
        heads_of(&v, keys, v_step),
        Scores { width, scale: scale as f32, first: (copies as f32).ln() },
        &mut out,
    );
    tensor(out, shape)
}

fn packed(
    weight: Tensor<Flex, 4>,
    bias: Tensor<Flex, 1>,
    options: &ConvolutionOptions,
) -> PackedKernels {
    let [outputs, inputs, height, width] = weight.dims();
    let geometry = Geometry {
        channels: [inputs, outputs],
        kernel: [height, width],
        padding: options.padding,
        stride: options.stride,
    };
    PackedKernels::new(Values::of(weight).get(), Values::of(bias).get(), geometry)
}

fn convolve(kernels: &PackedKernels, x: Tensor<Flex, 4>) -> Tensor<Flex, 4> {
    let [batch, _, height, width] = x.dims();
    let [down, across] = kernels.geometry().output([height, width]);
    let shape = [batch, kernels.geometry().channels[1], down, across];
    let (x, mut out) = (Values::of(x), room(shape));
    kernels.convolve(x.get(), [height, width], &mut out);
    tensor(out, shape)
}
