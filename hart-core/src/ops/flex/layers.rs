//! Linear layers, convolutions and norms by kernels, all of 32-bit values.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};

use super::values::{Values, room, tensor};
use crate::Precision;
use crate::kernels::cpu::convolution::{Geometry, PackedKernels};
use crate::kernels::cpu::group_norm;
use crate::kernels::cpu::int8::Int8Matrix;
use crate::kernels::cpu::matrix::PackedMatrix;
use crate::kernels::cpu::norm::{self, Modulation, Norm};
use crate::ops::{ConvolutionOptions, GroupNormOptions, Prepared};

/// The matrix `[in, out]` of a linear layer, packed, in 8 bits where the precision says so.
pub(super) fn pack_matrix(
    weight: Tensor<Flex, 2>,
    bias: Option<Tensor<Flex, 1>>,
    precision: Precision,
) -> Prepared {
    let shape = weight.dims();
    let (weight, bias) = (Values::of(weight), bias.map(Values::of));
    let (weight, bias) = (weight.get(), bias.as_ref().map(Values::get));
    match precision {
        Precision::Int8 => Prepared::new(Int8Matrix::new(weight, bias, shape)),
        _ => Prepared::new(PackedMatrix::new(weight, bias, shape)),
    }
}

/// `[…, in]` to `[…, out]` by what [`pack_matrix`] gave.
pub(super) fn multiply<const D: usize>(layer: &Prepared, x: Tensor<Flex, D>) -> Tensor<Flex, D> {
    let mut shape = x.dims();
    let x = Values::of(x.cast(DType::F32));
    if let Some(matrix) = layer.get::<Int8Matrix>() {
        shape[D - 1] = matrix.shape()[1];
        let mut out = room(shape);
        matrix.multiply(x.get(), &mut out);
        return tensor(out, shape);
    }
    let matrix: &PackedMatrix = layer.get().expect("a layer that this backend has prepared");
    shape[D - 1] = matrix.shape()[1];
    let mut out = room(shape);
    matrix.multiply(x.get(), &mut out);
    tensor(out, shape)
}

/// The kernels `[out, in, height, width]` of a convolution, packed.
pub(super) fn pack_kernels(
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

/// `[batch, in, height, width]` to `[batch, out, …]`.
pub(super) fn convolve(kernels: &PackedKernels, x: Tensor<Flex, 4>) -> Tensor<Flex, 4> {
    let [batch, _, height, width] = x.dims();
    let [down, across] = kernels.geometry().output([height, width]);
    let shape = [batch, kernels.geometry().channels[1], down, across];
    let (x, mut out) = (Values::of(x), room(shape));
    kernels.convolve(x.get(), [height, width], &mut out);
    tensor(out, shape)
}

/// Rows `[batch, tokens, width]` normalised, and modulated if that is asked for.
pub(super) fn normalize(
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

/// GroupNorm of `[batch, channels, height, width]`.
pub(super) fn group_norm(
    x: Tensor<Flex, 4>,
    weight: Tensor<Flex, 1>,
    bias: Tensor<Flex, 1>,
    options: &GroupNormOptions,
) -> Tensor<Flex, 4> {
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
