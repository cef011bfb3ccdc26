//! What the benchmarks share: models of the released size with random weights, peak memory.

use hart_core::config::{AutoencoderConfig, ConfigReader, TransformerConfig};
use hart_core::{Error, Result};
use hart_pipeline::ModelConfig;

/// The sides of the scales for a picture of `px` pixels; those of 1024 are the released ones.
///
/// # Errors
/// [`Error::Invalid`] for other sizes than 256, 512 and 1024.
pub fn sides(px: usize) -> Result<Vec<usize>> {
    Ok(match px {
        256 => vec![1, 2, 3, 4, 5, 6, 8, 10, 13, 16],
        512 => vec![1, 2, 3, 4, 6, 9, 13, 18, 24, 32],
        1024 => vec![1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64],
        _ => return Err(Error::invalid("the picture's side", px, "256, 512 or 1024 pixels")),
    })
}

/// The configuration of the released model, for pictures of `px` pixels and with `depth` blocks
/// (24 in the release).
///
/// # Errors
/// [`Error::Invalid`] for a size that [`sides`] does not know.
pub fn released_config(px: usize, depth: usize) -> Result<ModelConfig> {
    let sides = sides(px)?;
    let llm = format!(
        r#"{{"attn_type": "llama", "mlp_type": "llama", "disable_aln": true, "shared_aln": true,
            "use_timestep_embed": true, "use_context_norm": true, "attn_l2_norm": true,
            "embed_dim": 1536, "depth": {depth}, "num_heads": 24, "context_token": 300,
            "context_dim": 1536, "patch_nums": {sides:?}}}"#
    );
    let tokenizer = format!(r#"{{"quantizer_type": "var_hybrid", "v_patch_nums": {sides:?}}}"#);
    let read = |json: &str| ConfigReader::parse("config.json", json.as_bytes());
    Ok(ModelConfig {
        transformer: TransformerConfig::read(&read(&llm)?)?,
        autoencoder: AutoencoderConfig::read(&read(&tokenizer)?)?,
    })
}

/// The most memory this process has held, in MiB; `None` where the system does not tell.
pub fn peak_memory_mib() -> Option<f64> {
    let status = std::fs::read_to_string("/proc/self/status").ok()?;
    let line = status.lines().find_map(|line| line.strip_prefix("VmHWM:"))?;
    let kib: f64 = line.trim().strip_suffix("kB")?.trim().parse().ok()?;
    Some(kib / 1024.0)
}
