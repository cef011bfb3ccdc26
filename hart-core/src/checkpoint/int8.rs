//! Matrices stored as 8-bit integers.
//!
//! A matrix `name` of type I8, `[out, in]`, has beside it `name.scale`, 32-bit floats `[out]`, the
//! scale of each row. The two are one tensor of a [`super::Checkpoint`], which is read as floats;
//! rounding these again gives the same integers and scales.

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::Arc;

use burn::tensor::{DType, TensorData};

use super::{StoredTensor, StoredType};
#[cfg(feature = "fs")]
use crate::int8::{round, scale_of, unit_of};
use crate::{Error, Result};

/// The suffix that makes the name of the scales from that of their matrix.
pub(super) const SCALE: &str = ".scale";
/// How an index calls elements of 8 bits, before they have found their scales.
pub(super) const INTEGERS: StoredType = StoredType::Other("i8");

/// Joins 8-bit matrices with their scales. Without scales a matrix keeps a type that no parameter can
/// be loaded from.
///
/// # Errors
/// [`Error::Malformed`] for scales that are not one finite number for each row.
pub(super) fn pair(path: &Path, tensors: &mut BTreeMap<String, StoredTensor>) -> Result<()> {
    let matrices = tensors.iter().filter(|(_, tensor)| tensor.dtype == INTEGERS);
    let names: Vec<String> = matrices.map(|(name, _)| name.clone()).collect();
    for name in names {
        let Some(scale) = tensors.remove(&format!("{name}{SCALE}")) else { continue };
        let matrix = tensors.get_mut(&name).expect("a tensor that was just listed");
        let [rows, _] = matrix.shape[..] else {
            let problem = format!("tensor `{name}` of 8-bit integers must be a matrix");
            return Err(Error::malformed(path, problem));
        };
        if scale.shape != [rows] || scale.dtype != StoredType::Float(DType::F32) {
            let (shape, dtype) = (&scale.shape, scale.dtype);
            let problem =
                format!("tensor `{name}{SCALE}` is {shape:?} of {dtype}, expected [{rows}] of f32");
            return Err(Error::malformed(path, problem));
        }
        let scales: Vec<f32> = scale.data(DType::F32).iter().collect();
        if let Some(bad) = scales.iter().find(|scale| !scale.is_finite() || **scale < 0.0) {
            let problem = format!("tensor `{name}{SCALE}` holds {bad}, expected finite scales");
            return Err(Error::malformed(path, problem));
        }
        matrix.dtype = StoredType::Int8;
        matrix.scales = Some(Arc::from(scales));
    }
    Ok(())
}

/// The floats that a matrix of integers stands for.
pub(super) fn floats(tensor: &StoredTensor) -> TensorData {
    let scales = tensor.scales.as_ref().expect("a matrix that was paired with its scales");
    let integers = tensor.data(DType::I8);
    let integers: &[i8] = integers.as_slice().expect("integers");
    let rows = integers.chunks(tensor.shape[1].max(1)).zip(scales.iter());
    let mut values = Vec::with_capacity(integers.len());
    for (row, scale) in rows {
        values.extend(row.iter().map(|&q| f32::from(q) * scale));
    }
    TensorData::new(values, tensor.shape.clone())
}

/// The scale of each row of a matrix with rows of `columns` values.
#[cfg(feature = "fs")]
pub(super) fn scales(values: &[f32], columns: usize) -> Vec<f32> {
    let rows = values.chunks(columns.max(1));
    rows.map(|row| scale_of(row.iter().fold(0.0, |most: f32, value| most.max(value.abs()))))
        .collect()
}

/// The integers of a matrix whose rows have these scales.
#[cfg(feature = "fs")]
pub(super) fn integers(values: &[f32], scales: &[f32]) -> Vec<i8> {
    let columns = values.len() / scales.len().max(1);
    let rows = values.chunks(columns.max(1)).zip(scales);
    rows.flat_map(|(row, &scale)| {
        let unit = unit_of(scale);
        row.iter().map(move |value| round(value * unit))
    })
    .collect()
}

#[cfg(all(test, feature = "fs"))]
mod tests {
    use super::{integers, scales};

    #[test]
    fn what_was_rounded_is_rounded_to_the_same() {
        let values: Vec<f32> = (0..3000u32)
            .map(|i| {
                (i.wrapping_mul(2_654_435_761) as f32 / 1e9).sin() * 10f32.powi(i as i32 / 400)
            })
            .collect();
        let columns = 30;
        let units = scales(&values, columns);
        let first = integers(&values, &units);
        let rows = first.chunks(columns).zip(&units);
        let again: Vec<f32> =
            rows.flat_map(|(row, scale)| row.iter().map(move |&q| f32::from(q) * scale)).collect();
        assert_ne!(again, values);
        assert_eq!(scales(&again, columns), units);
        assert_eq!(integers(&again, &units), first);
    }
}
