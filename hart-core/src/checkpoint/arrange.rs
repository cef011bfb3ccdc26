//! From the order and type that files have to those that layers have. Large matrices are the most of
//! what loading does, so this is done here and not element by element on a backend.

use burn::tensor::{DType, Element, ElementConversion, TensorData, bf16, f16};
use rayon::prelude::*;

use super::layout::Layout;
use super::{Checkpoint, StoredTensor, StoredType};
use crate::Result;

/// Rows and columns that are transposed at a time, so that both sides stay in the cache.
const BLOCK: usize = 32;

impl Checkpoint {
    /// Reads the tensor called `name` as elements of type `dtype` in an order of its own; only a
    /// matrix can be transposed.
    ///
    /// # Errors
    /// Those of [`Self::read`].
    pub(super) fn read_as(&self, name: &str, dtype: DType, layout: Layout) -> Result<TensorData> {
        if layout == Layout::Stored {
            return Ok(converted(self.read(name)?, dtype));
        }
        // Nearly all of a checkpoint are matrices that become 32-bit floats: those are not read
        // first and transposed afterwards, which would hold each of them twice.
        if dtype == DType::F32
            && let Some(data) = self.get(name).and_then(StoredTensor::transposed)
        {
            return Ok(data);
        }
        Ok(transposed(&converted(self.read(name)?, dtype)))
    }
}

impl StoredTensor {
    /// A matrix as 32-bit floats, transposed in one pass over the file; `None` unless it lies there
    /// row by row in one of the types below.
    fn transposed(&self) -> Option<TensorData> {
        let [rows, columns] = self.shape[..] else { return None };
        if !self.is_row_major() {
            return None;
        }
        let size = match self.dtype {
            StoredType::Float(dtype) => dtype.size(),
            StoredType::Int8 => 1,
            StoredType::Other(_) => return None,
        };
        let length = rows * columns * size;
        let bytes = &self.file.bytes()[self.start..self.start + length];
        let data = match (self.dtype, &self.scales) {
            (StoredType::Float(DType::F32), _) => gather([rows, columns], |row, column| {
                f32::from_le_bytes(element(bytes, row * columns + column))
            }),
            (StoredType::Float(DType::BF16), _) => gather([rows, columns], |row, column| {
                bf16::from_le_bytes(element(bytes, row * columns + column)).to_f32()
            }),
            (StoredType::Float(DType::F16), _) => gather([rows, columns], |row, column| {
                f16::from_le_bytes(element(bytes, row * columns + column)).to_f32()
            }),
            (StoredType::Int8, Some(scales)) => gather([rows, columns], |row, column| {
                f32::from(bytes[row * columns + column] as i8) * scales[row]
            }),
            _ => return None,
        };
        self.file.forget(self.start, length);
        Some(data)
    }
}

/// The `N` bytes of an element.
#[inline(always)]
fn element<const N: usize>(bytes: &[u8], index: usize) -> [u8; N] {
    bytes[index * N..][..N].try_into().expect("a slice of N bytes")
}

/// The same values in another type. burn converts one element at a time on one thread; the two
/// conversions that nearly every checkpoint needs are done on all threads here.
fn converted(data: TensorData, dtype: DType) -> TensorData {
    match (data.dtype, dtype) {
        (DType::BF16, DType::F32) => widened(&data, bf16::to_f32),
        (DType::F16, DType::F32) => widened(&data, f16::to_f32),
        _ => data.convert_dtype(dtype),
    }
}

fn widened<E: Element>(data: &TensorData, widen: impl Fn(E) -> f32 + Sync) -> TensorData {
    let narrow = data.as_slice::<E>().expect("the type that it has");
    let wide: Vec<f32> = narrow.par_iter().map(|&value| widen(value)).collect();
    TensorData::new(wide, data.shape.clone())
}

/// A matrix with its rows and columns transposed.
fn transposed(data: &TensorData) -> TensorData {
    fn of<E: Element>(data: &TensorData) -> TensorData {
        let values = data.as_slice::<E>().expect("the type that it has");
        let columns = data.shape[1];
        gather([data.shape[0], columns], |row, column| values[row * columns + column])
    }
    match data.dtype {
        DType::F32 => of::<f32>(data),
        DType::BF16 => of::<bf16>(data),
        DType::F16 => of::<f16>(data),
        _ => unreachable!("parameters are floats of 16 or 32 bits"),
    }
}

