//! Making a model's folder of an archive again.

use std::collections::BTreeMap;
use std::fs;
use std::io::{Error as IoError, ErrorKind};
use std::path::{Path, PathBuf};

use burn::tensor::{DType, TensorData};
use hart_core::checkpoint::{Checkpoint, save_safetensors, save_torch};
use hart_core::{Error, Result, StagedFolder, write_atomically};

use super::pack::{PLAIN, PLANES, in_bits};
use super::planes::join_planes;
use super::{content, open};

/// The most bytes of all files of an archive together.
const MAX_ALL: u64 = 4 << 30;
/// The transformer's weights, and the same once more as their running mean.
const LAST: &str = "llm/model.safetensors";
const MEAN: &str = "llm/ema_model.bin";

/// What becomes of files that an archive has as well.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Existing {
    /// With one of them there, nothing is unpacked.
    Refused,
    /// They are replaced.
    Replaced,
}

/// Makes a model's folder of an archive again, in the released layout: the mean of the weights
/// stands for the last ones too. Training can start from it. The archive is read and checked as a
/// whole before anything is written.
///
/// # Errors
/// [`Error::Malformed`] when the archive is damaged, lacks a file or its names lead out of the folder,
/// [`Error::Io`] when the folder cannot be written, or has one of the files and they are
/// [`Existing::Refused`].
pub fn unpack(
    archive: impl AsRef<Path>,
    folder: impl AsRef<Path>,
    existing: Existing,
) -> Result<()> {
    let (path, folder) = (archive.as_ref(), folder.as_ref());
    let files = read(path)?;
    let is_there = |path: &Path| fs::symlink_metadata(path).is_ok();
    if existing == Existing::Refused
        && let Some(name) = files.keys().find(|name| is_there(&folder.join(name)))
    {
        let problem = "it is there already; name another folder, or ask for it to be replaced";
        return Err(Error::io(folder.join(name), IoError::new(ErrorKind::AlreadyExists, problem)));
    }
    let at = |path: &Path, error| Error::io(path, error);
    if is_there(folder) {
        // Written inside, on the same disk, and moved to their places at the end.
        let staged = StagedFolder::begin(folder.join("unpacked"), ".unpack-")?;
        write(&files, staged.path())?;
        for name in files.keys() {
            let target = folder.join(name);
            let parent = target.parent().unwrap_or(folder);
            fs::create_dir_all(parent).map_err(|error| at(parent, error))?;
        }
        for name in files.keys() {
            let target = folder.join(name);
            let moved = fs::rename(staged.path().join(name), &target);
            moved.map_err(|error| at(&target, error))?;
        }
        return Ok(());
    }
    if let Some(parent) = folder.parent() {
        fs::create_dir_all(parent).map_err(|error| at(parent, error))?;
    }
    let staged = StagedFolder::begin(folder, ".unpack-")?;
    write(&files, staged.path())?;
    staged.finish()
}

/// A file that is unpacked.
enum File {
    Plain(Vec<u8>),
    Safetensors(BTreeMap<String, TensorData>),
    Torch(BTreeMap<String, TensorData>),
}

/// The files of an archive by name, and the transformer's weights a second time.
fn read(path: &Path) -> Result<BTreeMap<PathBuf, File>> {
    let bytes = fs::read(path).map_err(|error| Error::io(path, error))?;
    let mut archive = open(path, &bytes)?;
    let mut files = BTreeMap::new();
    let mut all = 0;
    for index in 0..archive.len() {
        let file = archive.by_index(index).map_err(|error| Error::malformed(path, error))?;
        if file.is_dir() {
            continue;
        }
        let shown = path.join(file.name());
        let name = inner_name(file.name())
            .ok_or_else(|| Error::malformed(&shown, "the name leads out of the folder"))?;
        let content = content(file, &shown)?;
        all += content.len() as u64;
        if all > MAX_ALL {
            return Err(Error::malformed(path, "larger than 4 GiB, the most that is unpacked"));
        }
        let (name, file) = if name.extension().is_some_and(|ending| ending == PLANES) {
            let checkpoint = Checkpoint::from_safetensors(&shown, join_planes(&content))?;
            (name.with_extension(""), File::Safetensors(in_bits(&checkpoint, DType::F16)?))
        } else {
            (name, File::Plain(content))
        };
        if name == Path::new(LAST)
            && let File::Safetensors(last) = &file
        {
            let mean = last
                .iter()
                .map(|(name, data)| (name.clone(), data.clone().convert_dtype(DType::F32)));
            files.insert(PathBuf::from(MEAN), File::Torch(mean.collect()));
        }
        if files.insert(name, file).is_some() {
            return Err(Error::malformed(&shown, "the archive has this file twice"));
        }
    }
    let needed =
        PLAIN.into_iter().chain([LAST, "tokenizer/model.safetensors", "text/model.safetensors"]);
    match needed.into_iter().find(|name| !files.contains_key(Path::new(name))) {
        Some(name) => Err(Error::malformed(path, format!("it has no `{name}`, as models do"))),
        None => Ok(files),
    }
}

/// The path of a name inside the folder; `None` when it leads out of it, on any system.
fn inner_name(name: &str) -> Option<PathBuf> {
    let parts: Vec<&str> = name.split(['/', '\\']).collect();
    let plain =
        |part: &&str| !part.is_empty() && !part.contains([':', '\0']) && !part.starts_with("..");
    let plain = parts.iter().all(|part| plain(part) && *part != ".");
    plain.then(|| parts.iter().collect())
}

fn write(files: &BTreeMap<PathBuf, File>, folder: &Path) -> Result<()> {
    for (name, file) in files {
        let path = folder.join(name);
        let parent = path.parent().unwrap_or(folder);
        fs::create_dir_all(parent).map_err(|error| Error::io(parent, error))?;
        match file {
            File::Plain(content) => write_atomically(&path, content)?,
            File::Safetensors(tensors) => save_safetensors(&path, tensors)?,
            File::Torch(tensors) => save_torch(&path, tensors)?,
        }
    }
    Ok(())
}
