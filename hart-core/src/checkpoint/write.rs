//! Writing tensors one after the other: safetensors, and PyTorch state dictionaries.

use std::borrow::Cow;
use std::cell::{Cell, RefCell};
use std::fs::File;
use std::io::Write;
use std::path::Path;

use burn::tensor::DType;
use safetensors::{Dtype, View};
use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use crate::folder::write_atomically_by;
use crate::{Error, Result};

/// A tensor to be written. Its bytes are computed when it is written, so that no more than one
/// tensor of a large checkpoint is in memory at a time.
pub(super) struct Piece<'a> {
    pub(super) name: String,
    pub(super) dtype: DType,
    pub(super) shape: Vec<usize>,
    pub(super) bytes: Box<dyn Fn() -> Result<Cow<'a, [u8]>> + 'a>,
}

impl Piece<'_> {
    /// How the two formats call the element type.
    ///
    /// # Errors
    /// [`Error::Invalid`] for elements that are neither floats of 16 or 32 bits nor integers of 8.
    fn element(&self) -> Result<(Dtype, &'static str)> {
        match self.dtype {
            DType::F32 => Ok((Dtype::F32, "FloatStorage")),
            DType::F16 => Ok((Dtype::F16, "HalfStorage")),
            DType::BF16 => Ok((Dtype::BF16, "BFloat16Storage")),
            DType::I8 => Ok((Dtype::I8, "CharStorage")),
            other => Err(Error::invalid(
                format!("the element type of `{}`", self.name),
                format!("{other:?}"),
                "floats of 16 or 32 bits",
            )),
        }
    }

    fn length(&self) -> usize {
        self.shape.iter().product::<usize>() * self.dtype.size()
    }
}

/// What the safetensors crate calls for the bytes of one piece after the other. Its trait knows no
/// failure and no progress, so the first failure is kept here and pieces are counted here.
struct Writing<'a> {
    failure: RefCell<Option<Error>>,
    written: Cell<usize>,
    count: usize,
    progress: &'a dyn Fn(usize, usize),
}

/// A piece as the safetensors crate takes it.
struct Held<'a, 'b> {
    piece: &'b Piece<'a>,
    dtype: Dtype,
    writing: &'b Writing<'b>,
}

impl View for Held<'_, '_> {
    fn dtype(&self) -> Dtype {
        self.dtype
    }

    fn shape(&self) -> &[usize] {
        &self.piece.shape
    }

    fn data(&self) -> Cow<'_, [u8]> {
        let writing = self.writing;
        match (self.piece.bytes)() {
            Ok(bytes) => {
                writing.written.set(writing.written.get() + 1);
                (writing.progress)(writing.written.get(), writing.count);
                bytes
            }
            Err(error) => {
                writing.failure.borrow_mut().get_or_insert(error);
                vec![0; self.piece.length()].into()
            }
        }
    }

    fn data_len(&self) -> usize {
        self.piece.length()
    }
}

/// Writes a safetensors file, through a temporary one that is renamed at the end. `progress` is
/// given the number of pieces written so far and that of all.
pub(super) fn write_safetensors(
    path: &Path,
    pieces: &[Piece<'_>],
    progress: &dyn Fn(usize, usize),
) -> Result<()> {
    let (failure, written) = (RefCell::new(None), Cell::new(0));
    let writing = Writing { failure, written, count: pieces.len(), progress };
    let mut held = vec![];
    for piece in pieces {
        let (dtype, _) = piece.element()?;
        held.push((piece.name.as_str(), Held { piece, dtype, writing: &writing }));
    }
    write_atomically_by(path, |_, temporary| {
        let written = safetensors::serialize_to_file(held, None, temporary);
        if let Some(error) = writing.failure.take() {
            return Err(error);
        }
        written.map_err(|error| match error {
            safetensors::SafeTensorError::IoError(error) => Error::io(path, error),
            other => Error::invalid("the tensors", other, "tensors that a file can hold"),
        })
    })
}

/// Writes a PyTorch file with a dictionary of tensors, through a temporary one that is renamed at
/// the end. `progress` is given the number of pieces written so far and that of all.
pub(super) fn write_torch(
    path: &Path,
    pieces: &[Piece<'_>],
    progress: &dyn Fn(usize, usize),
) -> Result<()> {
    write_atomically_by(path, |file, _| {
        let failed = |error: zip::result::ZipError| Error::io(path, error.into());
        let mut archive = ZipWriter::new(file);
        let mut add = |name: &str, bytes: &[u8]| -> Result<()> {
            let stored = SimpleFileOptions::default()
                .compression_method(CompressionMethod::Stored)
                .large_file(bytes.len() >= u32::MAX as usize);
            archive.start_file(format!("archive/{name}"), stored).map_err(failed)?;
            archive.write_all(bytes).map_err(|error| Error::io(path, error))
        };
        add("data.pkl", &pickle(pieces)?)?;
        add("byteorder", b"little")?;
        for (index, piece) in pieces.iter().enumerate() {
            add(&format!("data/{index}"), &(piece.bytes)()?)?;
            progress(index + 1, pieces.len());
        }
        add("version", b"3\n")?;
        archive.finish().map(|_: &mut File| ()).map_err(failed)
    })
}

/// The pickle of a dictionary of tensors, each over a storage of its own.
fn pickle(pieces: &[Piece<'_>]) -> Result<Vec<u8>> {
    let mut out = Pickle(b"\x80\x02}(".to_vec());
    for (index, piece) in pieces.iter().enumerate() {
        let (_, storage) = piece.element()?;
        out.text(&piece.name);
        out.global("torch._utils", "_rebuild_tensor_v2");
        out.raw(b"((");
        out.text("storage");
        out.global("torch", storage);
        out.text(&index.to_string());
        out.text("cpu");
        out.integer(piece.shape.iter().product());
        out.raw(b"tQ");
        out.integer(0);
        out.tuple(&piece.shape);
        out.tuple(&super::row_major_strides(&piece.shape));
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
