//! `config.json` of a Qwen2 text model.

use std::path::Path;

use hart_core::config::ConfigReader;
use hart_core::{Error, Result};

/// The configuration of the text encoder, in the layout of Hugging Face.
///
/// Qwen2-VL folders are read too: of them only the language model is used.
#[derive(Debug, Clone, PartialEq)]
pub struct TextEncoderConfig {
    /// Width of the hidden states (`hidden_size`).
    pub width: usize,
    /// Width of the feed-forward part (`intermediate_size`).
    pub mlp_width: usize,
    /// Layers (`num_hidden_layers`).
    pub depth: usize,
    /// Attention heads of queries (`num_attention_heads`).
    pub heads: usize,
    /// Attention heads of keys and values (`num_key_value_heads`).
    pub key_value_heads: usize,
    /// Added to the mean square in RMSNorm (`rms_norm_eps`).
    pub norm_epsilon: f64,
    /// Base of the rotary frequencies (`rope_theta`).
    pub rotary_base: f64,
    /// Rows of the token embedding (`vocab_size`).
    pub vocabulary: usize,
}

impl TextEncoderConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`] or [`Error::Config`], the last with the key, what was
    /// found and what is supported.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let file = ConfigReader::open(path)?;
        // Newer Qwen2-VL folders keep the language model's keys one level down.
        match file.value("text_config") {
            Some(inner) => {
                Self::read(&ConfigReader::parse(file.path(), inner.to_string().as_bytes())?)
            }
            None => Self::read(&file),
        }
    }

    /// Reads the keys of an open configuration; errors as for [`Self::open`].
    pub fn read(file: &ConfigReader) -> Result<Self> {
        let kinds = [("qwen2", ()), ("qwen2_vl", ()), ("qwen2_vl_text", ())];
        file.choice("model_type", "qwen2", &kinds)?;
        file.choice("hidden_act", "silu", &[("silu", ())])?;
        if file.flag("use_sliding_window", false)? {
            return Err(file.refuse("use_sliding_window", "false: it is not supported"));
        }
        check_rotary_scaling(file)?;
        let heads = file.integer("num_attention_heads", 32, 1..=1024)?;
        let config = Self {
            width: file.integer("hidden_size", 4096, 2..=1 << 16)?,
            mlp_width: file.integer("intermediate_size", 22016, 1..=1 << 20)?,
            depth: file.integer("num_hidden_layers", 32, 1..=1024)?,
            heads,
            key_value_heads: file.integer("num_key_value_heads", heads, 1..=1024)?,
            norm_epsilon: file.number("rms_norm_eps", 1e-6, 0.0..=1.0)?,
            rotary_base: file.number("rope_theta", 10_000.0, 1.0..=1e12)?,
            vocabulary: file.integer("vocab_size", 151_936, 1..=1 << 24)?,
        };
        config.check(file)?;
        Ok(config)
    }

    fn check(&self, file: &ConfigReader) -> Result<()> {
        if !self.width.is_multiple_of(self.heads) {
            let expected = format!("a divisor of `hidden_size`, which is {}", self.width);
            return Err(file.refuse("num_attention_heads", expected));
        }
        if !self.head_width().is_multiple_of(2) {
            return Err(
                file.refuse("num_attention_heads", "a count that leaves heads of even width")
            );
        }
        if !self.heads.is_multiple_of(self.key_value_heads) {
            let expected = format!("a divisor of `num_attention_heads`, which is {}", self.heads);
            return Err(file.refuse("num_key_value_heads", expected));
        }
        let head_width = self.head_width();
        file.integer("head_dim", head_width, head_width..=head_width)?;
        Ok(())
    }

    /// Width of one attention head.
    pub fn head_width(&self) -> usize {
        self.width / self.heads
    }
}

/// Multimodal rotary positions are the plain ones where there is only text; other scalings change
/// the angles.
fn check_rotary_scaling(file: &ConfigReader) -> Result<()> {
    let Some(scaling) = file.value("rope_scaling") else {
        return Ok(());
    };
    let kind = scaling.get("rope_type").or_else(|| scaling.get("type")).and_then(|k| k.as_str());
    match kind {
        Some("default" | "mrope") => Ok(()),
        _ => Err(Error::Config {
            path: file.path().to_path_buf(),
            key: "rope_scaling".to_string(),
            found: kind.unwrap_or("without a type").to_string(),
            expected: "null, or of type `default` or `mrope`".to_string(),
        }),
    }
}
