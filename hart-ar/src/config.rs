//! `llm/config.json`: the transformer's part of it. The residual diffusion head reads its own keys.

use std::path::Path;

use hart_core::config::ConfigReader;
use hart_core::{Result, ScaleSchedule};

/// The feed-forward part of a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum MlpKind {
    /// `down(SiLU(gate x) · up x)`, no biases (`mlp_type` "llama").
    GatedSilu,
    /// Linear, tanh-GELU, linear, with biases (`mlp_type` "gpt2").
    Gelu,
}

/// How a block is modulated by the prompt.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum ModulationKind {
    /// A learned table plus the masked mean of the context (`disable_aln`, `shared_aln`).
    Shared,
    /// A linear layer of its own on the pooled context (`disable_aln` false).
    PerBlock(PoolingKind),
    /// None (`disable_aln` true, `shared_aln` false).
    None,
}

/// How the context is pooled for per-block modulation (`sep_aln_pooling_mode`).
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum PoolingKind {
    /// The largest value over all context tokens, pads included.
    Max,
    /// The mean over the valid context tokens.
    MaskedMean,
}

/// How a token learns which scale it belongs to.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub enum LevelEmbeddingKind {
    /// A sinusoid of the scale index through a small network (`use_timestep_embed`).
    Sinusoidal,
    /// A table with a row a scale.
    Table,
}

/// The configuration of the transformer, read from `llm/config.json`.
///
/// Field names are the field's standard terms; each says which key of the file it comes from.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct TransformerConfig {
    /// Text tokens a prompt is padded or cut to, T (`context_token`).
    pub context_tokens: usize,
    /// Width of the text encoder's hidden states (`context_dim`).
    pub context_width: usize,
    /// Number of blocks (`depth`).
    pub depth: usize,
    /// Width of the transformer, C (`embed_dim`).
    pub width: usize,
    /// Attention heads (`num_heads`).
    pub heads: usize,
    /// Hidden width of the feed-forward part over C (`mlp_ratio`).
    pub mlp_ratio: f64,
    /// The feed-forward part (`mlp_type`).
    pub mlp: MlpKind,
    /// Added to the mean square in RMSNorm (`norm_eps`).
    pub norm_epsilon: f64,
    /// How blocks are modulated (`disable_aln`, `shared_aln`, `sep_aln_pooling_mode`).
    pub modulation: ModulationKind,
    /// Whether queries and keys are normalised with a learned scale (`attn_l2_norm`).
    pub normalized_attention: bool,
    /// The level embedding (`use_timestep_embed`).
    pub level_embedding: LevelEmbeddingKind,
    /// Whether the context passes an RMSNorm first (`use_context_norm`).
    pub context_norm: bool,
    /// The maps of the scales (`patch_nums`).
    pub scales: ScaleSchedule,
    /// Share of the samples trained without their prompt (`cond_drop_rate`).
    pub condition_drop_rate: f64,
    /// Dropout of the projections (`drop_rate`), used in training.
    pub dropout: f64,
    /// Dropout of the attention weights (`attn_drop_rate`), used in training.
    pub attention_dropout: f64,
    /// Stochastic depth (`drop_path_rate`), used in training.
    pub drop_path_rate: f64,
}

/// The widest layer accepted.
const MAX_WIDTH: usize = 1 << 16;

impl TransformerConfig {
    /// Reads `llm/config.json`.
    ///
    /// # Errors
    /// [`hart_core::Error::Io`], [`hart_core::Error::Malformed`] or [`hart_core::Error::Config`], each naming the file, and the last
    /// the key, what was found and what is supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(&ConfigReader::open(path)?)
    }

    /// Reads the keys of an open configuration; errors as for [`Self::open`].
    pub fn read(file: &ConfigReader) -> Result<Self> {
        refuse_unsupported(file)?;
        let config = Self {
            context_tokens: file.integer("context_token", 77, 1..=1 << 16)?,
            context_width: file.integer("context_dim", 768, 1..=MAX_WIDTH)?,
            depth: file.integer("depth", 16, 1..=1024)?,
            width: file.integer("embed_dim", 1024, 4..=MAX_WIDTH)?,
            heads: file.integer("num_heads", 16, 1..=1024)?,
            mlp_ratio: file.number("mlp_ratio", 4.0, 0.01..=64.0)?,
            mlp: file.choice(
                "mlp_type",
                "gpt2",
                &[("llama", MlpKind::GatedSilu), ("gpt2", MlpKind::Gelu)],
            )?,
            norm_epsilon: file.number("norm_eps", 1e-6, 0.0..=1.0)?,
            modulation: modulation(file)?,
            normalized_attention: file.flag("attn_l2_norm", false)?,
            level_embedding: if file.flag("use_timestep_embed", false)? {
                LevelEmbeddingKind::Sinusoidal
            } else {
                LevelEmbeddingKind::Table
            },
            context_norm: file.flag("use_context_norm", false)?,
            scales: ScaleSchedule::read(file, "patch_nums")?,
            condition_drop_rate: file.number("cond_drop_rate", 0.1, 0.0..=1.0)?,
            dropout: file.number("drop_rate", 0.0, 0.0..=1.0)?,
            attention_dropout: file.number("attn_drop_rate", 0.0, 0.0..=1.0)?,
            drop_path_rate: file.number("drop_path_rate", 0.0, 0.0..=1.0)?,
        };
        if config.mlp_width() == 0 {
            return Err(file.refuse("mlp_ratio", "one that leaves the feed-forward part a width"));
        }
        if !config.width.is_multiple_of(config.heads) {
            let expected = format!("a divisor of `embed_dim`, which is {}", config.width);
            return Err(file.refuse("num_heads", expected));
        }
        if !config.head_width().is_multiple_of(4) {
            let expected = "a count that leaves each head a width divisible by 4, for the rotary \
                            embedding of rows and columns";
            return Err(file.refuse("num_heads", expected));
        }
        Ok(config)
    }

    /// Width of one attention head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }

    /// Hidden width of the feed-forward part (section 4.2).
    pub fn mlp_width(&self) -> usize {
        let width = self.width as f64 * self.mlp_ratio;
        match self.mlp {
            MlpKind::GatedSilu => ((2.0 * width / 3.0) as usize).div_ceil(256) * 256,
            MlpKind::Gelu => width as usize,
        }
    }
}

/// The options of the official code that never ran there, and those that no release uses.
fn refuse_unsupported(file: &ConfigReader) -> Result<()> {
    file.choice("model_type", "hart_transformer_t2i", &[("hart_transformer_t2i", ())])?;
    // The official default, "gpt2", fails in the official code: a file that is silent is refused too.
    file.choice("attn_type", "gpt2", &[("llama", ())])?;
    if file.flag("use_cross_attn", false)? {
        return Err(file.refuse("use_cross_attn", "false: cross attention is not supported"));
    }
    Ok(())
}

fn modulation(file: &ConfigReader) -> Result<ModulationKind> {
    let pooling = file.choice(
        "sep_aln_pooling_mode",
        "max",
        &[("max", PoolingKind::Max), ("avg", PoolingKind::MaskedMean)],
    )?;
    let shared = file.flag("shared_aln", false)?;
    Ok(match (file.flag("disable_aln", false)?, shared) {
        (false, _) => ModulationKind::PerBlock(pooling),
        (true, true) => ModulationKind::Shared,
        (true, false) => ModulationKind::None,
    })
}
