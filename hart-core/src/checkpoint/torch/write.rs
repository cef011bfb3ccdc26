//! Writing PyTorch state dictionaries.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use zip::write::SimpleFileOptions;
use zip::{CompressionMethod, ZipWriter};

use super::super::row_major_strides;
use super::super::write::{Piece, Progress, went_on};
use crate::folder::write_atomically_by;
use crate::{Error, Result};

/// Writes a PyTorch file with a dictionary of tensors, through a temporary one that is renamed at
/// the end.
pub(in super::super) fn write_torch(
    path: &Path,
    pieces: &[Piece<'_>],
    progress: Progress<'_>,
) -> Result<()> {
    write_atomically_by(path, |file| {
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
            went_on(progress(index + 1, pieces.len()))?;
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
        out.tuple(&row_major_strides(&piece.shape));
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
