//! Writing checkpoints in the layout they are read in: safetensors, and PyTorch state dictionaries.

use std::collections::BTreeMap;
use std::io::{Cursor, Write};
use std::path::Path;

use burn::module::{Module, ModuleVisitor, Param};
use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use safetensors::tensor::TensorView;
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::NameTable;
use super::load::Place;
use crate::folder::write_atomically;
use crate::{Error, Result};

/// Every parameter of a module as a checkpoint stores it: under its name there, weights of linear
/// layers as `[out, in]`, in the type the module has it in.
pub fn tensors<B: Backend, M: Module<B>>(
    module: &M,
    table: &NameTable,
) -> BTreeMap<String, TensorData> {
    let mut collector = Collector { place: Place::default(), table, tensors: BTreeMap::new() };
    module.visit(&mut collector);
    collector.tensors
}

struct Collector<'a> {
    place: Place,
    table: &'a NameTable,
    tensors: BTreeMap<String, TensorData>,
}

impl<B: Backend> ModuleVisitor<B> for Collector<'_> {
    fn enter_module(&mut self, name: &str, container: &str) {
        self.place.enter(name, container);
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.place.exit();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let tensor = param.val();
        let tensor = match self.place.is_transposed(D) {
            true => tensor.transpose(),
            false => tensor,
        };
        self.tensors.insert(self.table.first_name(self.place.path()), tensor.into_data());
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
    write_atomically(path, &to_safetensors(tensors)?)
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
    bytes.map_err(|error| Error::invalid("the tensors", error, "savable ones"))
}

/// Writes a PyTorch file with a dictionary of tensors, as `torch.save` does and
/// [`super::Checkpoint::open_torch`] reads, through a temporary one that is renamed at the end.
///
/// # Errors
/// As [`save_safetensors`].
pub fn save_torch(path: impl AsRef<Path>, tensors: &BTreeMap<String, TensorData>) -> Result<()> {
    let path = path.as_ref();
    let failed = |error: zip::result::ZipError| Error::io(path, error.into());
    let mut archive = ZipWriter::new(Cursor::new(vec![]));
    let stored = SimpleFileOptions::default().compression_method(CompressionMethod::Stored);
    let mut add = |name: &str, bytes: &[u8]| -> Result<()> {
        archive.start_file(format!("archive/{name}"), stored).map_err(failed)?;
        archive.write_all(bytes).map_err(|error| Error::io(path, error))
    };
    add("data.pkl", &pickle(tensors)?)?;
    add("byteorder", b"little")?;
    for (index, data) in tensors.values().enumerate() {
        add(&format!("data/{index}"), data.as_bytes())?;
    }
    add("version", b"3\n")?;
    let bytes = archive.finish().map_err(failed)?.into_inner();
    write_atomically(path, &bytes)
}

/// The pickle of a dictionary of tensors, each over a storage of its own.
fn pickle(tensors: &BTreeMap<String, TensorData>) -> Result<Vec<u8>> {
    let mut out = Pickle(b"\x80\x02}(".to_vec());
    for (index, (name, data)) in tensors.iter().enumerate() {
        let storage = match data.dtype {
            DType::F32 => "FloatStorage",
            DType::F16 => "HalfStorage",
            DType::BF16 => "BFloat16Storage",
            other => return Err(unsupported(name, other)),
        };
        let shape = data.shape.to_vec();
        out.text(name);
        out.global("torch._utils", "_rebuild_tensor_v2");
        out.raw(b"((");
        out.text("storage");
        out.global("torch", storage);
        out.text(&index.to_string());
        out.text("cpu");
        out.integer(shape.iter().product());
        out.raw(b"tQ");
        out.integer(0);
        out.tuple(&shape);
        out.tuple(&super::row_major_strides(&shape));
        out.raw(b"\x89");
        out.global("collections", "OrderedDict");
        out.raw(b")RtR");
    }
    out.raw(b"u.");
    Ok(out.0)
}

/// The few opcodes that a dictionary of tensors needs.
struct Pickle(Vec<u8>);

impl Pickle {
    fn raw(&mut self, bytes: &[u8]) {
        self.0.extend_from_slice(bytes);
    }

    fn text(&mut self, text: &str) {
        self.raw(b"X");
        self.raw(&(text.len() as u32).to_le_bytes());
        self.raw(text.as_bytes());
    }

    fn global(&mut self, module: &str, name: &str) {
        self.raw(format!("c{module}\n{name}\n").as_bytes());
    }

    /// A whole number below 2⁶³.
    fn integer(&mut self, value: usize) {
        self.raw(b"\x8a\x08");
        self.raw(&(value as u64).to_le_bytes());
    }

    fn tuple(&mut self, values: &[usize]) {
        self.raw(b"(");
        values.iter().for_each(|&value| self.integer(value));
        self.raw(b"t");
    }
}

fn unsupported(name: &str, dtype: DType) -> Error {
    let found = format!("{dtype:?}");
    Error::invalid(format!("the element type of `{name}`"), found, "floats of 16 or 32 bits")
}
