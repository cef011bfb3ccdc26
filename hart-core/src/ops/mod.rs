//! The operations a backend may speed up, with defaults made of plain burn operations.

mod angles;
mod attention;
mod backends;
mod convolution;
#[cfg(feature = "cube")]
mod cube;
#[cfg(feature = "flex")]
mod flex;
mod group_norm;
#[cfg(feature = "tch")]
mod libtorch;
mod parts;
mod plain;
mod prepared;
mod pullback;
pub mod sampling;
mod tensors;

use burn::nn::GroupNorm;
use burn::tensor::{Tensor, backend::Backend, module};

use crate::{Error, Precision, Result, ScaleSchedule};

pub use angles::Angles;
pub use convolution::ConvolutionOptions;
pub use group_norm::GroupNormOptions;
pub use parts::in_parts;
pub use prepared::Prepared;
pub use pullback::Pullback;
use sampling::{SmoothNoise, TokenSampling, TokensThere};
pub use tensors::{
    are_all, pick_rows, softmax_f32, swap_neighbours, swap_neighbours_apart, unit_length,
};

/// What is done to the projection of a block on its way to queries, keys and values (section 4.2).
#[derive(Debug, Clone)]
pub struct Projection<B: Backend> {
    /// Heads the width is divided into.
    pub heads: usize,
    /// Added to queries, `[C]`.
    pub query_bias: Tensor<B, 1>,
    /// Added to values, `[C]`; keys have no bias.
    pub value_bias: Tensor<B, 1>,
    /// When queries and keys are brought to length one: the factor of queries, `[1, heads, 1, 1]`.
    pub query_scale: Option<Tensor<B, 4>>,
    /// The rotation of queries and keys.
    pub angles: Angles<B>,
}

/// A burn backend, with the operations of HART that deserve a kernel of their own.
///
/// Every method has a default in plain burn; a backend overrides what pays. Statistics (norms,
/// softmax) are always taken in 32 bits, results have the type of the first argument.
pub trait HartBackend: Backend {
    /// Whether [`Self::prepare_linear`] rounds to [`Precision::Int8`].
    const MULTIPLIES_INT8: bool = false;

    /// Whether prepared layers give 32-bit floats whatever type their weights are kept in.
    const PREPARED_COMPUTE_F32: bool = false;

    /// Whether [`Self::attend_repeated`] takes keys and values in 16 bits with queries in 32, and
    /// [`Self::write_rows`] rows in 32 bits into a buffer of 16: prepared models in a lower precision than
    /// [`Precision::F32`] keep them so then.
    const ATTENDS_TO_F16: bool = false;

    /// Whether the halves of guidance attend in one operation, for which identical keys are written out:
    /// fewer and larger operations suit a GPU, fewer keys a processor.
    const ATTENDS_TOGETHER: bool = false;

    /// Checks that this backend computes in `precision` on `device`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not.
    fn check_precision(precision: Precision, device: &Self::Device) -> Result<()> {
        let supported = match precision {
            Precision::Int8 => Self::MULTIPLIES_INT8,
            _ => Self::supports_dtype(device, precision.dtype()),
        };
        if supported {
            return Ok(());
        }
        let found = format!("{} on the {} backend", precision.name(), Self::name(device));
        Err(Error::invalid("the precision", found, "one that the device computes in, such as f32"))
    }

    /// How many tokens of each image a chain of layers takes at a time where tokens do not depend on
    /// each other ([`in_parts`]); `None` for all at once. The intermediate results of a few hundred
    /// tokens stay in a processor's cache; for thousands the system has to find new memory every
    /// time.
    const TOKENS_AT_ONCE: Option<usize> = None;

    /// `softmax(q·kᵀ·scale + bias)·v`. Shapes: `q` `[batch, heads, queries, width]`, `k` and `v`
    /// `[batch, heads, keys, width]`, `bias` broadcastable to `[batch, heads, queries, keys]`.
    fn attend(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        bias: Option<Tensor<Self, 4>>,
        scale: f64,
    ) -> Tensor<Self, 4> {
        attention::in_blocks(q, k, v, bias, scale)
    }

