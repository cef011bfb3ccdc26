//! A trained model as a folder in the released layout.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::Context;
use burn::tensor::TensorData;
use burn::tensor::backend::Backend;
use hart_core::checkpoint::{save_safetensors, save_torch, tensors};
use hart_core::write_atomically;
use hart_examples::training::text::TextFiles;
use hart_pipeline::text::NAMES;
use serde_json::json;

use crate::Experiment;
use crate::learner::{Configs, Learner};

/// Writes `llm/`, `tokenizer/`, `text/` and `generation.json` into `folder`: the present weights,
/// and as the ones that are used their running mean.
pub(crate) fn export<B: Backend>(
    folder: &Path,
    experiment: &Experiment,
    configs: &Configs,
    words: &TextFiles,
    present: &Learner<B>,
    mean: &Learner<B>,
) -> anyhow::Result<()> {
    for part in ["llm", "tokenizer", "text"] {
        let path = folder.join(part);
        std::fs::create_dir_all(&path)
            .with_context(|| format!("cannot make the folder {}", path.display()))?;
    }
    let json = |name: &str, value: &serde_json::Value| -> anyhow::Result<()> {
        Ok(write_atomically(folder.join(name), &serde_json::to_vec_pretty(value)?)?)
    };
    json("llm/config.json", &configs.model_json)?;
    save_safetensors(folder.join("llm/model.safetensors"), &model(present)?)?;
    save_torch(folder.join("llm/ema_model.bin"), &model(mean)?)?;
    for file in ["config.json", "model.safetensors"] {
        let bytes = std::fs::read(experiment.data.tokenizer.join(file))
            .with_context(|| format!("cannot read {file} of the tokenizer"))?;
        write_atomically(folder.join("tokenizer").join(file), &bytes)?;
    }
    json("text/config.json", &configs.text_json)?;
    save_safetensors(folder.join("text/model.safetensors"), &tensors(&mean.text, &NAMES)?)?;
    write_atomically(folder.join("text/tokenizer.json"), &words.tokenizer)?;
    write_atomically(folder.join("text/tokenizer_config.json"), &words.config)?;
    write_atomically(folder.join("text/words.txt"), words.words.as_bytes())?;
    let pictures = &experiment.pictures;
    let settings = json!({
        "guidance": pictures.guidance,
        "top_k": pictures.top_k,
        "top_p": pictures.top_p,
        "smooth": pictures.smooth,
        "temperature": pictures.temperature,
        "system_prompt": "",
    });
    json("generation.json", &settings)
}

fn model<B: Backend>(learner: &Learner<B>) -> hart_core::Result<BTreeMap<String, TensorData>> {
    let mut all = tensors(&learner.transformer, &hart_ar::NAMES)?;
    all.extend(tensors(&learner.residual, &hart_diffusion::NAMES)?);
    Ok(all)
}
