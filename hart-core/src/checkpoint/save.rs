//! Taking the parameters out of a module and writing them in the layout they are read in.

use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};

use super::NameTable;
use super::layout::Layout;
#[cfg(feature = "fs")]
use super::torch::write_torch;
#[cfg(feature = "fs")]
use super::write::write_safetensors;
use super::write::{Piece, safetensors_into};
use crate::Result;
use crate::walk::{self, Place};

/// Every parameter of a module as a checkpoint stores it: under its name there, weights of linear
/// layers as `[out, in]`, in the type the module has it in.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when a layer is prepared: its weights are no longer there.
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
/// [`Error::Io`](crate::Error::Io) when it cannot be written, and those of [`to_safetensors`].
#[cfg(feature = "fs")]
pub fn save_safetensors(
    path: impl AsRef<Path>,
    tensors: &BTreeMap<String, TensorData>,
) -> Result<()> {
    write_safetensors(path.as_ref(), &pieces(tensors), &|_, _| ControlFlow::Continue(()))
}

/// Writes a PyTorch file with a dictionary of tensors, as `torch.save` does and
/// [`super::Checkpoint::open_torch`] reads, through a temporary one that is renamed at the end.
///
/// # Errors
/// As [`save_safetensors`].
#[cfg(feature = "fs")]
pub fn save_torch(path: impl AsRef<Path>, tensors: &BTreeMap<String, TensorData>) -> Result<()> {
    write_torch(path.as_ref(), &pieces(tensors), &|_, _| ControlFlow::Continue(()))
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

/// The content of a safetensors file without metadata, as archives hold it.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) for elements that are not floats of 16 or 32 bits.
pub fn to_safetensors(tensors: &BTreeMap<String, TensorData>) -> Result<Vec<u8>> {
    let mut content = vec![];
    let memory = Path::new("memory");
    let go_on = &|_, _| ControlFlow::Continue(());
    safetensors_into(&mut content, memory, &pieces(tensors), None, go_on)?;
    Ok(content)
}
