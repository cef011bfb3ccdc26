//! The folder of recordings, and what is read from it.

use std::path::{Path, PathBuf};

use burn::tensor::{DType, Int, Tensor, TensorData, backend::Backend};
use hart_core::checkpoint::LoadOptions;
use libtest_mimic::Failed;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

use crate::names;
use crate::trace::Trace;

/// The folder of recordings.
pub(crate) struct Fixtures(PathBuf);

impl Fixtures {
    /// `HART_FIXTURES`, or `fixtures/` of the workspace.
    pub(crate) fn find() -> Self {
        let default = || Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures");
        Self(std::env::var_os("HART_FIXTURES").map_or_else(default, PathBuf::from))
    }

    /// The folder itself.
    pub(crate) fn folder(&self) -> &Path {
        &self.0
    }

    /// The names of all traces, sorted.
    pub(crate) fn traces(&self) -> Vec<String> {
        let entries = std::fs::read_dir(&self.0).into_iter().flatten().flatten();
        let mut names: Vec<String> = entries
            .filter_map(|entry| entry.file_name().into_string().ok())
            .filter(|name| name.starts_with("trace_"))
            .filter_map(|name| name.strip_suffix(".safetensors").map(str::to_string))
            .collect();
        names.sort();
        names
    }

    /// Reads one trace; its tensors are called as the library calls them ([`names::ours`]).
    pub(crate) fn trace(&self, name: &str, options: LoadOptions) -> Result<Trace, Failed> {
        let path = self.0.join(name);
        let bytes = std::fs::read(path.with_extension("safetensors"))?;
        let json = match std::fs::read(path.with_extension("json")) {
            Ok(json) => serde_json::from_slice(&json)?,
            Err(_) => Value::Null,
        };
        let mut tensors = vec![];
        for (recorded, view) in SafeTensors::deserialize(&bytes)?.iter() {
            let golden = Golden::new(recorded, view.shape(), view.dtype(), view.data())?;
            tensors.push((names::ours(name, recorded), golden));
        }
        Ok(Trace::new(name, &self.0, json, options, tensors))
    }
}

/// A recorded tensor.
pub(crate) struct Golden {
    /// What the recording calls it.
    pub(crate) recorded: String,
    /// Its shape.
    pub(crate) shape: Vec<usize>,
    /// Its values; integers are exact in double precision.
    pub(crate) values: Vec<f64>,
}

impl Golden {
    fn new(recorded: &str, shape: &[usize], dtype: Dtype, bytes: &[u8]) -> Result<Self, Failed> {
        let dtype = match dtype {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::I64 => DType::I64,
            other => return Err(format!("{recorded} has elements of type {other:?}").into()),
        };
        let data = TensorData::from_bytes_vec(bytes.to_vec(), shape.to_vec(), dtype);
        let values = data.iter::<f64>().collect();
        Ok(Self { recorded: recorded.to_string(), shape: shape.to_vec(), values })
    }

    /// The values in single precision.
    pub(crate) fn floats(&self) -> Vec<f32> {
        self.values.iter().map(|&value| value as f32).collect()
    }

    /// The values of a tensor of indices.
    pub(crate) fn indices(&self) -> Vec<i64> {
        self.values.iter().map(|&value| value as i64).collect()
    }

    /// The rows of a tensor of indices, by its last axis.
    pub(crate) fn rows(&self) -> Vec<Vec<i64>> {
        let width = self.shape.last().copied().unwrap_or(1).max(1);
        self.indices().chunks_exact(width).map(<[i64]>::to_vec).collect()
    }

    /// The same for indices of positions.
    pub(crate) fn position_rows(&self) -> Vec<Vec<usize>> {
        let row = |row: Vec<i64>| row.into_iter().map(|position| position as usize).collect();
        self.rows().into_iter().map(row).collect()
    }

    /// As a tensor on a device.
    pub(crate) fn tensor<B: Backend, const D: usize>(&self, device: &B::Device) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(self.floats(), self.shape.clone()), device)
    }

    /// As a tensor of another shape of as many values.
    pub(crate) fn reshaped<B: Backend, const D: usize>(
        &self,
        shape: [usize; D],
        device: &B::Device,
    ) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(self.floats(), shape), device)
    }

    /// Indices as a tensor on a device.
    pub(crate) fn ints<B: Backend, const D: usize>(&self, device: &B::Device) -> Tensor<B, D, Int> {
        Tensor::from_data(TensorData::new(self.indices(), self.shape.clone()), device)
    }
}
