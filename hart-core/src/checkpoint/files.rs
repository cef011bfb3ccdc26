//! Checkpoints in files and folders, which are mapped into memory.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::path::Path;

use super::{Checkpoint, Content, StoredTensor, safetensors, torch};
use crate::config::ConfigReader;
use crate::{Error, Result};

impl Checkpoint {
    /// Opens the weights in a folder: `model.safetensors`, or without it the shards listed in
    /// `model.safetensors.index.json`.
    ///
    /// # Errors
    /// [`Error::Io`] when neither is there, [`Error::Malformed`] when a file is truncated, lies
    /// about offsets or shapes, or lacks a tensor the index lists.
    pub fn open_folder(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        let (whole, index) =
            (folder.join("model.safetensors"), folder.join("model.safetensors.index.json"));
        // An index beside a whole file is left over from another download.
        if index.is_file() && !whole.is_file() {
            Self::open_sharded(&index)
        } else {
            Self::open_safetensors(whole)
        }
    }

    /// Opens one safetensors file.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`].
    pub fn open_safetensors(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::paired(path, index(path)?)
    }

    /// Opens the shards that a safetensors index file lists, and of them only the tensors listed.
    ///
    /// # Errors
    /// [`Error::Io`] when the index or a shard is missing, [`Error::Malformed`] when one of them is
    /// damaged or a listed tensor is absent.
    pub fn open_sharded(index: impl AsRef<Path>) -> Result<Self> {
        let path = index.as_ref();
        Self::paired(path, index_shards(path)?)
    }

    /// Opens a PyTorch file that holds a dictionary of tensors, such as `ema_model.bin`, or the state
    /// of a training with such a dictionary in it: `ema` or `model_ema`, else `state_dict` or `model`.
    /// Files from before PyTorch 1.6 are read too.
    ///
    /// No code of the file is run: of its pickle only what a dictionary of tensors needs is
    /// understood, and nothing is called.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`].
    pub fn open_torch(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        Self::paired(path, torch::index(path)?)
    }
}

/// The tensors of a safetensors file.
fn index(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
    safetensors::index(path, Content::map(path)?)
}

/// The tensors that an index file lists, each from its shard. What else the shards hold is ignored.
fn index_shards(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
    let folder = path.parent().unwrap_or(Path::new(""));
    let mut shards = BTreeMap::new();
    let mut tensors = BTreeMap::new();
    for (name, shard) in listed(path)? {
        let content = match shards.entry(shard.clone()) {
            Entry::Occupied(content) => content.into_mut(),
            Entry::Vacant(place) => place.insert(index(&folder.join(&shard))?),
        };
        let tensor = content.remove(&name).ok_or_else(|| {
            let problem = format!("tensor `{name}` is listed in the index, but not in this shard");
            Error::malformed(folder.join(&shard), problem)
        })?;
        tensors.insert(name, tensor);
    }
    Ok(tensors)
}

/// The file names of the shards that a safetensors index file lists; they lie in its folder.
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`] or [`Error::Config`] when the index is missing or damaged.
pub fn shards(index: impl AsRef<Path>) -> Result<BTreeSet<String>> {
    Ok(listed(index.as_ref())?.into_values().collect())
}

/// The shard of each tensor that an index file lists.
fn listed(path: &Path) -> Result<BTreeMap<String, String>> {
    let index_file = ConfigReader::open(path)?;
    let listed = index_file.value("weight_map").and_then(|map| map.as_object());
    let listed = listed.ok_or_else(|| index_file.refuse("weight_map", "an object"))?;
    let shards = listed.iter().map(|(name, shard)| {
        let shard = shard.as_str().filter(|shard| is_plain_name(shard)).ok_or_else(|| {
            let problem = format!("the shard of `{name}` is {shard}, expected a file name");
            Error::malformed(path, problem)
        })?;
        Ok((name.clone(), shard.to_string()))
    });
    shards.collect()
}

/// Whether a shard's name stays in the folder of its index.
fn is_plain_name(name: &str) -> bool {
    !name.is_empty() && Path::new(name).file_name() == Some(name.as_ref())
}
