//! Qwen2: a causal transformer with grouped keys and values.

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use hart_core::checkpoint::{Checkpoint, LoadOptions, check, load_part, load_parts};
use hart_core::initialize::{Start, initialize};
use hart_core::nn::{Linear, Prepare, RmsNorm, RmsNormConfig, context_angles};
use hart_core::ops::{Angles, swap_neighbours};
use hart_core::tap::Tap;
use hart_core::transfer::upload;
use hart_core::{HartBackend, Precision, Result};

use super::config::TextEncoderConfig;
use super::names::NAMES;

/// Added to the score of a masked pair. Finite, so that a token that may attend to nothing gives a
/// mean instead of NaN, and within the range of half precision.
const MASKED: f32 = -30_000.0;

/// The text model, up to its final norm.
#[derive(Module, Debug)]
pub struct Qwen2<B: Backend> {
    embedding: Embedding<B>,
    layers: Vec<Layer<B>>,
    norm: RmsNorm<B>,
    head_width: usize,
    rotary_base: f64,
    /// Whether the layers take and give 32 bits whatever the embedding has.
    computes_f32: bool,
}

/// Attention and feed-forward part, each normalised before and added to its input.
#[derive(Module, Debug)]
pub struct Layer<B: Backend> {
    attention_norm: RmsNorm<B>,
    attention: GroupedAttention<B>,
    mlp_norm: RmsNorm<B>,
    gate: Linear<B>,
    up: Linear<B>,
    down: Linear<B>,
}

/// Attention in which several query heads share a head of keys and values.
#[derive(Module, Debug)]
pub struct GroupedAttention<B: Backend> {
    q: Linear<B>,
    k: Linear<B>,
    v: Linear<B>,
    output: Linear<B>,
    head_width: usize,
}

/// The keys and values of tokens that come before every prompt, computed once; for each layer
/// `[1, key/value heads, tokens, head width]`.
#[derive(Debug, Clone)]
pub struct Prefix<B: Backend> {
    layers: Vec<[Tensor<B, 4>; 2]>,
    length: usize,
}

impl<B: Backend> Qwen2<B> {
    /// A model of the configured sizes; no weight is made before it is used.
    pub fn init(config: &TextEncoderConfig, device: &B::Device) -> Self {
        let norm = RmsNormConfig::new(config.width).with_epsilon(config.norm_epsilon);
        let layer = |_| {
            let plain = |input, output| Linear::without_bias(input, output, device);
            Layer {
                attention_norm: norm.init(device),
                attention: GroupedAttention::init(config, device),
                mlp_norm: norm.init(device),
                gate: plain(config.width, config.mlp_width),
                up: plain(config.width, config.mlp_width),
                down: plain(config.mlp_width, config.width),
            }
        };
        Self {
            embedding: EmbeddingConfig::new(config.vocabulary, config.width).init(device),
            layers: (0..config.depth).map(layer).collect(),
            norm: norm.init(device),
            head_width: config.head_width,
            rotary_base: config.rotary_base,
            computes_f32: false,
        }
    }
}

impl<B: Backend> Qwen2<B> {
    /// The same model with fresh weights that follow from a seed: matrices normal with deviation
    /// 0.02, biases zero.
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) when the model is prepared.
    pub fn initialize(self, seed: u64) -> Result<Self> {
        initialize(self, seed, &|path, shape| match shape.len() {
            2 => Start::Normal(0.02),
            _ if path.ends_with("bias") => Start::Constant(0.0),
            _ => Start::AsMade,
        })
    }
}

#[cfg(feature = "train")]
impl<B: Backend> Qwen2<B> {
    /// The same model with a further token for each pair of tokens, in between the two.
    pub(crate) fn with_tokens(mut self, pairs: &[[usize; 2]]) -> Self {
        let rows = self.embedding.weight.val();
        let (device, [_, width]) = (rows.device(), rows.dims());
        let mut values: Vec<f32> = rows.into_data().iter::<f32>().collect();
        for [one, other] in pairs {
            let between = |i: usize| (values[one * width + i] + values[other * width + i]) / 2.0;
            let row: Vec<f32> = (0..width).map(between).collect();
            values.extend(row);
        }
        let shape = [values.len() / width, width];
        let rows = Tensor::from_data(TensorData::new(values, shape), &device);
        self.embedding.weight = burn::module::Param::from_tensor(rows);
        self
    }
}

