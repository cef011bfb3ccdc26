//! Values that are not finite: weights with one are refused when they are loaded, in every precision.

use burn::module::Module;
use burn::tensor::{DType, TensorData, backend::Backend};
use rayon::prelude::*;

use super::layout::Layout;
use super::{Checkpoint, NameTable, StoredType};
use crate::walk;
use crate::{Error, Result};

/// Elements that are looked at together.
const PART: usize = 1 << 16;

impl Checkpoint {
    /// Reads the tensor called `name` as elements of type `dtype`.
    ///
    /// # Errors
    /// As [`Self::read`], and [`Error::Malformed`] when it holds a value that is not finite, or too
    /// large for the type.
    pub fn read_finite(&self, name: &str, dtype: DType) -> Result<TensorData> {
        let data = self.read_as(name, dtype, Layout::Stored)?;
        self.refuse_not_finite(name, &data)?;
        Ok(data)
    }

    /// Refuses a tensor that was read as `data`, if a value of it is not finite.
    pub(super) fn refuse_not_finite(&self, name: &str, data: &TensorData) -> Result<()> {
        if not_finite(data.as_bytes(), data.dtype).is_none() {
            return Ok(());
        }
        // What the file holds says whether it is damaged, or the type too narrow.
        self.check_finite(name)?;
        let dtype = data.dtype.name();
        let problem = format!("tensor `{name}` holds values that are too large for {dtype}");
        Err(Error::malformed(&self.path, problem))
    }

    /// Checks that all values of the tensor called `name` are finite, in the type they are stored
    /// in; a tensor that is not of floats passes.
    ///
    /// # Errors
    /// [`Error::Malformed`] for the first that is not, and when there is no such tensor.
    pub fn check_finite(&self, name: &str) -> Result<()> {
        let Some(tensor) = self.get(name) else { return self.read(name).map(|_| ()) };
        let StoredType::Float(dtype) = tensor.dtype() else { return Ok(()) };
        let found = if tensor.is_row_major() {
            let length = tensor.bytes();
            let bytes = &tensor.file.bytes()[tensor.start..tensor.start + length];
            let found = not_finite(bytes, dtype);
            tensor.file.forget(tensor.start, length);
            found
        } else {
            not_finite(tensor.data(dtype).as_bytes(), dtype)
        };
        let Some(index) = found else { return Ok(()) };
        let value: f32 = tensor.data(dtype).iter().nth(index).unwrap_or(f32::NAN);
        let problem =
            format!("tensor `{name}` holds {value}, expected finite values: it is damaged");
        Err(Error::malformed(&self.path, problem))
    }
}

/// Checks that all parameters of `module` have finite values in `checkpoint`; those that are missing
/// pass. Unlike [`check`](super::check), this reads the weights.
///
/// # Errors
/// [`Error::Malformed`] with the name of the first tensor that has not.
pub fn check_values<B: Backend, M: Module<B>>(
    module: &M,
    checkpoint: &Checkpoint,
    table: &NameTable,
) -> Result<()> {
    let parameters = walk::parameters(module).into_iter();
    let names = parameters.filter_map(|one| table.stored_name(&one.place.path(), checkpoint));
    names.into_iter().try_for_each(|name| checkpoint.check_finite(&name))
}

/// The index of an element that is NaN or infinite: of those whose exponent has no bit unset.
fn not_finite(bytes: &[u8], dtype: DType) -> Option<usize> {
    match dtype {
        DType::F64 => find(bytes, |b| u64::from_le_bytes(b) & (0x7ff << 52) == 0x7ff << 52),
        DType::F32 => find(bytes, |b| u32::from_le_bytes(b) & (0xff << 23) == 0xff << 23),
        DType::F16 => find(bytes, |b| u16::from_le_bytes(b) & 0x7c00 == 0x7c00),
        DType::BF16 => find(bytes, |b| u16::from_le_bytes(b) & 0x7f80 == 0x7f80),
        _ => None,
    }
}

fn find<const N: usize>(bytes: &[u8], is_bad: impl Fn([u8; N]) -> bool + Sync) -> Option<usize> {
    let (elements, _) = bytes.as_chunks::<N>();
    let parts = elements.par_chunks(PART).enumerate();
    parts.find_map_first(|(part, elements)| {
        // Without an early end, so that the loop is one of vectors.
        let any = elements.iter().fold(false, |any, &element| any | is_bad(element));
        let index = any.then(|| elements.iter().position(|&element| is_bad(element))).flatten();
        index.map(|index| part * PART + index)
    })
}

#[cfg(test)]
mod tests {
    use burn::tensor::{DType, TensorData};

    use super::{PART, not_finite};

    #[test]
    fn the_first_value_that_is_not_finite_is_found_in_every_type() {
        for dtype in [DType::F64, DType::F32, DType::F16, DType::BF16] {
            for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
                let mut values: Vec<f32> = (0..PART + 9).map(|i| (i as f32).sin()).collect();
                let find = |values: &[f32]| {
                    let data = TensorData::new(values.to_vec(), [values.len()]);
                    not_finite(data.convert_dtype(dtype).as_bytes(), dtype)
                };
                assert_eq!(find(&values), None);
                values[PART + 3] = bad;
                values[PART + 5] = bad;
                assert_eq!(find(&values), Some(PART + 3), "{bad} as {dtype:?}");
            }
        }
    }
}
