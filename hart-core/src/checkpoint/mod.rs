//! Reading and writing checkpoints: safetensors, also in shards, and PyTorch state dictionaries.
//!
//! A [`Checkpoint`] is an index: which tensors there are, of what type and shape and where their
//! bytes lie in a memory-mapped file. Nothing is read until a tensor is asked for, so buffers that
//! no model needs cost nothing. [`load`] puts the tensors into a module by a [`NameTable`],
//! [`tensors`] takes them out again.
//!
//! burn-store has readers for both formats as well. These are our own, for what is asked of them:
//! - A hostile file gets an error, never a panic, and cannot make the reader claim memory without
//!   bound; a pickle can call nothing but what rebuilds a dictionary of tensors.
//! - Pages of the memory map are released as soon as they are copied, so that loading needs no more
//!   resident memory than the model.
//! - Matrices of 8-bit integers with a scale for each row are read as floats.
//! - A matrix is converted and transposed in one pass over the file, on all threads, without a copy
//!   in between.
//! - [`convert`] streams: a checkpoint of any size is rewritten with one tensor in memory at a time.

mod arrange;
mod content;
#[cfg(feature = "fs")]
mod convert;
#[cfg(feature = "fs")]
mod files;
mod int8;
mod layout;
mod load;
#[cfg(feature = "fs")]
mod map;
mod names;
mod safetensors;
mod save;
#[cfg(feature = "fs")]
mod torch;
mod values;
mod wrappers;
mod write;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use burn::tensor::{DType, TensorData};

#[cfg(feature = "fs")]
pub use convert::{Container, StoredAs, convert, stored_formats};
#[cfg(feature = "fs")]
pub use files::shards;
pub use load::{LoadOptions, cast, check, inspect, load, load_part, load_parts, parameters};
pub use names::NameTable;
#[cfg(feature = "fs")]
pub use save::{save_safetensors, save_torch};
pub use save::{tensors, to_safetensors};
pub use values::check_values;

use crate::{Error, Result};
use content::Content;
#[cfg(feature = "fs")]
pub use map::Spool;

/// The tensors of a checkpoint by name. A prefix that all names have from training, `module.`,
/// `_orig_mod.` or `model.`, is taken off, also where several are nested; any other that all names have
/// does not keep a [`NameTable`] from finding them.
#[derive(Debug, Clone)]
pub struct Checkpoint {
    path: PathBuf,
    tensors: BTreeMap<String, StoredTensor>,
    /// What all names begin with, up to a dot: found by a [`NameTable`] that does not have it.
    common: String,
}

/// A tensor in a file: its type and shape, and where its elements are.
#[derive(Debug, Clone)]
pub struct StoredTensor {
    file: Arc<Content>,
    /// Byte offset of the first element.
    start: usize,
    dtype: StoredType,
    shape: Vec<usize>,
    /// Elements between neighbours along each axis; row-major unless a PyTorch view was saved.
    strides: Vec<usize>,
    /// Per-row quantization scales of an 8-bit matrix.
    scales: Option<Arc<[f32]>>,
}

/// The element type of a stored tensor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredType {
    /// A type that can be loaded into a parameter.
    Float(DType),
    /// 8-bit integers with a scale for each row, `name.scale` in the file, which are read as
    /// 32-bit floats.
    Int8,
    /// Any other: integers, booleans, eight-bit floats.
    Other(&'static str),
}

impl Checkpoint {
    /// Reads a safetensors file whose content is in memory; `name` is what errors call it.
    ///
    /// # Errors
    /// [`Error::Malformed`].
    pub fn from_safetensors(name: impl AsRef<Path>, content: Vec<u8>) -> Result<Self> {
        let path = name.as_ref();
        let tensors = safetensors::index(path, Content::Held(content))?;
        Self::paired(path, tensors)
    }

    fn paired(path: &Path, mut tensors: BTreeMap<String, StoredTensor>) -> Result<Self> {
        int8::pair(path, &mut tensors)?;
        let tensors = wrappers::unwrap(tensors);
        let common = wrappers::common(&tensors);
        Ok(Self { path: path.to_path_buf(), tensors, common })
    }

