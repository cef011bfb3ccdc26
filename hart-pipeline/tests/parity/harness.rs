//! Finding traces, comparing tensors with them, and counting what was compared.

use std::collections::{BTreeMap, BTreeSet};
use std::path::{Path, PathBuf};
use std::sync::{Arc, Mutex};

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};
use hart_core::checkpoint::LoadOptions;
use libtest_mimic::Failed;
use safetensors::{Dtype, SafeTensors};
use serde_json::Value;

/// Largest difference accepted for one component, over the largest magnitude of the tensor.
pub(crate) const COMPONENT: f64 = 1e-4;
/// The same for what comes out of a whole generation.
pub(crate) const GENERATION: f64 = 1e-3;

/// The folder of golden values.
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

    /// Reads one trace.
    pub(crate) fn trace(&self, name: &str, options: LoadOptions) -> Trace {
        let path = self.0.join(name);
        let bytes =
            std::fs::read(path.with_extension("safetensors")).expect("a trace that was listed");
        let json = std::fs::read(path.with_extension("json"));
        let json =
            json.map_or(Value::Null, |json| serde_json::from_slice(&json).expect("valid JSON"));
        let tensors = SafeTensors::deserialize(&bytes).expect("a valid trace");
        let tensors = tensors.iter().map(|(name, view)| {
            (name.to_string(), Golden::new(view.shape(), view.dtype(), view.data()))
        });
        Trace {
            name: name.to_string(),
            folder: self.0.clone(),
            options,
            json,
            tensors: tensors.collect(),
            compared: BTreeSet::new(),
            problems: vec![],
        }
    }
}

/// A recorded tensor.
pub(crate) struct Golden {
    /// Its shape.
    pub(crate) shape: Vec<usize>,
    /// Its values; integers are exact in double precision.
    pub(crate) values: Vec<f64>,
}

impl Golden {
    fn new(shape: &[usize], dtype: Dtype, bytes: &[u8]) -> Self {
        let dtype = match dtype {
            Dtype::F32 => DType::F32,
            Dtype::F64 => DType::F64,
            Dtype::F16 => DType::F16,
            Dtype::I64 => DType::I64,
            other => panic!("a trace with elements of type {other:?}"),
        };
        let data = TensorData::from_bytes_vec(bytes.to_vec(), shape.to_vec(), dtype);
        Self { shape: shape.to_vec(), values: data.iter::<f64>().collect() }
    }

    /// The values in single precision.
    pub(crate) fn floats(&self) -> Vec<f32> {
        self.values.iter().map(|&value| value as f32).collect()
    }

    /// The values of a tensor of indices.
    pub(crate) fn indices(&self) -> Vec<i64> {
        self.values.iter().map(|&value| value as i64).collect()
    }

    /// As a tensor on a device.
    pub(crate) fn tensor<B: Backend, const D: usize>(&self, device: &B::Device) -> Tensor<B, D> {
        Tensor::from_data(TensorData::new(self.floats(), self.shape.clone()), device)
    }
}

/// A trace, and what has been compared with it so far.
pub(crate) struct Trace {
    /// Its name, the file without its ending.
    pub(crate) name: String,
    /// The fixtures folder.
    pub(crate) folder: PathBuf,
    /// The settings recorded beside the tensors.
    pub(crate) json: Value,
    /// How models are loaded.
    pub(crate) options: LoadOptions,
    tensors: BTreeMap<String, Golden>,
    compared: BTreeSet<String>,
    problems: Vec<String>,
}

impl Trace {
    /// The recorded tensor `name`.
    pub(crate) fn get(&self, name: &str) -> &Golden {
        self.tensors.get(name).unwrap_or_else(|| panic!("{} has no tensor {name}", self.name))
    }

    /// Whether there is a tensor `name`.
    pub(crate) fn has(&self, name: &str) -> bool {
        self.tensors.contains_key(name)
    }

    /// The names of all tensors.
    pub(crate) fn names(&self) -> Vec<String> {
        self.tensors.keys().cloned().collect()
    }

