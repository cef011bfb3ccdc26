//! Small files and a small module, made by the tests.

use std::collections::HashMap;
use std::io::Write;
use std::path::PathBuf;

use burn::module::Module;
use burn::nn::{Linear, LinearConfig};
use burn::tensor::backend::Backend;
use hart_core::checkpoint::NameTable;
use hart_core::nn::{RmsNorm, RmsNormConfig};
use safetensors::tensor::{Dtype, TensorView, serialize};

/// A file of the given bytes, and the folder that keeps it alive.
pub(crate) fn file(name: &str, bytes: &[u8]) -> (tempfile::TempDir, PathBuf) {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join(name);
    std::fs::write(&path, bytes).expect("a temporary file");
    (folder, path)
}

/// A small valid safetensors file.
pub(crate) fn small() -> Vec<u8> {
    let values: Vec<u8> = (0..24u8).collect();
    let tensor = |shape: Vec<usize>| TensorView::new(Dtype::F32, shape, &values).expect("a tensor");
    let tensors = HashMap::from([("a.weight", tensor(vec![2, 3])), ("b", tensor(vec![6]))]);
    serialize(tensors, None).expect("a serialized file")
}

/// A PyTorch archive with the given pickle and one storage of the floats 0, 1, … 5.
pub(crate) fn archive(pickle: &[u8]) -> Vec<u8> {
    let mut zip = zip::ZipWriter::new(std::io::Cursor::new(vec![]));
    let stored =
        zip::write::SimpleFileOptions::default().compression_method(zip::CompressionMethod::Stored);
    let storage: Vec<u8> = (0..6u8).flat_map(|i| f32::from(i).to_le_bytes()).collect();
    let members = [("m/data.pkl", pickle), ("m/data/0", &storage), ("m/byteorder", b"little")];
    for (name, content) in members {
        zip.start_file(name, stored).expect("a member");
        zip.write_all(content).expect("its content");
    }
    zip.finish().expect("an archive").into_inner()
}

pub(crate) fn floats(values: &[f32]) -> Vec<u8> {
    values.iter().flat_map(|value| value.to_le_bytes()).collect()
}

#[derive(Module, Debug)]
pub(crate) struct Small<B: Backend> {
    norm: RmsNorm<B>,
    layer: Linear<B>,
}

pub(crate) const NAMES: NameTable = NameTable {
    part: "the small module",
    scope: "",
    rows: &[("a.weight", "layer.weight"), ("a.bias", "layer.bias"), ("norm.weight", "norm.weight")],
    ignored: &[],
    full_precision: &[],
    rounded: &["layer.weight"],
};

/// The module, which needs `a.weight` `[3, 2]`, `a.bias` `[3]` and `norm.weight` `[4]`.
pub(crate) fn module<B: Backend>() -> Small<B> {
    let device = Default::default();
    Small {
        norm: RmsNormConfig::new(4).init(&device),
        layer: LinearConfig::new(2, 3).init(&device),
    }
}