impl<B: Backend> GroupedAttention<B> {
    fn init(config: &TextEncoderConfig, device: &B::Device) -> Self {
        let joined = config.heads * config.head_width;
        let shared = config.key_value_heads * config.head_width;
        Self {
            q: Linear::init(config.width, joined, device),
            k: Linear::init(config.width, shared, device),
            v: Linear::init(config.width, shared, device),
            output: Linear::without_bias(joined, config.width, device),
            head_width: config.head_width,
        }
    }
}

impl<B: HartBackend> Qwen2<B> {
    /// Rows of the token embedding: ids are below it.
    pub fn vocabulary(&self) -> usize {
        self.embedding.weight.lazy_shape().dims::<2>()[0]
    }

    /// Width of the hidden states.
    pub fn width(&self) -> usize {
        self.embedding.weight.lazy_shape().dims::<2>()[1]
    }

    /// The same model with the weights of a checkpoint.
    ///
    /// # Errors
    /// [`Error::Weights`](hart_core::Error::Weights) when it does not fit the model.
    pub fn load(mut self, checkpoint: &Checkpoint, options: LoadOptions) -> Result<Self> {
        check(&self, checkpoint, &NAMES)?;
        let layers = std::mem::take(&mut self.layers);
        let layers = load_parts(layers, "layers", checkpoint, &NAMES, options)?;
        let rest = load_part(self, "", checkpoint, &NAMES, options)?;
        let computes_f32 = options.prepare && B::PREPARED_COMPUTE_F32;
        Ok(Self { layers, computes_f32, ..rest })
    }

    /// Hidden states `[batch, tokens, width]` in 32 bits after the final norm.
    ///
    /// `tokens` holds the same number of ids for each prompt, `mask` which of them may be attended
    /// to.
    /// Positions count from the beginning of the prefix, pads included.
    ///
    /// # Panics
    /// Without prompts, when they have different lengths, or for an id outside the vocabulary.
    pub fn forward(
        &self,
        tokens: &[Vec<u32>],
        mask: &[Vec<bool>],
        prefix: Option<&Prefix<B>>,
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        let x = self.run(tokens, mask, prefix, &mut drop, tap);
        tap.record("unnormalized", &|| x.to_data());
        let x = self.norm.forward(x);
        tap.record("hidden", &|| x.to_data());
        x.cast(DType::F32)
    }

    /// The keys and values of tokens that come before every prompt.
    pub fn prefix(&self, tokens: &[u32]) -> Prefix<B> {
        let mask = vec![vec![true; tokens.len()]];
        let mut layers = vec![];
        self.run(&[tokens.to_vec()], &mask, None, &mut |layer| layers.push(layer), &mut ());
        Prefix { layers, length: tokens.len() }
    }

    /// The last layer's output; `keep` is given every layer's keys and values.
    fn run(
        &self,
        tokens: &[Vec<u32>],
        mask: &[Vec<bool>],
        prefix: Option<&Prefix<B>>,
        keep: &mut dyn FnMut([Tensor<B, 4>; 2]),
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        let device = self.embedding.weight.device();
        let (batch, length) = (tokens.len(), tokens[0].len());
        let ids: Vec<i64> = tokens.iter().flatten().map(|&id| i64::from(id)).collect();
        let ids = TensorData::new(ids, [batch * length]);
        let ids: Tensor<B, 1, Int> = upload(ids, &device);
        let rows = self.embedding.weight.val().select(0, ids);
        let width = rows.dims()[1];
        let rows = if self.computes_f32 { rows.cast(DType::F32) } else { rows };
        let mut x = rows.reshape([batch, length, width]);

        let before = prefix.map_or(0, |prefix| prefix.length);
        let positions: Vec<i64> = (before..before + length).map(|p| p as i64).collect();
        let angles = context_angles(&positions, self.head_width, self.rotary_base);
        let angles = Angles::new(&angles, [1, length, self.head_width], &device);
        let bias = causal_bias(mask, before, &device).cast(x.dtype());

        for (i, layer) in self.layers.iter().enumerate() {
            tap.record(&format!("layer.{i}.input"), &|| x.to_data());
            let earlier = prefix.map(|prefix| &prefix.layers[i]);
            let (next, keys_and_values) = layer.forward(x, &angles, &bias, earlier);
            x = next;
            keep(keys_and_values);
        }
        x
    }
}

