//! Writing a checkpoint anew with its large weights in another type.

use std::borrow::Cow;
use std::cell::Cell;
use std::collections::BTreeMap;
use std::path::Path;

use burn::module::Module;
use burn::tensor::{DType, TensorData, backend::Backend};

use super::layout::follows_precision;
use super::write::{Piece, write_safetensors, write_torch};
use super::{Checkpoint, NameTable, StoredType, check, int8};
use crate::walk::{self, Place};
use crate::{Error, Precision, Result};

/// What a tensor of a converted checkpoint is stored as.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum StoredAs {
    /// The type it has.
    Same,
    /// Floats of this type.
    Float(DType),
    /// 8-bit integers `name` with a scale for each row, `name.scale`.
    Int8,
}

/// The file format of a checkpoint.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Container {
    /// `.safetensors`
    Safetensors,
    /// A PyTorch file with a dictionary of tensors.
    Torch,
}

/// How the parameters of `module` are stored for this precision, by their names in `checkpoint`:
/// so that the smaller file, loaded in that precision, gives the very module that the larger one
/// gives. What no parameter is loaded from is not listed.
///
/// # Errors
/// [`Error::Weights`] when the checkpoint does not fit the module.
pub fn stored_formats<B: Backend, M: Module<B>>(
    module: &M,
    checkpoint: &Checkpoint,
    table: &NameTable,
    precision: Precision,
) -> Result<BTreeMap<String, StoredAs>> {
    check(module, checkpoint, table)?;
    let parameters = walk::parameters(module).into_iter();
    let formats = parameters.map(|parameter| {
        let name = table.stored_name(&parameter.place.path(), checkpoint);
        let name = name.expect("a checkpoint that was checked");
        (name, stored_format(&parameter.place, table, precision))
    });
    Ok(formats.collect())
}

fn stored_format(place: &Place, table: &NameTable, precision: Precision) -> StoredAs {
    match precision {
        Precision::Int8 if table.is_rounded(&place.path()) => StoredAs::Int8,
        Precision::Int8 => StoredAs::Same,
        precision if follows_precision(place, table) => StoredAs::Float(precision.dtype()),
        _ => StoredAs::Same,
    }
}

/// Writes the tensors of `checkpoint` that `formats` lists to `path`, each in its format, through a
/// temporary file that is renamed at the end. No more than a tensor at a time is in memory;
/// `progress` is told how many of them are written and how many there are.
///
/// # Errors
/// [`Error::Malformed`] for a tensor that is not there, is not of floats, or holds a value that its
/// format does not; [`Error::Io`] when the file cannot be written. Then nothing is left of it.
pub fn convert(
    checkpoint: &Checkpoint,
    formats: &BTreeMap<String, StoredAs>,
    container: Container,
    path: impl AsRef<Path>,
    progress: &dyn Fn(usize, usize),
) -> Result<()> {
    let mut pieces = vec![];
    for (name, format) in formats {
        pieces.extend(pieces_of(checkpoint, name, *format)?);
    }
    let (count, done) = (pieces.len(), Cell::new(0));
    let told = pieces.into_iter().map(|piece| {
        let (bytes, done) = (piece.bytes, &done);
        let bytes = move || {
            let bytes = bytes()?;
            done.set(done.get() + 1);
            progress(done.get(), count);
            Ok(bytes)
        };
        Piece { bytes: Box::new(bytes), ..piece }
    });
    let pieces: Vec<Piece<'_>> = told.collect();
    match container {
        Container::Safetensors => write_safetensors(path.as_ref(), &pieces),
        Container::Torch => write_torch(path.as_ref(), &pieces),
    }
}

/// What is written of a tensor: itself, or integers and their scales.
fn pieces_of<'a>(
    checkpoint: &'a Checkpoint,
    name: &'a str,
    format: StoredAs,
) -> Result<Vec<Piece<'a>>> {
    let refused = |problem| Error::malformed(checkpoint.path(), problem);
    let stored = checkpoint.get(name);
    let stored = stored.ok_or_else(|| refused(format!("there is no tensor `{name}`")))?;
    let shape = stored.shape().to_vec();
    let dtype = match (format, stored.dtype()) {
        (_, StoredType::Other(other)) => {
            let problem = format!("tensor `{name}` has elements of type {other}, expected floats");
            return Err(refused(problem));
        }
        (StoredAs::Int8, _) | (StoredAs::Same, StoredType::Int8) => {
            let [rows, columns] = shape[..] else {
                let problem = format!("tensor `{name}` is {shape:?}, expected a matrix");
                return Err(refused(problem));
            };
            return Ok(rounded(checkpoint, name, [rows, columns]));
        }
        (StoredAs::Float(dtype), _) => dtype,
        (StoredAs::Same, StoredType::Float(DType::F64)) => DType::F32,
        (StoredAs::Same, StoredType::Float(dtype)) => dtype,
    };
    let bytes = move || {
        let data = finite(checkpoint, name, checkpoint.read(name)?)?;
        let data = finite(checkpoint, name, data.convert_dtype(dtype))?;
        Ok(Cow::Owned(data.as_bytes().to_vec()))
    };
    Ok(vec![Piece { name: name.to_string(), dtype, shape, bytes: Box::new(bytes) }])
}

/// A matrix of integers and its scales. The matrix is read for each of the two, which takes less
/// than keeping one while others are written.
fn rounded<'a>(
    checkpoint: &'a Checkpoint,
    name: &'a str,
    [rows, columns]: [usize; 2],
) -> Vec<Piece<'a>> {
    let values = move || {
        let data = finite(checkpoint, name, checkpoint.read(name)?)?;
        Ok(data.convert_dtype(DType::F32))
    };
    let values = move || -> Result<Vec<f32>> { Ok(values()?.iter::<f32>().collect()) };
    let integers = move || {
        let integers = int8::integers(&values()?, columns);
        let bytes: Vec<u8> = integers.into_iter().map(|integer| integer as u8).collect();
        Ok(bytes.into())
    };
    let scales = move || {
        let scales = int8::scales(&values()?, columns);
        let bytes: Vec<u8> = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        Ok(bytes.into())
    };
    vec![
        Piece {
            name: name.to_string(),
            dtype: DType::I8,
            shape: vec![rows, columns],
            bytes: Box::new(integers),
        },
        Piece {
            name: format!("{name}{}", int8::SCALE),
            dtype: DType::F32,
            shape: vec![rows],
            bytes: Box::new(scales),
        },
    ]
}

/// The same tensor.
///
/// # Errors
/// [`Error::Malformed`] when it holds a value that is no finite number, or was too large for its
/// type.
fn finite(checkpoint: &Checkpoint, name: &str, data: TensorData) -> Result<TensorData> {
    let finite = data.iter::<f32>().all(f32::is_finite);
    match finite {
        true => Ok(data),
        false => Err(Error::malformed(
            checkpoint.path(),
            format!("tensor `{name}` holds values that are no finite {:?}", data.dtype),
        )),
    }
}
