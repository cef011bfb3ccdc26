//! GroupNorm with an optional SiLU in plain burn operations, and its backward pass.

use burn::tensor::activation::{sigmoid, silu};
use burn::tensor::{DType, Tensor, backend::Backend};

/// What a GroupNorm does beside its weights.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct GroupNormOptions {
    /// Groups the channels are cut into.
    pub groups: usize,
    /// Added to the variance.
    pub epsilon: f64,
    /// Whether SiLU follows.
    pub activate: bool,
}

/// The input with mean 0 and variance 1 in every group, in 32 bits, and the groups' standard
/// deviations `[batch, groups, 1]`.
fn normalize<B: Backend>(
    x: Tensor<B, 4>,
    options: &GroupNormOptions,
) -> (Tensor<B, 4>, Tensor<B, 3>) {
    let shape = x.dims();
    let x = x.cast(DType::F32).reshape(grouped(shape, options));
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let deviation = (variance + options.epsilon).sqrt();
    ((centred / deviation.clone()).reshape(shape), deviation)
}

fn grouped([batch, channels, height, width]: [usize; 4], options: &GroupNormOptions) -> [usize; 3] {
    [batch, options.groups, channels / options.groups * height * width]
}

/// A value for each channel, as a map.
fn per_channel<B: Backend>(values: Tensor<B, 1>) -> Tensor<B, 4> {
    let channels = values.dims()[0];
    values.reshape([1, channels, 1, 1])
}

/// The plain form of [`super::HartBackend::group_norm`].
pub(super) fn forward<B: Backend>(
    x: Tensor<B, 4>,
    weight: Tensor<B, 1>,
    bias: Tensor<B, 1>,
    options: &GroupNormOptions,
) -> Tensor<B, 4> {
    let dtype = x.dtype();
    let (normalized, _) = normalize(x, options);
    let x = normalized * per_channel(weight) + per_channel(bias);
    let x = if options.activate { silu(x) } else { x };
    x.cast(dtype)
}

/// The backward pass of [`forward`]: gradients by input, weight and bias. Statistics are computed
/// again, which costs less than keeping them.
pub(super) fn pull_back<B: Backend>(
    gradient: Tensor<B, 4>,
    x: Tensor<B, 4>,
    weight: Tensor<B, 1>,
    bias: Tensor<B, 1>,
    options: &GroupNormOptions,
) -> (Tensor<B, 4>, Tensor<B, 1>, Tensor<B, 1>) {
    let (shape, dtype) = (x.dims(), x.dtype());
    let channels = shape[1];
    let (normalized, deviation) = normalize(x, options);
    let gradient = gradient.cast(DType::F32);
    let weight = per_channel(weight);
    let gradient = if options.activate {
        // SiLU'(u) = σ(u) + u·σ(u)·(1 − σ(u)), where u is the normalised and weighted input.
        let before = normalized.clone() * weight.clone() + per_channel(bias);
        let sigmoid = sigmoid(before.clone());
        gradient * (sigmoid.clone() + before * sigmoid.clone() * (-sigmoid + 1.0))
    } else {
        gradient
    };
    let over_channel = |x: Tensor<B, 4>| x.sum_dim(0).sum_dim(2).sum_dim(3).reshape([channels]);
    let by_bias = over_channel(gradient.clone());
    let by_weight = over_channel(gradient.clone() * normalized.clone());

    let shape3 = grouped(shape, options);
    let gradient = (gradient * weight).reshape(shape3);
    let normalized = normalized.reshape(shape3);
    let along = (gradient.clone() * normalized.clone()).mean_dim(2);
    let by_x = (gradient.clone() - gradient.mean_dim(2) - normalized * along) / deviation;
    (by_x.reshape(shape).cast(dtype), by_weight, by_bias)
}
