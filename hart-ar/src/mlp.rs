//! The feed-forward part of a block (section 4.2).

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::{Tensor, backend::Backend};
use hart_core::HartBackend;
use hart_core::config::{MlpKind, TransformerConfig};
use hart_core::ops::linear;

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
        let plain = |input, output| LinearConfig::new(input, output).with_bias(false).init(device);
        match config.mlp {
            MlpKind::GatedSilu => Self::GatedSilu(GatedSiluMlp {
                gate: plain(width, hidden),
                up: plain(width, hidden),
                down: plain(hidden, width),
            }),
            MlpKind::Gelu => Self::Gelu(GeluMlp {
                input: LinearConfig::new(width, hidden).init(device),
                output: LinearConfig::new(hidden, width).init(device),
            }),
        }
    }
}

impl<B: HartBackend> Mlp<B> {
    /// `[batch, tokens, C]` to the same shape.
    pub fn forward(&self, x: Tensor<B, 3>) -> Tensor<B, 3> {
        match self {
            Self::GatedSilu(mlp) => {
                let gate = linear(&mlp.gate, x.clone());
                linear(&mlp.down, B::gated_silu(gate, linear(&mlp.up, x)))
            }
            Self::Gelu(mlp) => linear(&mlp.output, B::gelu_tanh(linear(&mlp.input, x))),
        }
    }
}
