//! Self-attention over all tokens so far (section 4.2).

use burn::module::{Module, Param};
use burn::nn::{Initializer, Linear, LinearConfig};
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::HartBackend;
use hart_core::config::TransformerConfig;
use hart_core::nn::Angles;
use hart_core::ops::{linear, swap_neighbours, unit_length};

use crate::cache::{Keep, LayerCache};

/// The largest factor of normalised queries.
const MAX_SCALE: f64 = 100.0;

/// Attention with rotary positions and, in the release, normalised queries and keys.
#[derive(Module, Debug)]
pub struct Attention<B: Backend> {
    /// To queries, keys and values; of their biases keys have none.
    qkv: Linear<B>,
    q_bias: Param<Tensor<B, 1>>,
    v_bias: Param<Tensor<B, 1>>,
    /// Logarithm of the factor of normalised queries, `[1, heads, 1, 1]`.
    pub log_scale: Option<Param<Tensor<B, 4>>>,
    output: Linear<B>,
    heads: usize,
}

impl<B: Backend> Attention<B> {
    /// Layers of the configured sizes.
    pub fn init(config: &TransformerConfig, device: &B::Device) -> Self {
        let (width, heads) = (config.width, config.heads);
        let log_scale = Initializer::Constant { value: 4.0f64.ln() };
        Self {
            qkv: LinearConfig::new(width, 3 * width).with_bias(false).init(device),
            q_bias: Initializer::Zeros.init([width], device),
            v_bias: Initializer::Zeros.init([width], device),
            log_scale: config
                .normalized_attention
                .then(|| log_scale.init([1, heads, 1, 1], device)),
            output: LinearConfig::new(width, width).init(device),
            heads,
        }
    }
}

impl<B: HartBackend> Attention<B> {
    /// `x` `[batch, tokens, C]` attends to everything in `cache` and to itself, unmasked: padded
    /// context tokens are attended to as well.
    pub fn forward(
        &self,
        x: Tensor<B, 3>,
        angles: &Angles<B>,
        cache: &mut LayerCache<B>,
        keep: Keep,
    ) -> Tensor<B, 3> {
        let [q, k, v] = self.project(x, angles);
        let (k, v) = cache.extend(k, v, keep);
        self.attend(q, k, v, None)
    }

    /// `x` attends to itself under an additive mask broadcastable to `[batch, heads, tokens,
    /// tokens]`: all steps of a generation at once.
    pub fn forward_masked(
        &self,
        x: Tensor<B, 3>,
        angles: &Angles<B>,
        mask: Option<Tensor<B, 4>>,
    ) -> Tensor<B, 3> {
        let [q, k, v] = self.project(x, angles);
        self.attend(q, k, v, mask)
    }

    /// Rotated queries and keys, and values, `[batch, heads, tokens, head width]` each.
    fn project(&self, x: Tensor<B, 3>, angles: &Angles<B>) -> [Tensor<B, 4>; 3] {
        let [batch, tokens, width] = x.dims();
        let heads = self.heads;
        let qkv = linear(&self.qkv, x);
        let dtype = qkv.dtype();
        let part = |i: usize, bias: Option<&Param<Tensor<B, 1>>>| {
            let part = qkv.clone().narrow(2, i * width, width);
            let part = match bias {
                Some(bias) => part + bias.val().cast(dtype).unsqueeze(),
                None => part,
            };
            swap_neighbours(part.reshape([batch, tokens, heads, width / heads]), 1)
        };
        let (q, k) = (part(0, Some(&self.q_bias)), part(1, None));
        let (q, k) = match &self.log_scale {
            Some(log_scale) => {
                let scale = log_scale.val().clamp_max(MAX_SCALE.ln()).exp();
                (unit_length(q.cast(DType::F32)) * scale, unit_length(k.cast(DType::F32)))
            }
            None => (q, k),
        };
        let rotate = |x| B::rotate(x, angles.cos.clone(), angles.sin.clone()).cast(dtype);
        [rotate(q), rotate(k), part(2, Some(&self.v_bias))]
    }

    fn attend(
        &self,
        q: Tensor<B, 4>,
        k: Tensor<B, 4>,
        v: Tensor<B, 4>,
        mask: Option<Tensor<B, 4>>,
    ) -> Tensor<B, 3> {
        let [batch, heads, tokens, head_width] = q.dims();
        let scale = match self.log_scale {
            Some(_) => 1.0,
            None => 0.25 / (head_width as f64).sqrt(),
        };
        let attended = swap_neighbours(B::attend(q, k, v, mask, scale), 1);
        linear(&self.output, attended.reshape([batch, tokens, heads * head_width]))
    }
}
