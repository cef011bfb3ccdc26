//! A folder in the released layout, filled with random weights.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, Result};
use hart_core::checkpoint::{LoadOptions, cast, save_safetensors, save_torch, tensors};
use hart_core::config::ConfigReader;
use hart_core::{HartBackend, Precision};
use hart_pipeline::HartModel;
use hart_pipeline::text::{self, Qwen2, TextEncoderConfig};

use crate::released::{Case, TEXT_ENCODER};

/// The files of a text tokenizer that are copied; any small one serves.
const WORDS: [&str; 2] = ["tokenizer.json", "tokenizer_config.json"];

/// Writes `llm/` and `tokenizer/` of a model, its large weights in the type of `stored`.
///
/// # Errors
/// When there is no such case, or a file cannot be written.
pub fn write_model<B: HartBackend>(
    folder: &Path,
    case: &Case,
    stored: Precision,
    device: &B::Device,
) -> Result<()> {
    let [llm, tokenizer] = case.files()?;
    let options = LoadOptions { precision: stored, prepare: false };
    let model = HartModel::<B>::init(&case.config()?, device)?.cast(options)?;
    let mut weights = tensors(&model.transformer, &hart_ar::NAMES)?;
    weights.extend(tensors(&model.residual_head.network, &hart_diffusion::NAMES)?);
    save_torch(part(folder, "llm", &llm)?.join("ema_model.bin"), &weights)?;
    let weights = tensors(&model.tokenizer, &hart_tokenizer::NAMES)?;
    save_safetensors(part(folder, "tokenizer", &tokenizer)?.join("model.safetensors"), &weights)?;
    Ok(())
}

/// Writes a text encoder of the released size as `text/`, its large weights in the type of `stored`,
/// with the tokenizer of the folder `words`.
///
/// # Errors
/// When a file cannot be read or written.
pub fn write_text_encoder<B: HartBackend>(
    folder: &Path,
    words: &Path,
    stored: Precision,
    device: &B::Device,
) -> Result<()> {
    let config = ConfigReader::parse("text/config.json", TEXT_ENCODER.as_bytes())?;
    let config = TextEncoderConfig::read(&config)?;
    let text = part(folder, "text", TEXT_ENCODER)?;
    for name in WORDS {
        let from = words.join(name);
        fs::copy(&from, text.join(name)).with_context(|| format!("cannot copy {from:?}"))?;
    }
    let options = LoadOptions { precision: stored, prepare: false };
    let model = cast(Qwen2::<B>::init(&config, device), &text::NAMES, options)?;
    Ok(save_safetensors(text.join("model.safetensors"), &tensors(&model, &text::NAMES)?)?)
}

/// Makes the folder of a part and writes its configuration.
fn part(folder: &Path, name: &str, config: &str) -> Result<PathBuf> {
    let part = folder.join(name);
    fs::create_dir_all(&part).with_context(|| format!("cannot make the folder {part:?}"))?;
    let path = part.join("config.json");
    fs::write(&path, config).with_context(|| format!("cannot write {path:?}"))?;
    Ok(part)
}