    /// [`Self::attend`] when the first key, with its value, stands for `copies` identical ones.
    fn attend_repeated(
        q: Tensor<Self, 4>,
        k: Tensor<Self, 4>,
        v: Tensor<Self, 4>,
        copies: usize,
        scale: f64,
    ) -> Tensor<Self, 4> {
        plain::attend_repeated(q, k, v, copies, scale)
    }

    /// The projection `[batch, tokens, 3·C]` of a block as queries, keys and values, `[batch, heads,
    /// tokens, C / heads]` each: biases added, queries and keys brought to their length and rotated,
    /// in 32 bits.
    fn split_heads(qkv: Tensor<Self, 3>, projection: &Projection<Self>) -> [Tensor<Self, 4>; 3] {
        plain::split_heads(qkv, projection)
    }

    /// `x / sqrt(mean(x²) + ε) · weight` over the last axis of `[batch, tokens, width]`.
    ///
    /// The normalised value is rounded to the type of `x` before it is multiplied by the weight, as
    /// in the reference.
    fn rms_norm(x: Tensor<Self, 3>, weight: Tensor<Self, 1>, epsilon: f64) -> Tensor<Self, 3> {
        plain::rms_norm(x, weight, epsilon)
    }

    /// `rms_norm(x) · (1 + scale) + shift`, `scale` and `shift` broadcastable to `x`.
    fn modulated_rms_norm(
        x: Tensor<Self, 3>,
        weight: Tensor<Self, 1>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        plain::modulated_rms_norm(x, weight, scale, shift, epsilon)
    }

    /// `norm(x) · (1 + scale) + shift`, where `norm` brings every row to mean 0 and variance 1 and
    /// then multiplies by a weight and adds a bias `[width]`, if there are any; `scale` and `shift`
    /// broadcastable to `x`.
    fn modulated_layer_norm(
        x: Tensor<Self, 3>,
        weights: Option<[Tensor<Self, 1>; 2]>,
        scale: Tensor<Self, 3>,
        shift: Tensor<Self, 3>,
        epsilon: f64,
    ) -> Tensor<Self, 3> {
        plain::modulated_layer_norm(x, weights, scale, shift, epsilon)
    }

    /// `x + y · gate`, `gate` `[batch or 1, tokens or 1, C]`.
    fn add_gated(x: Tensor<Self, 3>, y: Tensor<Self, 3>, gate: Tensor<Self, 3>) -> Tensor<Self, 3> {
        plain::add_gated(x, y, gate)
    }

    /// `SiLU(gate) · up`.
    fn gated_silu(gate: Tensor<Self, 3>, up: Tensor<Self, 3>) -> Tensor<Self, 3> {
        plain::gated_silu(gate, up)
    }

    /// The tanh form of GELU.
    fn gelu_tanh(x: Tensor<Self, 3>) -> Tensor<Self, 3> {
        plain::gelu_tanh(x)
    }

    /// `x / (1 + e⁻ˣ)`.
    fn silu<const D: usize>(x: Tensor<Self, D>) -> Tensor<Self, D> {
        plain::silu(x)
    }

    /// The rotation `x·cos + rotate_half(x)·sin`, where `rotate_half` maps the halves (a, b) of the
    /// last axis to (-b, a). `x` is `[batch, heads, tokens, width]`, `cos` and `sin`
    /// `[batch or 1, 1, tokens, width]`; computed in 32 bits.
    fn rotate(x: Tensor<Self, 4>, cos: Tensor<Self, 4>, sin: Tensor<Self, 4>) -> Tensor<Self, 4> {
        plain::rotate(x, cos, sin)
    }

    /// `buffer` `[batch, heads, capacity, width]` with the rows `first ..` of every head replaced by
    /// those of `rows` `[batch, heads, tokens, width]`; in place where nobody else holds it.
    fn write_rows(buffer: Tensor<Self, 4>, first: usize, rows: Tensor<Self, 4>) -> Tensor<Self, 4> {
        plain::write_rows(buffer, first, rows)
    }

    /// The noise of smooth sampling for all positions of all `scales`, one row a seed and `entries`
    /// values a token, where [`Self::sample_tokens`] takes it made at once instead of making it scale
    /// by scale.
    fn smooth_noise(
        _seeds: &[u64],
        _scales: &ScaleSchedule,
        _entries: usize,
        _device: &Self::Device,
    ) -> Option<SmoothNoise<Self>> {
        None
    }

