//! Self-attention over all tokens so far (section 4.2).

use burn::module::{Module, Param};
use burn::nn::Initializer;
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::nn::{Linear, Prepare};
use hart_core::ops::{Angles, Projection, swap_neighbours};
use hart_core::{HartBackend, Precision};

use crate::cache::{Keep, LayerCache};
use crate::config::TransformerConfig;

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
    /// Whether keys and values are kept in 16 bits.
    keeps_f16: bool,
}

impl<B: Backend> Attention<B> {
    /// Layers of the configured sizes.
    pub fn init(config: &TransformerConfig, device: &B::Device) -> Self {
        let (width, heads) = (config.width, config.heads);
        let log_scale = Initializer::Constant { value: 4.0f64.ln() };
        Self {
            qkv: Linear::without_bias(width, 3 * width, device),
            q_bias: Initializer::Zeros.init([width], device),
            v_bias: Initializer::Zeros.init([width], device),
            log_scale: config
                .normalized_attention
                .then(|| log_scale.init([1, heads, 1, 1], device)),
            output: Linear::init(width, width, device),
            heads,
            keeps_f16: false,
        }
    }
}

impl<B: HartBackend> Attention<B> {
    /// `x` `[rows, tokens, C]` attends to everything in the caches and to itself, unmasked: padded
    /// context tokens are attended to as well. Every cache is that of as many rows, in order.
    pub fn forward(
        &self,
        x: Tensor<B, 3>,
        angles: &Angles<B>,
        caches: &mut [LayerCache<B>],
        keep: Keep,
    ) -> Tensor<B, 3> {
        let each = x.dims()[0] / caches.len();
        let projected = self.project(x, angles);
        if let [cache] = caches {
            let [q, k, v] = projected;
            let (k, v) = cache.extend(k, v, keep);
            let scale = self.scale(&q);
            return self.join(B::attend_repeated(q, k, v, cache.copies(), scale));
        }
        let parts = caches.iter_mut().enumerate().map(|(i, cache)| {
            let [q, k, v] = projected.clone().map(|part| part.narrow(0, i * each, each));
            let (k, v) = cache.extend(k, v, keep);
            let scale = self.scale(&q);
            B::attend_repeated(q, k, v, cache.copies(), scale)
        });
        self.join(Tensor::cat(parts.collect(), 0))
    }

    /// The type that a cache of its keys and values is kept in, if it is not theirs: 16 bits where the
    /// weights have no more. The caches of the release at 1024 pixels are larger than its weights in 16
    /// bits.
    pub fn cache_type(&self) -> Option<DType> {
        self.keeps_f16.then_some(DType::F16)
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
        let scale = self.scale(&q);
        self.join(B::attend(q, k, v, mask, scale))
    }

    /// Rotated queries and keys, and values, `[batch, heads, tokens, head width]` each.
    fn project(&self, x: Tensor<B, 3>, angles: &Angles<B>) -> [Tensor<B, 4>; 3] {
        let scale = |log: &Param<Tensor<B, 4>>| log.val().clamp_max(MAX_SCALE.ln()).exp();
        let projection = Projection {
            heads: self.heads,
            query_bias: self.q_bias.val(),
            value_bias: self.v_bias.val(),
            query_scale: self.log_scale.as_ref().map(scale),
            angles: angles.clone(),
        };
        B::split_heads(self.qkv.forward(x), &projection)
    }

    /// Factor of the product of a query and a key, for queries `[…, head width]`.
    fn scale(&self, q: &Tensor<B, 4>) -> f64 {
        match &self.log_scale {
            Some(_) => 1.0,
            None => 0.25 / (q.dims()[3] as f64).sqrt(),
        }
    }

    /// The values of all heads `[rows, heads, tokens, head width]` as the result `[rows, tokens, C]`.
    fn join(&self, attended: Tensor<B, 4>) -> Tensor<B, 3> {
        let [rows, heads, tokens, head_width] = attended.dims();
        let attended = swap_neighbours(attended, 1);
        self.output.forward(attended.reshape([rows, tokens, heads * head_width]))
    }
}

impl<B: HartBackend> Prepare for Attention<B> {
    fn prepare(&mut self, precision: Precision) {
        self.qkv.prepare(precision);
        self.output.prepare(precision);
        self.keeps_f16 = B::ATTENDS_TO_F16 && precision != Precision::F32;
    }
}
