//! `config.json` of a Qwen2 text model.

use std::path::Path;

use hart_core::Result;
use hart_core::config::ConfigReader;

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
    /// Width of one attention head (`head_dim`, as a rule `width / heads`).
    pub head_width: usize,
    /// Added to the mean square in RMSNorm (`rms_norm_eps`).
    pub norm_epsilon: f64,
    /// Base of the rotary frequencies (`rope_theta`, of its own or in `rope_parameters`).
    pub rotary_base: f64,
    /// The most positions the model is made for (`max_position_embeddings`).
    pub max_positions: usize,
    /// Rows of the token embedding (`vocab_size`).
    pub vocabulary: usize,
}

/// What the two kinds of model take for absent keys: `rope_theta` and `rms_norm_eps`.
const QWEN2: (f64, f64) = (1e4, 1e-6);
const QWEN2_VL: (f64, f64) = (1e6, 1e-5);

impl TextEncoderConfig {
    /// Reads `config.json`.
    ///
    /// # Errors
    /// [`hart_core::Error::Io`], [`hart_core::Error::Malformed`] or [`hart_core::Error::Config`],
    /// the last with the key, what was found and what is supported.
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
        let kinds = [("qwen2", QWEN2), ("qwen2_vl", QWEN2_VL), ("qwen2_vl_text", QWEN2_VL)];
        let (rotary_base, norm_epsilon) = file.choice("model_type", "qwen2", &kinds)?;
        file.choice("hidden_act", "silu", &[("silu", ())])?;
        if file.flag("use_sliding_window", false)? {
            return Err(file.refuse("use_sliding_window", "false: it is not supported"));
        }
        let width = file.integer("hidden_size", 4096, 2..=1 << 16)?;
        let heads = file.integer("num_attention_heads", 32, 1..=1024)?;
        let config = Self {
            width,
            mlp_width: file.integer("intermediate_size", 22016, 1..=1 << 20)?,
            depth: file.integer("num_hidden_layers", 32, 1..=1024)?,
            heads,
            key_value_heads: file.integer("num_key_value_heads", heads, 1..=1024)?,
            head_width: head_width(file, width, heads)?,
            norm_epsilon: file.number("rms_norm_eps", norm_epsilon, 0.0..=1.0)?,
            rotary_base: read_rotary_base(file, rotary_base)?,
            max_positions: file.integer("max_position_embeddings", 32_768, 1..=1 << 30)?,
            vocabulary: file.integer("vocab_size", 151_936, 1..=1 << 24)?,
        };
        if !heads.is_multiple_of(config.key_value_heads) {
            let expected = format!("a divisor of `num_attention_heads`, which is {heads}");
            return Err(file.refuse("num_key_value_heads", expected));
        }
        Ok(config)
    }
}

/// The width of a head: even, since the rotation pairs its halves.
fn head_width(file: &ConfigReader, width: usize, heads: usize) -> Result<usize> {
    if file.value("head_dim").is_some() {
        let head_width = file.integer("head_dim", 0, 2..=1 << 12)?;
        if !head_width.is_multiple_of(2) {
            return Err(file.refuse("head_dim", "an even number"));
        }
        return Ok(head_width);
    }
    if !width.is_multiple_of(heads) {
        let expected = format!("a divisor of `hidden_size`, which is {width}");
        return Err(file.refuse("num_attention_heads", expected));
    }
    if !(width / heads).is_multiple_of(2) {
        return Err(file.refuse("num_attention_heads", "a count that leaves heads of even width"));
    }
    Ok(width / heads)
}

/// The base of the rotary frequencies; no scaling of them is supported.
///
/// Multimodal rotary positions are the plain ones where there is only text. Newer folders call the
/// object `rope_parameters` and keep the base in it.
fn read_rotary_base(file: &ConfigReader, default: f64) -> Result<f64> {
    let mut nested = None;
    for key in ["rope_scaling", "rope_parameters"] {
        let Some(object) = file.value(key) else { continue };
        let kind = object.get("rope_type").or_else(|| object.get("type"));
        let plain = match kind {
            Some(kind) => matches!(kind.as_str(), Some("default" | "mrope")),
            // Parameters without a type are the plain ones; a scaling without one scales somehow.
            None => key == "rope_parameters" && object.is_object(),
        };
        if !plain {
            return Err(file.refuse(key, "null, or of type `default` or `mrope`"));
        }
        nested = nested.or(object.get("rope_theta").map(|base| (key, base)));
    }
    let range = 1.0..=1e12;
    match nested {
        Some((key, base)) if file.value("rope_theta").is_none() => {
            let base = base.as_f64().filter(|base| range.contains(base));
            base.ok_or_else(|| file.refuse(key, "an object with a `rope_theta` from 1 to 1e12"))
        }
        _ => file.number("rope_theta", default, range),
    }
}
