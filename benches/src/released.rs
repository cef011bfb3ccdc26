//! Configurations of the released size.

use clap::Args;
use hart_ar::TransformerConfig;
use hart_core::config::ConfigReader;
use hart_core::{Error, Result};
use hart_diffusion::ResidualHeadConfig;
use hart_pipeline::ModelConfig;
use hart_tokenizer::AutoencoderConfig;
use serde::Serialize;

/// `config.json` of the text encoder of the release, Qwen2-VL-1.5B.
pub const TEXT_ENCODER: &str = r#"{"model_type": "qwen2_vl", "hidden_size": 1536,
    "intermediate_size": 8960, "num_hidden_layers": 28, "num_attention_heads": 12,
    "num_key_value_heads": 2, "vocab_size": 151936, "rms_norm_eps": 1e-6, "rope_theta": 1e6,
    "max_position_embeddings": 32768, "tie_word_embeddings": true}"#;

/// Steps of the residual diffusion in the release.
pub const DIFFUSION_STEPS: usize = 8;

/// What is generated.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Args, Serialize)]
pub struct Case {
    /// Side of the picture: 256, 512 or 1024 pixels.
    #[arg(long, default_value_t = 256)]
    pub px: usize,
    /// Transformer blocks (24 in the release).
    #[arg(long, default_value_t = 24)]
    pub depth: usize,
    /// Pictures made at once.
    #[arg(long, default_value_t = 1)]
    pub batch: usize,
}

impl Case {
    /// The released configuration for pictures of this size, with so many blocks.
    ///
    /// # Errors
    /// [`Error::Invalid`] for other sizes than 256, 512 and 1024 pixels and for no pictures,
    /// [`Error::Config`] for an impossible number of blocks.
    pub fn config(&self) -> Result<ModelConfig> {
        if self.batch == 0 {
            return Err(Error::invalid("the batch", 0, "one picture or more"));
        }
        let [llm, tokenizer] = self.files()?;
        read(&llm, &tokenizer)
    }

    /// What `llm/config.json` and `tokenizer/config.json` of such a model say.
    ///
    /// # Errors
    /// [`Error::Invalid`] for other sizes than 256, 512 and 1024 pixels.
    pub fn files(&self) -> Result<[String; 2]> {
        let (sides, depth) = (sides(self.px)?, self.depth);
        let llm = format!(
            r#"{{"attn_type": "llama", "mlp_type": "llama", "disable_aln": true,
                "shared_aln": true, "use_timestep_embed": true, "use_context_norm": true,
                "attn_l2_norm": true, "embed_dim": 1536, "depth": {depth}, "num_heads": 24,
                "context_token": 300, "context_dim": 1536, "patch_nums": {sides:?}}}"#
        );
        let tokenizer = format!(r#"{{"quantizer_type": "var_hybrid", "v_patch_nums": {sides:?}}}"#);
        Ok([llm, tokenizer])
    }
}

/// The configuration that the two files of a model say.
///
/// # Errors
/// Those of [`TransformerConfig::read`] and [`AutoencoderConfig::read`].
pub(crate) fn read(llm: &str, tokenizer: &str) -> Result<ModelConfig> {
    let llm = ConfigReader::parse("llm/config.json", llm.as_bytes())?;
    let tokenizer = ConfigReader::parse("tokenizer/config.json", tokenizer.as_bytes())?;
    ModelConfig::new(
        TransformerConfig::read(&llm)?,
        ResidualHeadConfig::read(&llm)?,
        AutoencoderConfig::read(&tokenizer)?,
    )
}

/// The sides of the scales for a picture of `px` pixels; those of 1024 are the released ones.
fn sides(px: usize) -> Result<Vec<usize>> {
    Ok(match px {
        256 => vec![1, 2, 3, 4, 5, 6, 8, 10, 13, 16],
        512 => vec![1, 2, 3, 4, 6, 9, 13, 18, 24, 32],
        1024 => vec![1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64],
        _ => return Err(Error::invalid("the picture's side", px, "256, 512 or 1024 pixels")),
    })
}
