//! Packing a model's folder, and unpacking it.

use std::collections::BTreeMap;
use std::io::{Cursor, Read, Write};
use std::path::Path;

use burn::tensor::{DType, TensorData};
use hart_core::checkpoint::{Checkpoint, save_torch, to_safetensors};
use hart_core::{Error, Result, write_atomically};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, DateTime, ZipArchive, ZipWriter};

use super::MAX_FILE;
use super::planes::{join_planes, split_planes};

/// The ending of a weights file whose bytes are in planes.
const PLANES: &str = "planes";

/// Files that are taken as they are.
const PLAIN: [&str; 7] = [
    "generation.json",
    "llm/config.json",
    "tokenizer/config.json",
    "text/config.json",
    "text/tokenizer.json",
    "text/tokenizer_config.json",
    "text/words.txt",
];

/// Packs a model's folder, with its text encoder in `text/`: the mean of the weights alone, in 16
/// bits, whose high and low bytes are stored apart. The same folder gives the same bytes. Returns
/// the archive and how many parameters it holds.
///
/// # Errors
/// [`Error::Io`] or [`Error::Malformed`] when a file is missing or damaged.
pub fn pack(folder: impl AsRef<Path>) -> Result<(Vec<u8>, usize)> {
    let folder = folder.as_ref();
    let mut files = BTreeMap::new();
    for name in PLAIN {
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
    let archive = write(&files);
    Ok((archive.map_err(|error| Error::malformed(folder, error))?, parameters))
}

/// Makes a model's folder of an archive again, in the released layout: the mean of the weights
/// stands for the last ones too. Training can start from it.
///
/// # Errors
/// [`Error::Malformed`] when the archive is damaged or its names lead out of the folder,
/// [`Error::Io`] when the folder cannot be written.
pub fn unpack(archive: impl AsRef<Path>, folder: impl AsRef<Path>) -> Result<()> {
    let (path, folder) = (archive.as_ref(), folder.as_ref());
    let bytes = std::fs::read(path).map_err(|error| Error::io(path, error))?;
    let damaged = |error: zip::result::ZipError| Error::malformed(path, error);
    let mut archive = ZipArchive::new(Cursor::new(bytes)).map_err(damaged)?;
    for index in 0..archive.len() {
        let mut file = archive.by_index(index).map_err(damaged)?;
        let name = file.enclosed_name();
        let name = name.ok_or_else(|| Error::malformed(path, "a name leads out of the folder"))?;
        let mut content = vec![];
        let limited = file.by_ref().take(MAX_FILE);
        { limited }.read_to_end(&mut content).map_err(|error| Error::malformed(path, error))?;
        if name.extension().is_some_and(|ending| ending == PLANES) {
            write_file(&folder.join(name.with_extension("")), &join_planes(&content))?;
        } else {
            write_file(&folder.join(name), &content)?;
        }
    }
    let weights = Checkpoint::open_safetensors(folder.join("llm/model.safetensors"))?;
    save_torch(folder.join("llm/ema_model.bin"), &in_bits(&weights, DType::F32)?)
}

fn write_file(path: &Path, content: &[u8]) -> Result<()> {
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    }
    write_atomically(path, content)
}

/// All weights of a checkpoint but those of the adversary, which generating does not need.
fn in_bits(checkpoint: &Checkpoint, dtype: DType) -> Result<BTreeMap<String, TensorData>> {
    let mut tensors = BTreeMap::new();
    for name in checkpoint.names().filter(|name| !name.starts_with("disc.")) {
        if checkpoint.get(name).is_some_and(|tensor| tensor.dtype().is_loadable()) {
            let data = checkpoint.read(name)?.convert_dtype(dtype);
            tensors.insert(name.to_string(), data);
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
