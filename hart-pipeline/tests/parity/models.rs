//! The models that traces belong to, and the inputs that several kinds of traces share.

use std::path::{Path, PathBuf};

use hart_ar::{ModulationKind, PoolingKind, TextCondition};
use hart_core::HartBackend;
use hart_core::checkpoint::LoadOptions;
use hart_pipeline::{HartModel, ModelCheckpoints, ModelConfig, TransformerWeights};
use libtest_mimic::Failed;

use crate::trace::Trace;

/// The folders of the fixtures that hold a model.
pub(crate) fn model_folders(fixtures: &Path) -> Vec<PathBuf> {
    let entries = std::fs::read_dir(fixtures).into_iter().flatten().flatten();
    let folders = entries.map(|entry| entry.path());
    let mut folders: Vec<_> =
        folders.filter(|folder| folder.join("llm/config.json").is_file()).collect();
    folders.sort();
    folders
}

/// The model of a trace: the one with the longest name that begins `case`, the trace's name behind
/// its kind.
pub(crate) fn model_folder(fixtures: &Path, case: &str) -> Result<PathBuf, Failed> {
    let folders = model_folders(fixtures).into_iter();
    let named = folders.filter(|folder| {
        let name = folder.file_name().unwrap_or_default().to_string_lossy().into_owned();
        case == name || case.starts_with(&format!("{name}_"))
    });
    named
        .max_by_key(|folder| folder.as_os_str().len())
        .ok_or_else(|| format!("no model is called as the beginning of {case}").into())
}

/// The model's configuration, with the change that some traces were recorded with.
pub(crate) fn config_of(trace: &Trace, folder: &Path) -> Result<ModelConfig, Failed> {
    let mut config = ModelConfig::open(folder)?;
    let pooling = match trace.name.rsplit_once("_pool") {
        Some((_, "max")) => Some(PoolingKind::Max),
        Some((_, "avg")) => Some(PoolingKind::MaskedMean),
        _ => None,
    };
    if let (Some(pooling), ModulationKind::PerBlock(_)) = (pooling, config.transformer.modulation) {
        config.transformer.modulation = ModulationKind::PerBlock(pooling);
    }
    Ok(config)
}

/// A model with the weights of a folder.
pub(crate) fn load_model<B: HartBackend>(
    config: &ModelConfig,
    folder: &Path,
    weights: TransformerWeights,
    options: LoadOptions,
    device: &B::Device,
) -> Result<HartModel<B>, Failed> {
    let files = ModelCheckpoints::open(folder, weights)?;
    Ok(HartModel::load(config, &files, options, device)?)
}

/// The recorded context, with its mask and positions.
pub(crate) fn text_condition<B: HartBackend>(
    trace: &Trace,
    device: &B::Device,
) -> Result<TextCondition<B>, Failed> {
    let mask = trace.input("text.mask")?.rows().into_iter();
    Ok(TextCondition {
        context: trace.input("text.context")?.tensor(device),
        mask: mask.map(|row| row.into_iter().map(|valid| valid == 1).collect()).collect(),
        positions: trace.input("text.positions")?.rows(),
    })
}