    /// The file or index this was opened from.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The names of all tensors, sorted.
    pub fn names(&self) -> impl Iterator<Item = &str> {
        self.tensors.keys().map(String::as_str)
    }

    /// The tensor called `name`.
    pub fn get(&self, name: &str) -> Option<&StoredTensor> {
        self.tensors.get(name)
    }

    /// The same checkpoint with `prefix` removed from the names that begin with it.
    pub fn strip_prefix(mut self, prefix: &str) -> Self {
        let strip = |name: String| name.strip_prefix(prefix).map(str::to_string).unwrap_or(name);
        self.tensors = self.tensors.into_iter().map(|(name, t)| (strip(name), t)).collect();
        self.common = wrappers::common(&self.tensors);
        self
    }

    /// Reads the tensor called `name` in the type it is stored in, 8-bit integers as 32-bit floats.
    ///
    /// # Errors
    /// [`Error::Malformed`] when there is none, or its type is not a floating-point one.
    pub fn read(&self, name: &str) -> Result<TensorData> {
        let tensor = self
            .get(name)
            .ok_or_else(|| Error::malformed(&self.path, format!("there is no tensor `{name}`")))?;
        match tensor.dtype {
            StoredType::Float(dtype) => Ok(tensor.data(dtype)),
            StoredType::Int8 => Ok(int8::floats(tensor)),
            StoredType::Other(other) => Err(Error::malformed(
                &self.path,
                format!("tensor `{name}` has elements of type {other}, expected floats"),
            )),
        }
    }
}

impl StoredTensor {
    /// The shape.
    pub fn shape(&self) -> &[usize] {
        &self.shape
    }

    /// The element type.
    pub fn dtype(&self) -> StoredType {
        self.dtype
    }

    /// The number of elements.
    pub fn elements(&self) -> usize {
        self.shape.iter().product()
    }

    /// The bytes of its elements in the file, as far as its type is known.
    pub fn bytes(&self) -> usize {
        match self.dtype {
            StoredType::Float(dtype) => self.elements() * dtype.size(),
            StoredType::Int8 => self.elements() + self.shape[0] * DType::F32.size(),
            StoredType::Other(_) => 0,
        }
    }

    /// The elements in row-major order. The index has checked that they lie inside the file.
    fn data(&self, dtype: DType) -> TensorData {
        let size = dtype.size();
        let bytes = self.file.bytes();
        let mut packed = Vec::with_capacity(self.elements() * size);
        if self.is_row_major() {
            let length = self.elements() * size;
            packed.extend_from_slice(&bytes[self.start..self.start + length]);
            self.file.forget(self.start, length);
        } else {
            let mut position = vec![0; self.shape.len()];
            for _ in 0..self.elements() {
                let offset: usize = position.iter().zip(&self.strides).map(|(p, s)| p * s).sum();
                let start = self.start + offset * size;
                packed.extend_from_slice(&bytes[start..start + size]);
                advance(&mut position, &self.shape);
            }
        }
        TensorData::from_bytes_vec(packed, self.shape.clone(), dtype)
    }

    fn is_row_major(&self) -> bool {
        row_major_strides(&self.shape) == self.strides
    }
}

impl StoredType {
    /// Whether a parameter can be loaded from it.
    pub fn is_loadable(self) -> bool {
        !matches!(self, Self::Other(_))
    }
}

impl std::fmt::Display for StoredType {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        match self {
            Self::Float(dtype) => f.write_str(dtype.name()),
            Self::Int8 => f.write_str("i8 with scales"),
            Self::Other(name) => f.write_str(name),
        }
    }
}

/// The strides, in elements, of a row-major tensor.
fn row_major_strides(shape: &[usize]) -> Vec<usize> {
    let mut strides = vec![1; shape.len()];
    for axis in (1..shape.len()).rev() {
        strides[axis - 1] = strides[axis] * shape[axis];
    }
    strides
}

/// Steps to the next position in row-major order.
fn advance(position: &mut [usize], shape: &[usize]) {
    for axis in (0..shape.len()).rev() {
        position[axis] += 1;
        if position[axis] < shape[axis] {
            return;
        }
        position[axis] = 0;
    }
}
