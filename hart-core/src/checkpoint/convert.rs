//! Writing a checkpoint anew with its large weights in another type.

use std::borrow::Cow;
use std::cell::OnceCell;
use std::collections::BTreeMap;
use std::ops::ControlFlow;
use std::path::Path;
use std::rc::Rc;

use burn::module::Module;
use burn::tensor::{DType, backend::Backend};

use super::layout::follows_precision;
use super::torch::write_torch;
use super::write::{Piece, write_safetensors};
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
/// `progress` is given the number of tensors written so far and that of all, and may end the writing.
///
/// # Errors
/// [`Error::Malformed`] for a tensor that is not there, is not of floats, or holds a value that its
/// format does not; [`Error::Io`] when the file cannot be written; [`Error::Cancelled`] when
/// `progress` ended it. Then nothing is left of it.
pub fn convert(
    checkpoint: &Checkpoint,
    formats: &BTreeMap<String, StoredAs>,
    container: Container,
    path: impl AsRef<Path>,
    progress: &dyn Fn(usize, usize) -> ControlFlow<()>,
) -> Result<()> {
    let mut pieces = vec![];
    for (name, format) in formats {
        pieces.extend(pieces_of(checkpoint, name, *format)?);
    }
    match container {
        Container::Safetensors => write_safetensors(path.as_ref(), &pieces, progress),
        Container::Torch => write_torch(path.as_ref(), &pieces, progress),
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
            return Ok(Quantized::new(checkpoint, name, [rows, columns]).pieces());
        }
        (StoredAs::Float(dtype), _) => dtype,
        (StoredAs::Same, StoredType::Float(DType::F64)) => DType::F32,
        (StoredAs::Same, StoredType::Float(dtype)) => dtype,
    };
    let bytes = move || {
        let data = checkpoint.read_finite(name, dtype)?;
        Ok(Cow::Owned(data.as_bytes().to_vec()))
    };
    Ok(vec![Piece { name: name.to_string(), dtype, shape, bytes: Box::new(bytes) }])
}

/// A matrix `[rows, columns]` that is written as integers and their scales.
///
/// Scales are few and kept once they are known. Integers are not: safetensors files have the scales
/// of all matrices before the integers of any, so that to read each matrix a second time is what
/// keeps no more than one of them in memory.
struct Quantized<'a> {
    checkpoint: &'a Checkpoint,
    name: &'a str,
    shape: [usize; 2],
    scales: OnceCell<Vec<f32>>,
}

impl<'a> Quantized<'a> {
    fn new(checkpoint: &'a Checkpoint, name: &'a str, shape: [usize; 2]) -> Self {
        Self { checkpoint, name, shape, scales: OnceCell::new() }
    }

    fn pieces(self) -> Vec<Piece<'a>> {
        let [rows, columns] = self.shape;
        let matrix = Rc::new(self);
        let integers = Piece {
            name: matrix.name.to_string(),
            dtype: DType::I8,
            shape: vec![rows, columns],
            bytes: Box::new({
                let matrix = matrix.clone();
                move || matrix.integers()
            }),
        };
        let scales = Piece {
            name: format!("{}{}", matrix.name, int8::SCALE),
            dtype: DType::F32,
            shape: vec![rows],
            bytes: Box::new(move || matrix.scales()),
        };
        vec![integers, scales]
    }

    fn values(&self) -> Result<Vec<f32>> {
        let data = self.checkpoint.read_finite(self.name, DType::F32)?;
        Ok(data.iter::<f32>().collect())
    }

    fn scales_of(&self, values: &[f32]) -> &[f32] {
        self.scales.get_or_init(|| int8::scales(values, self.shape[1]))
    }

    fn integers(&self) -> Result<Cow<'a, [u8]>> {
        let values = self.values()?;
        let integers = int8::integers(&values, self.scales_of(&values));
        Ok(integers.into_iter().map(|integer| integer as u8).collect())
    }

    fn scales(&self) -> Result<Cow<'a, [u8]>> {
        let scales = match self.scales.get() {
            Some(scales) => scales,
            None => self.scales_of(&self.values()?),
        };
        Ok(scales.iter().flat_map(|scale| scale.to_le_bytes()).collect())
    }
}
