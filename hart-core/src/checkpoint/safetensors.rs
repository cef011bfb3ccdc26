//! Indexing safetensors files and folders of shards.

use std::collections::{BTreeMap, BTreeSet, btree_map::Entry};
use std::path::Path;
use std::sync::Arc;

use burn::tensor::DType;
use safetensors::{Dtype, SafeTensors};

use super::int8::INTEGERS;
use super::{MappedFile, StoredTensor, StoredType, row_major_strides};
use crate::config::ConfigReader;
use crate::stand_in::stand_in_for_weights;
use crate::{Error, Result};

/// The tensors of one file. The header is validated by the safetensors crate: offsets must be
/// contiguous, fit the shapes and end where the file ends.
pub(super) fn index(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
    index_bytes(path, MappedFile::open(path)?)
}

/// As [`index`], of a file that was opened.
pub(super) fn index_bytes(path: &Path, file: MappedFile) -> Result<BTreeMap<String, StoredTensor>> {
    let file = Arc::new(file);
    let bytes = file.bytes();
    let tensors = SafeTensors::deserialize(bytes).map_err(|error| {
        let problem = stand_in_for_weights(bytes).or_else(|| wrong_length(bytes));
        let other = || format!("not a valid safetensors file: {error}");
        Error::malformed(path, problem.unwrap_or_else(other))
    })?;
    let origin = bytes.as_ptr() as usize;
    let stored = tensors.iter().map(|(name, view)| {
        let tensor = StoredTensor {
            start: view.data().as_ptr() as usize - origin,
            dtype: stored_type(view.dtype()),
            shape: view.shape().to_vec(),
            strides: row_major_strides(view.shape()),
            file: file.clone(),
            scales: None,
        };
        (name.to_string(), tensor)
    });
    Ok(stored.collect())
}

/// What is wrong with a file that ends before or after the last tensor of its header.
fn wrong_length(bytes: &[u8]) -> Option<String> {
    if bytes.starts_with(b"PK\x03\x04") {
        return Some("a PyTorch or zip archive, expected a safetensors file".to_string());
    }
    let (length, rest) = bytes.split_first_chunk()?;
    let length = usize::try_from(u64::from_le_bytes(*length)).ok()?;
    let header: serde_json::Value = serde_json::from_slice(rest.get(..length)?).ok()?;
    let ends = header.as_object()?.values().filter_map(|tensor| tensor["data_offsets"][1].as_u64());
    let end = usize::try_from(ends.max()?).ok()?.checked_add(length)?.checked_add(8)?;
    match bytes.len() {
        found if found < end => {
            Some(format!("the file ends after {found} of {end} bytes: download or copy it again"))
        }
        found if found > end => Some(format!(
            "{} bytes follow the last tensor, expected none: download or copy it again",
            found - end
        )),
        _ => None,
    }
}

/// The tensors that an index file lists, each from its shard. What else the shards hold is ignored.
pub(super) fn index_shards(path: &Path) -> Result<BTreeMap<String, StoredTensor>> {
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

fn stored_type(dtype: Dtype) -> StoredType {
    match dtype {
        Dtype::F64 => StoredType::Float(DType::F64),
        Dtype::F32 => StoredType::Float(DType::F32),
        Dtype::F16 => StoredType::Float(DType::F16),
        Dtype::BF16 => StoredType::Float(DType::BF16),
        Dtype::I8 => INTEGERS,
        Dtype::I64 => StoredType::Other("i64"),
        Dtype::I32 => StoredType::Other("i32"),
        Dtype::BOOL => StoredType::Other("bool"),
        _ => StoredType::Other("an unsupported type"),
    }
}
