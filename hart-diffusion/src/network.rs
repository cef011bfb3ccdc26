//! The network: a residual MLP modulated by time and condition (section 5).

use burn::module::Module;
use burn::nn::{LayerNorm, LayerNormConfig};
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::initialize::{Start, initialize};
use hart_core::nn::{Linear, Prepare, SinusoidalEmbedding, SinusoidalEmbeddingConfig};
use hart_core::ops::in_parts;
use hart_core::{HartBackend, Precision, Result};

/// Added to the variance in every LayerNorm.
const EPSILON: f64 = 1e-6;

/// The sizes of the network.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct ResidualHeadSize {
    /// Latent channels Z.
    pub channels: usize,
    /// Width of the transformer C, whose output is the condition.
    pub condition_width: usize,
    /// Width of the network.
    pub width: usize,
    /// Residual blocks.
    pub depth: usize,
}

/// Predicts the noise of a token and the variance of the next step.
#[derive(Module, Debug)]
pub struct ResidualNetwork<B: Backend> {
    input: Linear<B>,
    condition: Linear<B>,
    time: SinusoidalEmbedding<B>,
    blocks: Vec<ResidualBlock<B>>,
    modulation: Linear<B>,
    output: Linear<B>,
}

/// `x + gate · MLP(norm(x)·(1 + scale) + shift)`.
#[derive(Module, Debug)]
pub struct ResidualBlock<B: Backend> {
    norm: LayerNorm<B>,
    input: Linear<B>,
    output: Linear<B>,
    /// To shift, scale and gate.
    modulation: Linear<B>,
}

impl<B: Backend> ResidualNetwork<B> {
    /// A network with fresh weights.
    pub fn init(size: &ResidualHeadSize, device: &B::Device) -> Self {
        let ResidualHeadSize { channels, condition_width, width, depth } = *size;
        let layer = |input, output| Linear::init(input, output, device);
        let block = |_| ResidualBlock {
            norm: LayerNormConfig::new(width).with_epsilon(EPSILON).init(device),
            input: layer(width, width),
            output: layer(width, width),
            modulation: layer(width, 3 * width),
        };
        Self {
            input: layer(channels, width),
            condition: layer(condition_width, width),
            time: SinusoidalEmbeddingConfig::new(width).init(device),
            blocks: (0..depth).map(block).collect(),
            modulation: layer(width, 2 * width),
            output: layer(width, 2 * channels),
        }
    }
}

impl<B: Backend> ResidualNetwork<B> {
    /// The same network with fresh weights that follow from a seed: matrices Xavier uniform, those
    /// of the time embedding normal with deviation 0.02, modulations and the last layer zero
    /// (section 6).
    ///
    /// # Errors
    /// [`Error::Invalid`](hart_core::Error::Invalid) when the network is prepared.
    pub fn initialize(self, seed: u64) -> Result<Self> {
        initialize(self, seed, &|path, shape| match shape.len() {
            _ if path.contains("modulation") || path.starts_with("output") => Start::Constant(0.0),
            2 if path.starts_with("time") => Start::Normal(0.02),
            2 => Start::Xavier,
            _ if path.ends_with("bias") => Start::Constant(0.0),
            _ => Start::AsMade,
        })
    }
}

impl<B: HartBackend> ResidualNetwork<B> {
    /// The condition `[batch, tokens, C]` as the network adds it to every time: `[batch, tokens,
    /// width]`. The same for all steps, so it is computed once.
    pub fn embed_condition(&self, condition: Tensor<B, 3>) -> Tensor<B, 3> {
        self.condition.forward(condition)
    }

    /// Noise and variance, `[batch, tokens, Z]` each in 32 bits, of `x` `[batch, tokens, Z]` at the
    /// original times `times`, one for all rows or one a batch row, given the embedded condition.
    pub fn forward(
        &self,
        x: Tensor<B, 3>,
        times: &[f64],
        condition: Tensor<B, 3>,
    ) -> [Tensor<B, 3>; 2] {
        let time = self.time.forward(times, &x.device());
        self.forward_at(x, time.unsqueeze_dim(1), condition)
    }

    /// The same when every token has a time of its own: `times` holds one for each of the tokens of
    /// `x` `[1, tokens, Z]`.
    pub fn forward_each(
        &self,
        x: Tensor<B, 3>,
        times: &[f64],
        condition: Tensor<B, 3>,
    ) -> [Tensor<B, 3>; 2] {
        let time = self.time.forward(times, &x.device());
        self.forward_at(x, time.unsqueeze_dim(0), condition)
    }

    /// `time` is the embedded time, broadcastable to `[batch, tokens, width]`.
    fn forward_at(
        &self,
        x: Tensor<B, 3>,
        time: Tensor<B, 3>,
        condition: Tensor<B, 3>,
    ) -> [Tensor<B, 3>; 2] {
        // The layers of the time may give another type than those that are prepared.
        let time = time.cast(condition.dtype());
        in_parts([x, condition + time], |[x, signal]| self.at_once(x, B::silu(signal)))
    }

    fn at_once(&self, x: Tensor<B, 3>, signal: Tensor<B, 3>) -> [Tensor<B, 3>; 2] {
        let mut x = self.input.forward(x);
        for block in &self.blocks {
            x = block.forward(x, signal.clone());
        }
        let [shift, scale] = split(self.modulation.forward(signal));
        let x = B::modulated_layer_norm(x, None, scale, shift, EPSILON);
        split(self.output.forward(x).cast(DType::F32))
    }
}

impl<B: HartBackend> ResidualBlock<B> {
    fn forward(&self, x: Tensor<B, 3>, signal: Tensor<B, 3>) -> Tensor<B, 3> {
        let [shift, scale, gate] = split(self.modulation.forward(signal));
        let bias = self.norm.beta.as_ref().expect("LayerNorm with a bias, as it is made");
        let weights = [self.norm.gamma.val(), bias.val()];
        let h = B::modulated_layer_norm(x.clone(), Some(weights), scale, shift, EPSILON);
        let h = self.output.forward(B::silu(self.input.forward(h)));
        B::add_gated(x, h, gate)
    }
}

impl<B: HartBackend> Prepare for ResidualNetwork<B> {
    fn prepare(&mut self, precision: Precision) {
        self.input.prepare(precision);
        self.condition.prepare(precision);
        self.blocks.prepare(precision);
        self.modulation.prepare(precision);
        self.output.prepare(precision);
    }
}

impl<B: HartBackend> Prepare for ResidualBlock<B> {
    fn prepare(&mut self, precision: Precision) {
        self.input.prepare(precision);
        self.output.prepare(precision);
        self.modulation.prepare(precision);
    }
}

/// The last axis in equal parts.
fn split<B: Backend, const N: usize>(x: Tensor<B, 3>) -> [Tensor<B, 3>; N] {
    let parts = x.chunk(N, 2);
    parts.try_into().expect("as many parts as were asked for")
}
