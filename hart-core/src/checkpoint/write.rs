//! Writing tensors one after the other, as safetensors.

use std::borrow::Cow;
use std::collections::HashMap;
use std::io::Write;
use std::ops::ControlFlow;
use std::path::Path;

use burn::tensor::DType;
use safetensors::Dtype;
use safetensors::tensor::{Metadata, TensorInfo};

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
    pub(super) fn element(&self) -> Result<(Dtype, &'static str)> {
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

/// Told how many pieces are written of how many; `Break` ends the writing with
/// [`Error::Cancelled`].
pub(super) type Progress<'a> = &'a dyn Fn(usize, usize) -> ControlFlow<()>;

/// Writes a safetensors file, through a temporary one that is renamed at the end. As PyTorch's
/// libraries expect, its metadata say that the tensors are in PyTorch's layout.
#[cfg(feature = "fs")]
pub(super) fn write_safetensors(
    path: &Path,
    pieces: &[Piece<'_>],
    progress: Progress<'_>,
) -> Result<()> {
    crate::folder::write_atomically_by(path, |file| {
        let mut file = std::io::BufWriter::with_capacity(1 << 20, file);
        let about = HashMap::from([("format".to_string(), "pt".to_string())]);
        safetensors_into(&mut file, path, pieces, Some(about), progress)?;
        file.flush().map_err(|error| Error::io(path, error))
    })
}

/// Writes the content of a safetensors file: the length of the header, the header, and the pieces,
/// those with the widest elements first. The safetensors crate would make each piece without a way
/// for it to fail.
pub(super) fn safetensors_into(
    out: &mut impl Write,
    path: &Path,
    pieces: &[Piece<'_>],
    about: Option<HashMap<String, String>>,
    progress: Progress<'_>,
) -> Result<()> {
    let mut typed = vec![];
    for piece in pieces {
        typed.push((piece.element()?.0, piece));
    }
    typed.sort_by(|(a, left), (b, right)| b.cmp(a).then(left.name.cmp(&right.name)));
    let mut end = 0;
    let listed = typed.iter().map(|&(dtype, piece)| {
        let start = end;
        end += piece.length();
        let info = TensorInfo { dtype, shape: piece.shape.clone(), data_offsets: (start, end) };
        (piece.name.clone(), info)
    });
    let header = Metadata::new(about, listed.collect());
    let header = header
        .map_err(|error| Error::invalid("the tensors", error, "tensors that a file can hold"))?;
    let mut header = serde_json::to_vec(&header).map_err(|error| Error::malformed(path, error))?;
    header.resize(header.len().next_multiple_of(8), b' ');
    let mut write = |bytes: &[u8]| out.write_all(bytes).map_err(|error| Error::io(path, error));
    write(&(header.len() as u64).to_le_bytes())?;
    write(&header)?;
    for (index, (_, piece)) in typed.iter().enumerate() {
        write(&(piece.bytes)()?)?;
        went_on(progress(index + 1, pieces.len()))?;
    }
    Ok(())
}

/// [`Error::Cancelled`] when a progress function has asked to stop.
pub(super) fn went_on(flow: ControlFlow<()>) -> Result<()> {
    if flow.is_break() { Err(Error::Cancelled) } else { Ok(()) }
}