    /// Compares a result with the recorded tensor `name`: equal shapes, and no value further off
    /// than `tolerance` of the tensor's largest magnitude.
    pub(crate) fn close(&mut self, name: &str, found: TensorData, tolerance: f64) {
        let shape = found.shape.to_vec();
        let values: Vec<f64> = found.iter::<f64>().collect();
        if shape != self.get(name).shape {
            let expected = &self.get(name).shape;
            self.problems.push(format!("{name}: shape {shape:?}, expected {expected:?}"));
            return;
        }
        self.close_values(name, &values, tolerance);
    }

    /// As [`Self::close`] for values without a shape, in the recorded order.
    pub(crate) fn close_values(&mut self, name: &str, found: &[f64], tolerance: f64) {
        let expected = self.get(name).values.clone();
        self.compare(name, found, &expected, tolerance);
    }

    /// Compares the first rows (along the first axis) of a result, as many as were recorded.
    pub(crate) fn close_leading(&mut self, name: &str, found: TensorData, tolerance: f64) {
        let expected = self.get(name).values.clone();
        let values: Vec<f64> = found.iter::<f64>().take(expected.len()).collect();
        self.compare(name, &values, &expected, tolerance);
    }

    /// Compares any values with those expected, under the name of a recorded tensor.
    pub(crate) fn compare(&mut self, name: &str, found: &[f64], expected: &[f64], tolerance: f64) {
        self.compared.insert(name.to_string());
        if found.len() != expected.len() {
            let (found, expected) = (found.len(), expected.len());
            self.problems.push(format!("{name}: {found} values, expected {expected}"));
            return;
        }
        let magnitude = expected.iter().fold(0.0f64, |m, v| m.max(v.abs())).max(1e-12);
        // A NaN must count as a difference, whatever it is compared with.
        let difference = |(a, b): (&f64, &f64)| if a == b { 0.0 } else { (a - b).abs() };
        let worst = found.iter().zip(expected).map(difference);
        let worst = worst.fold(0.0f64, |m, d| if d.is_nan() || d > m { d } else { m });
        if worst.is_nan() || worst > tolerance * magnitude {
            let relative = worst / magnitude;
            self.problems.push(format!(
                "{name}: off by {relative:.2e} of {magnitude:.3e}, accepted {tolerance:.0e}"
            ));
        }
    }

    /// Compares indices or masks, which must be equal.
    pub(crate) fn equal(&mut self, name: &str, found: &[i64]) {
        self.compared.insert(name.to_string());
        let expected = self.get(name).indices();
        if found != expected {
            let wrong = found.iter().zip(&expected).filter(|(a, b)| a != b).count();
            let (found, expected) = (found.len(), expected.len());
            self.problems.push(format!("{name}: {wrong} of {expected} differ ({found} found)"));
        }
    }

    /// A statement that has no tensor of its own, such as a value of the JSON file.
    pub(crate) fn check(&mut self, what: &str, holds: bool) {
        if !holds {
            self.problems.push(format!("{what}: does not hold"));
        }
    }

    /// The tensors that are an input of the comparison rather than a result of it.
    pub(crate) fn given(&mut self, names: &[&str]) {
        self.compared.extend(names.iter().map(|name| name.to_string()));
    }

    /// How many tensors were compared, or everything that was wrong. A recorded tensor that was
    /// neither compared nor declared as given is a problem too.
    pub(crate) fn finish(mut self) -> Result<usize, Failed> {
        let forgotten: Vec<_> =
            self.tensors.keys().filter(|name| !self.compared.contains(*name)).cloned().collect();
        if !forgotten.is_empty() {
            self.problems.push(format!("never compared: {}", forgotten.join(", ")));
        }
        if self.problems.is_empty() {
            Ok(self.compared.len())
        } else {
            Err(self.problems.join("\n").into())
        }
    }
}

/// What was compared on which backend.
#[derive(Clone, Default)]
pub(crate) struct Report(Arc<Mutex<BTreeMap<&'static str, (usize, usize)>>>);

impl Report {
    /// Counts one trace.
    pub(crate) fn add(&self, backend: &'static str, tensors: usize) {
        let mut counts = self.0.lock().expect("no trial panics while counting");
        let count = counts.entry(backend).or_default();
        *count = (count.0 + 1, count.1 + tensors);
    }

    /// One line a backend.
    pub(crate) fn print(&self) {
        for (backend, (traces, tensors)) in self.0.lock().expect("all trials are over").iter() {
            println!("parity on {backend}: {traces} traces, {tensors} tensors compared");
        }
    }
}