impl<B: HartBackend> Layer<B> {
    fn forward(
        &self,
        x: Tensor<B, 3>,
        angles: &Angles<B>,
        bias: &Tensor<B, 4>,
        earlier: Option<&[Tensor<B, 4>; 2]>,
    ) -> (Tensor<B, 3>, [Tensor<B, 4>; 2]) {
        let normalized = self.attention_norm.forward(x.clone());
        let (attended, own) = self.attention.forward(normalized, angles, bias, earlier);
        let x = x + attended;
        let normalized = self.mlp_norm.forward(x.clone());
        let gated =
            B::gated_silu(self.gate.forward(normalized.clone()), self.up.forward(normalized));
        (x + self.down.forward(gated), own)
    }
}

impl<B: HartBackend> GroupedAttention<B> {
    /// Attends to `earlier` keys and values and to `x` itself; returns those of `x` too.
    fn forward(
        &self,
        x: Tensor<B, 3>,
        angles: &Angles<B>,
        bias: &Tensor<B, 4>,
        earlier: Option<&[Tensor<B, 4>; 2]>,
    ) -> (Tensor<B, 3>, [Tensor<B, 4>; 2]) {
        let [batch, length, _] = x.dims();
        let split = |x: Tensor<B, 3>| {
            let heads = x.dims()[2] / self.head_width;
            swap_neighbours(x.reshape([batch, length, heads, self.head_width]), 1)
        };
        let rotate = |x| B::rotate(x, angles.cos.clone(), angles.sin.clone());
        let q = rotate(split(self.q.forward(x.clone())));
        let k = rotate(split(self.k.forward(x.clone())));
        let v = split(self.v.forward(x));
        let heads = q.dims()[1];
        let all = |own: &Tensor<B, 4>, i: usize| {
            let joined = match earlier {
                Some(earlier) => {
                    let before = earlier[i].clone().repeat_dim(0, batch);
                    Tensor::cat(vec![before, own.clone()], 2)
                }
                None => own.clone(),
            };
            share(joined, heads)
        };
        let scale = (self.head_width as f64).powf(-0.5);
        let attended = B::attend(q, all(&k, 0), all(&v, 1), Some(bias.clone()), scale);
        let attended =
            swap_neighbours(attended, 1).reshape([batch, length, heads * self.head_width]);
        (self.output.forward(attended), [k, v])
    }
}

impl<B: HartBackend> Prepare for Qwen2<B> {
    fn prepare(&mut self, precision: Precision) {
        self.layers.prepare(precision);
        self.computes_f32 = B::PREPARED_COMPUTE_F32;
    }
}

impl<B: HartBackend> Prepare for Layer<B> {
    fn prepare(&mut self, precision: Precision) {
        self.attention.prepare(precision);
        self.gate.prepare(precision);
        self.up.prepare(precision);
        self.down.prepare(precision);
    }
}

impl<B: HartBackend> Prepare for GroupedAttention<B> {
    fn prepare(&mut self, precision: Precision) {
        for layer in [&mut self.q, &mut self.k, &mut self.v, &mut self.output] {
            layer.prepare(precision);
        }
    }
}

/// Repeats each of the key/value heads for the query heads that share it.
fn share<B: Backend>(x: Tensor<B, 4>, heads: usize) -> Tensor<B, 4> {
    let [batch, shared, length, width] = x.dims();
    let x: Tensor<B, 5> = x.unsqueeze_dim(2);
    x.repeat_dim(2, heads / shared).reshape([batch, heads, length, width])
}

/// `[batch, 1, tokens, before + tokens]`: 0 where a token may attend, [`MASKED`] where the other
/// one comes later or is padding. Everything in the prefix may be attended to.
fn causal_bias<B: Backend>(mask: &[Vec<bool>], before: usize, device: &B::Device) -> Tensor<B, 4> {
    let (batch, length) = (mask.len(), mask[0].len());
    let mut values = Vec::with_capacity(batch * length * (before + length));
    for valid in mask {
        for query in 0..length {
            values.extend(std::iter::repeat_n(0.0, before));
            let visible = valid.iter().enumerate().map(|(key, &valid)| key <= query && valid);
            values.extend(visible.map(|visible| if visible { 0.0 } else { MASKED }));
        }
    }
    let data = TensorData::new(values, [batch, 1, length, before + length]);
    upload(data, (device, DType::F32))
}
