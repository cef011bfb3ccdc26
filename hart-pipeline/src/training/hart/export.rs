//! A trained model as a folder in the released layout.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use hart_core::checkpoint::{save_safetensors, save_torch, tensors};
use hart_core::{Error, Result, write_atomically};
use serde_json::Value;

use super::configs::Configs;
use super::experiment::HartExperiment;
use super::learner::Learner;
use super::words::TextFiles;
use crate::text::NAMES;

/// Writes `llm/`, `tokenizer/`, `text/` and `generation.json` into `folder`: the present weights,
/// and as the ones that are used their running mean.
pub(super) fn export<B: Backend>(
    folder: &Path,
    experiment: &HartExperiment,
    configs: &Configs,
    words: &TextFiles,
    present: &Learner<B>,
    mean: &Learner<B>,
) -> Result<()> {
    for part in ["llm", "tokenizer", "text"] {
        let path = folder.join(part);
        std::fs::create_dir_all(&path).map_err(|error| Error::io(&path, error))?;
    }
    let json = |name: &str, value: &Value| {
        write_atomically(folder.join(name), format!("{value:#}").as_bytes())
    };
    json("llm/config.json", &configs.model_json)?;
    save_safetensors(folder.join("llm/model.safetensors"), &model(present)?)?;
    save_torch(folder.join("llm/ema_model.bin"), &model(mean)?)?;
    for file in ["config.json", "model.safetensors"] {
        let path = experiment.data.tokenizer.join(file);
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        write_atomically(folder.join("tokenizer").join(file), &bytes)?;
    }
    json("text/config.json", &configs.text_json)?;
    save_safetensors(folder.join("text/model.safetensors"), &tensors(&mean.text, &NAMES)?)?;
    words.write(&folder.join("text"))?;
    json("generation.json", &experiment.samples.generation_json())
}

fn model<B: Backend>(learner: &Learner<B>) -> hart_core::Result<BTreeMap<String, TensorData>> {
    let mut all = tensors(&learner.transformer, &hart_ar::NAMES)?;
    all.extend(tensors(&learner.residual, &hart_diffusion::NAMES)?);
    Ok(all)
}
