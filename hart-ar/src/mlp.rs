//! The feed-forward part of a block (section 4.2).

use burn::module::Module;
use burn::tensor::{Tensor, backend::Backend};
use hart_core::nn::{Linear, Prepare};
use hart_core::ops::in_parts;
use hart_core::{HartBackend, Precision};

use crate::config::{MlpKind, TransformerConfig};

/// Either kind of feed-forward part.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "its size is small beside its weights")]
pub enum Mlp<B: Backend> {
    /// `down(SiLU(gate x) · up x)`.
    GatedSilu(GatedSiluMlp<B>),
    /// Linear, tanh-GELU, linear.
    Gelu(GeluMlp<B>),
}

/// `down(SiLU(gate x) · up x)`, no biases.
#[derive(Module, Debug)]
pub struct GatedSiluMlp<B: Backend> {
    gate: Linear<B>,
    up: Linear<B>,
    down: Linear<B>,
}

/// Linear, tanh-GELU, linear, with biases.
#[derive(Module, Debug)]
pub struct GeluMlp<B: Backend> {
    input: Linear<B>,
    output: Linear<B>,
}

impl<B: Backend> Mlp<B> {
    /// Layers of the configured kind and sizes.
    pub fn init(config: &TransformerConfig, device: &B::Device) -> Self {
        let (width, hidden) = (config.width, config.mlp_width());
        let plain = |input, output| Linear::without_bias(input, output, device);
        match config.mlp {
            MlpKind::GatedSilu => Self::GatedSilu(GatedSiluMlp {
                gate: plain(width, hidden),
                up: plain(width, hidden),
                down: plain(hidden, width),
            }),
            MlpKind::Gelu => Self::Gelu(GeluMlp {
                input: Linear::init(width, hidden, device),
                output: Linear::init(hidden, width, device),
            }),
        }
    }
}

impl<B: HartBackend> Mlp<B> {
    /// `[batch, tokens, C]` to the same shape.
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        let [y] = in_parts([x], |[x]| [self.at_once(x)]);
        y
    }

    fn at_once(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        match self {
            Self::GatedSilu(mlp) => {
                let gate = mlp.gate.forward(x.clone());
                mlp.down.forward(B::gated_silu(gate, mlp.up.forward(x)))
            }
            Self::Gelu(mlp) => mlp.output.forward(B::gelu_tanh(mlp.input.forward(x))),
        }
    }
}

impl<B: HartBackend> Prepare for Mlp<B> {
    fn prepare(&mut self, precision: Precision) {
        match self {
            Self::GatedSilu(mlp) => {
                mlp.gate.prepare(precision);
                mlp.up.prepare(precision);
                mlp.down.prepare(precision);
            }
            Self::Gelu(mlp) => {
                mlp.input.prepare(precision);
                mlp.output.prepare(precision);
            }
        }
    }
}
