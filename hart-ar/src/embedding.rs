//! What goes into the first block: text context, image so far, and the level of each scale
//! (section 4.1).

use burn::module::Module;
use burn::nn::{Embedding, EmbeddingConfig};
use burn::tensor::{DType, Int, Tensor, backend::Backend};
use hart_core::nn::{
    Linear, Prepare, RmsNorm, RmsNormConfig, SinusoidalEmbedding, SinusoidalEmbeddingConfig,
};
use hart_core::{HartBackend, Precision};

use crate::config::{LevelEmbeddingKind, TransformerConfig};

/// The text encoder's hidden states, brought to the width of the transformer.
#[derive(Module, Debug)]
pub struct ContextEmbedding<B: Backend> {
    norm: Option<RmsNorm<B>>,
    projection: Linear<B>,
}

impl<B: Backend> ContextEmbedding<B> {
    /// Layers of the configured sizes.
    pub fn init(config: &TransformerConfig, device: &B::Device) -> Self {
        let norm = RmsNormConfig::new(config.context_width).with_epsilon(config.norm_epsilon);
        Self {
            norm: config.context_norm.then(|| norm.init(device)),
            projection: Linear::init(config.context_width, config.width, device),
        }
    }
}

impl<B: HartBackend> ContextEmbedding<B> {
    /// `[batch, T, context width]` to `[batch, T, C]`.
    pub fn forward(&self, context: Tensor<B, 3>) -> Tensor<B, 3> {
        let context = match &self.norm {
            Some(norm) => norm.forward(context),
            None => context,
        };
        self.projection.forward(context)
    }
}

impl<B: HartBackend> Prepare for ContextEmbedding<B> {
    fn prepare(&mut self, precision: Precision) {
        self.projection.prepare(precision);
    }
}

/// Tells tokens of different scales apart. The context is level 0, scale k ≥ 1 level k.
#[derive(Module, Debug)]
#[expect(clippy::large_enum_variant, reason = "there is one in a model")]
pub enum LevelEmbedding<B: Backend> {
    /// A sinusoid of the scale index through a small network.
    Sinusoidal(SinusoidalEmbedding<B>),
    /// A row a scale.
    Table(Embedding<B>),
}

impl<B: Backend> LevelEmbedding<B> {
    /// Layers of the configured sizes.
    pub fn init(config: &TransformerConfig, device: &B::Device) -> Self {
        let (levels, width) = (config.scales.count(), config.width);
        match config.level_embedding {
            LevelEmbeddingKind::Sinusoidal => {
                Self::Sinusoidal(SinusoidalEmbeddingConfig::new(width).init(device))
            }
            LevelEmbeddingKind::Table => {
                Self::Table(EmbeddingConfig::new(levels, width).init(device))
            }
        }
    }
}

impl<B: HartBackend> LevelEmbedding<B> {
    /// The rows of levels `0..levels`, `[levels, C]` in 32 bits.
    pub fn rows(&self, levels: usize, device: &B::Device) -> Tensor<B, 2> {
        let rows = match self {
            Self::Sinusoidal(network) => {
                let indices: Vec<f64> = (0..levels).map(|level| level as f64).collect();
                network.forward(&indices, device)
            }
            Self::Table(table) => {
                let indices = Tensor::<B, 1, Int>::arange(0..levels as i64, device);
                table.weight.val().select(0, indices)
            }
        };
        rows.cast(DType::F32)
    }
}