/// The transposed matrix, `[columns, rows]`, of the values of a matrix `[rows, columns]`.
fn gather<E: Element>(
    [rows, columns]: [usize; 2],
    value: impl Fn(usize, usize) -> E + Sync,
) -> TensorData {
    let mut out = vec![0.elem::<E>(); rows * columns];
    let strips = out.par_chunks_mut((BLOCK * rows).max(1)).enumerate();
    strips.for_each(|(strip, out)| {
        let width = out.len() / rows;
        for top in (0..rows).step_by(BLOCK) {
            for row in top..rows.min(top + BLOCK) {
                for column in 0..width {
                    out[column * rows + row] = value(row, strip * BLOCK + column);
                }
            }
        }
    });
    TensorData::new(out, [columns, rows])
}

#[cfg(all(test, feature = "fs"))]
mod tests {
    use std::collections::BTreeMap;
    use std::ops::ControlFlow;

    use burn::tensor::{DType, TensorData};

    use super::super::write::{Piece, write_safetensors};
    use super::super::{Checkpoint, int8};
    use super::{Layout, converted, transposed};

    const TYPES: [DType; 3] = [DType::F32, DType::F16, DType::BF16];

    fn values(count: usize) -> Vec<f32> {
        (0..count).map(|i| (i as f32 * 0.7).sin()).collect()
    }

    #[test]
    fn rows_become_columns() {
        for [rows, columns] in [[1, 1], [3, 70], [70, 3], [64, 33], [0, 5]] {
            for dtype in TYPES {
                let data = TensorData::new(values(rows * columns), [rows, columns]);
                let data = data.convert_dtype(dtype);
                let found = transposed(&data);
                assert_eq!(found.shape.to_vec(), [columns, rows]);
                let stored: Vec<f32> = data.iter().collect();
                let column = |column| (0..rows).map(move |row| row * columns + column);
                let expected: Vec<f32> =
                    (0..columns).flat_map(column).map(|index| stored[index]).collect();
                assert_eq!(found.iter::<f32>().collect::<Vec<_>>(), expected);
            }
        }
    }

    #[test]
    fn halves_become_what_they_are() {
        let values = TensorData::from([0.0f32, -1.5, 3.0e-5, 65504.0, -0.1]);
        for dtype in TYPES {
            let halves = values.clone().convert_dtype(dtype);
            assert_eq!(converted(halves.clone(), DType::F32), halves.convert_dtype(DType::F32));
        }
    }

    #[test]
    fn one_pass_over_the_file_gives_what_reading_and_transposing_gives() {
        let (rows, columns) = (37, 70);
        let floats = values(rows * columns);
        let mut tensors: BTreeMap<String, (DType, Vec<usize>, Vec<u8>)> = BTreeMap::new();
        for dtype in TYPES {
            let data = TensorData::new(floats.clone(), [rows, columns]).convert_dtype(dtype);
            let bytes = data.as_bytes().to_vec();
            tensors.insert(format!("{dtype:?}"), (dtype, vec![rows, columns], bytes));
        }
        let scales = int8::scales(&floats, columns);
        let integers = int8::integers(&floats, &scales).into_iter().map(|q| q as u8).collect();
        tensors.insert("I8".to_string(), (DType::I8, vec![rows, columns], integers));
        let scales = scales.iter().flat_map(|scale| scale.to_le_bytes()).collect();
        tensors.insert(format!("I8{}", int8::SCALE), (DType::F32, vec![rows], scales));
        let pieces: Vec<Piece<'_>> = tensors
            .iter()
            .map(|(name, (dtype, shape, bytes))| Piece {
                name: name.clone(),
                dtype: *dtype,
                shape: shape.clone(),
                bytes: Box::new(|| Ok(bytes.as_slice().into())),
            })
            .collect();
        let folder = tempfile::tempdir().expect("a folder");
        let path = folder.path().join("model.safetensors");
        write_safetensors(&path, &pieces, &|_, _| ControlFlow::Continue(())).expect("a file");
        let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
        assert_eq!(checkpoint.names().count(), TYPES.len() + 1);
        for name in checkpoint.names() {
            for dtype in TYPES {
                let found = checkpoint.read_as(name, dtype, Layout::Transposed).expect("a matrix");
                let read = checkpoint.read(name).expect("a matrix").convert_dtype(dtype);
                assert_eq!(found, transposed(&read), "{name} as {dtype:?}");
            }
        }
    }
}
