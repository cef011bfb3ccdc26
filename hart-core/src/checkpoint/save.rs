//! Taking the parameters out of a module and writing them in the layout they are read in.

use std::collections::BTreeMap;
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use safetensors::tensor::TensorView;

use super::NameTable;
use super::layout::Layout;
use super::write::{Piece, write_safetensors, write_torch};
use crate::walk::{self, Place};
use crate::{Error, Result};

/// Every parameter of a module as a checkpoint stores it: under its name there, weights of linear
/// layers as `[out, in]`, in the type the module has it in.
///
/// # Errors
/// [`Error::Invalid`] when a layer is prepared: its weights are no longer there.
pub fn tensors<B: Backend, M: Module<B>>(
    module: &M,
    table: &NameTable,
) -> Result<BTreeMap<String, TensorData>> {
    let mut collector = Collector { table, tensors: BTreeMap::new() };
    walk::visit(module, &mut collector)?;
    Ok(collector.tensors)
}

struct Collector<'a> {
    table: &'a NameTable,
    tensors: BTreeMap<String, TensorData>,
}

impl<B: Backend> walk::Visit<B> for Collector<'_> {
    fn parameter<const D: usize>(&mut self, place: &Place, param: &Param<Tensor<B, D>>) {
        let tensor = match Layout::of(place, D) {
            Layout::Transposed => param.val().transpose(),
            Layout::Stored => param.val(),
        };
        self.tensors.insert(self.table.first_name(place.path()), tensor.into_data());
    }
}

/// Writes a safetensors file, through a temporary one that is renamed at the end.
///
/// # Errors
/// [`Error::Io`] when it cannot be written, and those of [`to_safetensors`].
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &BTreeMap<String, TensorData>,
) -> Result<()> {
    write_safetensors(path.as_ref(), &pieces(tensors), &|_, _| ())
}

/// Writes a PyTorch file with a dictionary of tensors, as `torch.save` does and
/// [`super::Checkpoint::open_torch`] reads, through a temporary one that is renamed at the end.
///
/// # Errors
/// As [`save_safetensors`].
pub fn save_torch(path: impl AsRef<Path>, tensors: &BTreeMap<String, TensorData>) -> Result<()> {
    write_torch(path.as_ref(), &pieces(tensors), &|_, _| ())
}

fn pieces(tensors: &BTreeMap<String, TensorData>) -> Vec<Piece<'_>> {
    let tensors = tensors.iter().map(|(name, data)| Piece {
        name: name.clone(),
        dtype: data.dtype,
        shape: data.shape.to_vec(),
        bytes: Box::new(|| Ok(data.as_bytes().into())),
    });
    tensors.collect()
}

/// The content of a safetensors file.
///
/// # Errors
/// [`Error::Invalid`] for elements that are not floats of 16 or 32 bits.
pub fn to_safetensors(tensors: &BTreeMap<String, TensorData>) -> Result<Vec<u8>> {
    let mut views = vec![];
    for (name, data) in tensors {
        let dtype = match data.dtype {
            DType::F32 => safetensors::Dtype::F32,
            DType::F16 => safetensors::Dtype::F16,
            DType::BF16 => safetensors::Dtype::BF16,
            other => return Err(unsupported(name, other)),
        };
        let view = TensorView::new(dtype, data.shape.to_vec(), data.as_bytes());
        views.push((name, view.map_err(|error| Error::invalid(name, error, "a whole tensor"))?));
    }
    let bytes = safetensors::serialize(views, None);
    bytes.map_err(|error| Error::invalid("the tensors", error, "tensors that a file can hold"))
}

fn unsupported(name: &str, dtype: DType) -> Error {
    let found = format!("{dtype:?}");
    Error::invalid(format!("the element type of `{name}`"), found, "floats of 16 or 32 bits")
}