    /// Tokens of `logits` `[batch, tokens, V]` in 32 bits, sampled on the device: nothing is waited for
    /// or brought to the host. `None` where the backend has no such form; they are sampled on the host
    /// then.
    fn sample_tokens(
        _logits: &Tensor<Self, 3>,
        _sampling: &TokenSampling<'_, Self>,
    ) -> Option<TokensThere<Self>> {
        None
    }

    /// `x · weight + bias` with `x` `[…, in]`, `weight` `[in, out]`, `bias` `[out]`.
    fn affine<const D: usize>(
        x: Tensor<Self, D>,
        weight: Tensor<Self, 2>,
        bias: Option<Tensor<Self, 1>>,
    ) -> Tensor<Self, D> {
        module::linear(x, weight, bias)
    }

    /// The weights `[in, out]` and the bias `[out]` of a linear layer in the form this backend
    /// multiplies fastest, `None` if it has none; `precision` is what the weights may be rounded to.
    fn prepare_linear(
        _weight: Tensor<Self, 2>,
        _bias: Option<Tensor<Self, 1>>,
        _precision: Precision,
    ) -> Option<Prepared> {
        None
    }

    /// [`Self::affine`] with what [`Self::prepare_linear`] gave.
    ///
    /// # Panics
    /// When another backend prepared the layer.
    fn prepared_linear<const D: usize>(_layer: &Prepared, _x: Tensor<Self, D>) -> Tensor<Self, D> {
        unreachable!("this backend prepares no linear layers")
    }

    /// The weights `[out, in, kernel, kernel]` and the bias `[out]` of a convolution in the form
    /// this backend computes fastest, `None` if it has none.
    fn prepare_convolution(
        _weight: Tensor<Self, 4>,
        _bias: Tensor<Self, 1>,
        _options: &ConvolutionOptions,
        _precision: Precision,
    ) -> Option<Prepared> {
        None
    }

    /// [`Self::convolution`] with what [`Self::prepare_convolution`] gave.
    ///
    /// # Panics
    /// When another backend prepared the layer.
    fn prepared_convolution(_layer: &Prepared, _x: Tensor<Self, 4>) -> Tensor<Self, 4> {
        unreachable!("this backend prepares no convolutions")
    }

    /// GroupNorm over `[batch, channels, height, width]`, weighted by channel.
    fn group_norm(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> Tensor<Self, 4> {
        group_norm::forward(x, weight, bias, options)
    }

    /// [`Self::group_norm`] with its backward pass.
    fn group_norm_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 1>,
        bias: Tensor<Self, 1>,
        options: &GroupNormOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 1>) {
        let options = *options;
        let result = Self::group_norm(x.clone(), weight.clone(), bias.clone(), &options);
        let pullback = move |gradient| group_norm::pull_back(gradient, x, weight, bias, &options);
        (result, Pullback::new(pullback))
    }

    /// Convolution of `[batch, in, height, width]` with `weight` `[out, in, kernel, kernel]` and
    /// `bias` `[out]`.
    fn convolution(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> Tensor<Self, 4> {
        convolution::forward(x, weight, bias, options)
    }

    /// [`Self::convolution`] with its backward pass.
    fn convolution_with_pullback(
        x: Tensor<Self, 4>,
        weight: Tensor<Self, 4>,
        bias: Tensor<Self, 1>,
        options: &ConvolutionOptions,
    ) -> (Tensor<Self, 4>, Pullback<Self, 4>) {
        let options = *options;
        let result = Self::convolution(x.clone(), weight.clone(), bias.clone(), &options);
        let pullback = move |gradient| convolution::pull_back(gradient, x, weight, bias, &options);
        (result, Pullback::new(pullback))
    }
}

/// Applies a GroupNorm with learned weights, then SiLU when `activate`.
pub fn group_norm<B: HartBackend>(
    layer: &GroupNorm<B>,
    x: Tensor<B, 4>,
    activate: bool,
) -> Tensor<B, 4> {
    let (Some(weight), Some(bias)) = (&layer.gamma, &layer.beta) else {
        panic!("every GroupNorm of the model has learned weights");
    };
    let options = GroupNormOptions { groups: layer.num_groups, epsilon: layer.epsilon, activate };
    B::group_norm(x, weight.val(), bias.val(), &options)
}
