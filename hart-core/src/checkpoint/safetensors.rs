//! Indexing safetensors files.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::DType;
use safetensors::{Dtype, SafeTensors};

use super::int8::INTEGERS;
use super::{Content, StoredTensor, StoredType, row_major_strides};
use crate::stand_in::stand_in_for_weights;
use crate::{Error, Result};

/// The tensors of one file, which errors call `path`. The header is validated by the safetensors crate:
/// offsets must be contiguous, fit the shapes and end where the file ends.
pub(super) fn index(path: &Path, file: Content) -> Result<BTreeMap<String, StoredTensor>> {
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
