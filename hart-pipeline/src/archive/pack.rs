//! Packing a model's folder.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use burn::tensor::{DType, TensorData};
use hart_core::checkpoint::{Checkpoint, to_safetensors};
use hart_core::{Error, Result};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipWriter};

use super::MAX_FILE;
use super::planes::split_planes;

/// The ending of a weights file whose bytes are in planes.
pub(super) const PLANES: &str = "planes";

/// Files that are taken as they are.
pub(super) const PLAIN: [&str; 7] = [
    "generation.json",
    "llm/config.json",
    "tokenizer/config.json",
    "text/config.json",
    "text/tokenizer.json",
    "text/tokenizer_config.json",
    "text/words.txt",
];
/// One that a folder may have as well.
const OPTIONAL: &str = "text/synonyms.json";

/// Packs a model's folder, with its text encoder in `text/`: the mean of the weights alone, in 16
/// bits, whose high and low bytes are stored apart. The same folder gives the same bytes. Returns
/// the archive and how many parameters it holds.
///
/// # Errors
/// [`Error::Io`] or [`Error::Malformed`] when a file is missing, damaged, or larger than 1 GiB.
pub fn pack(folder: impl AsRef<Path>) -> Result<(Vec<u8>, usize)> {
    let folder = folder.as_ref();
    let mut files = BTreeMap::new();
    let optional = folder.join(OPTIONAL).is_file().then_some(OPTIONAL);
    for name in PLAIN.into_iter().chain(optional) {
        let path = folder.join(name);
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        files.insert(name.to_string(), bytes);
    }
    let weights = [
        ("llm", Checkpoint::open_torch(folder.join("llm/ema_model.bin"))?),
        ("tokenizer", Checkpoint::open_folder(folder.join("tokenizer"))?),
        ("text", Checkpoint::open_folder(folder.join("text"))?),
    ];
    let mut parameters = 0;
    for (part, checkpoint) in &weights {
        let tensors = in_bits(checkpoint, DType::F16)?;
        parameters += tensors.values().map(|data| data.shape.num_elements()).sum::<usize>();
        let name = format!("{part}/model.safetensors.{PLANES}");
        files.insert(name, split_planes(&to_safetensors(&tensors)?));
    }
    if let Some((name, _)) = files.iter().find(|(_, bytes)| bytes.len() as u64 > MAX_FILE) {
        let problem = "larger than 1 GiB, the most that is read of an archive";
        return Err(Error::malformed(folder.join(name), problem));
    }
    let archive = write(&files);
    Ok((archive.map_err(|error| Error::malformed(folder, error))?, parameters))
}

/// All weights of a checkpoint but those of the adversary, which generating does not need.
pub(super) fn in_bits(
    checkpoint: &Checkpoint,
    dtype: DType,
) -> Result<BTreeMap<String, TensorData>> {
    let mut tensors = BTreeMap::new();
    for name in checkpoint.names().filter(|name| !name.starts_with("disc.")) {
        if checkpoint.get(name).is_some_and(|tensor| tensor.dtype().is_loadable()) {
            tensors.insert(name.to_string(), checkpoint.read_finite(name, dtype)?);
        }
    }
    Ok(tensors)
}

fn write(files: &BTreeMap<String, Vec<u8>>) -> Result<Vec<u8>, zip::result::ZipError> {
    let mut archive = ZipWriter::new(Cursor::new(vec![]));
    let options = SimpleFileOptions::default()
        .compression_method(CompressionMethod::Deflated)
        .compression_level(Some(9))
        .last_modified_time(DateTime::default());
    for (name, bytes) in files {
        archive.start_file(name.as_str(), options)?;
        archive.write_all(bytes)?;
    }
    Ok(archive.finish()?.into_inner())
}
