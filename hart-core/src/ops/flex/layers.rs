//! Linear layers, convolutions and norms by kernels that compute in 32 bits.

use burn::backend::Flex;
use burn::tensor::{DType, Tensor};
use half::{bf16, f16};

use super::values::{Values, room, tensor};
use crate::Precision;
use crate::kernels::cpu::convolution::{Geometry, PackedKernels};
use crate::kernels::cpu::group_norm;
use crate::kernels::cpu::int8::Int8Matrix;
use crate::kernels::cpu::matrix::PackedMatrix;
use crate::kernels::cpu::norm::{self, Modulation, Norm};
use crate::ops::{ConvolutionOptions, GroupNormOptions, Prepared};

/// The matrix of a linear layer, packed. Whatever it is kept in, products are summed in 32 bits (of
/// 8-bit integers exactly), and results have 32 bits.
enum PackedLinear {
    F32(PackedMatrix<f32>),
    Bf16(PackedMatrix<bf16>),
    F16(PackedMatrix<f16>),
    Int8(Box<Int8Matrix>),
}

impl PackedLinear {
    fn shape(&self) -> [usize; 2] {
        match self {
            Self::F32(matrix) => matrix.shape(),
            Self::Bf16(matrix) => matrix.shape(),
            Self::F16(matrix) => matrix.shape(),
            Self::Int8(matrix) => matrix.shape(),
        }
    }

    fn multiply(&self, rows: &[f32], out: &mut [f32]) {
        match self {
            Self::F32(matrix) => matrix.multiply(rows, out),
            Self::Bf16(matrix) => matrix.multiply(rows, out),
            Self::F16(matrix) => matrix.multiply(rows, out),
            Self::Int8(matrix) => matrix.multiply(rows, out),
        }
    }
}

/// The matrix `[in, out]` of a linear layer, packed in the type it has, or in 8 bits where the precision
/// says so; `None` for other types.
pub(super) fn pack_matrix(
    weight: Tensor<Flex, 2>,
    bias: Option<Tensor<Flex, 1>>,
    precision: Precision,
) -> Option<Prepared> {
    let (shape, dtype) = (weight.dims(), weight.dtype());
    let (weight, bias) = (Values::of(weight), bias.map(|bias| Values::of(bias.cast(DType::F32))));
    let bias = bias.as_ref().map(Values::get);
    Some(Prepared::new(match (dtype, precision) {
        (DType::F32, Precision::Int8) => {
            PackedLinear::Int8(Box::new(Int8Matrix::new(weight.get(), bias, shape)))
        }
        (DType::F32, _) => PackedLinear::F32(PackedMatrix::new(weight.get(), bias, shape)),
        (DType::BF16, _) => PackedLinear::Bf16(PackedMatrix::new(weight.of_type(), bias, shape)),
        (DType::F16, _) => PackedLinear::F16(PackedMatrix::new(weight.of_type(), bias, shape)),
        _ => return None,
    }))
}

/// `[…, in]` to `[…, out]` in 32 bits by what [`pack_matrix`] gave.
pub(super) fn multiply<const D: usize>(layer: &Prepared, x: Tensor<Flex, D>) -> Tensor<Flex, D> {
    let matrix: &PackedLinear = layer.get().expect("a layer that this backend has prepared");
    let mut shape = x.dims();
    shape[D - 1] = matrix.shape()[1];
    let (x, mut out) = (Values::of(x.cast(DType::F32)), room(shape));
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
