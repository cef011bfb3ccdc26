//! Weights that are not numbers.

use burn::tensor::{DType, TensorData};
use hart_core::Precision;
use hart_core::checkpoint::{
    Checkpoint, LoadOptions, check_values, load, save_safetensors, save_torch,
};

use crate::files::{NAMES, module};

type Flex = burn::backend::Flex;

/// The module's tensors, with one value of `a.weight` replaced.
pub(crate) fn with(value: f32, dtype: DType) -> std::collections::BTreeMap<String, TensorData> {
    let tensors = [
        ("a.weight", TensorData::new(vec![1.0, 2.0, 3.0, value, 5.0, 6.0], [3, 2])),
        ("a.bias", TensorData::from([0.0f32, 1.0, 2.0])),
        ("norm.weight", TensorData::from([1.0f32, 1.0, 1.0, 1.0])),
    ];
    tensors.map(|(name, data)| (name.to_string(), data.convert_dtype(dtype))).into()
}

const PRECISIONS: [Precision; 4] =
    [Precision::F32, Precision::Bf16, Precision::F16, Precision::Int8];

#[test]
fn what_is_not_finite_is_refused_in_every_precision() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for dtype in [DType::F32, DType::BF16, DType::F16] {
        for bad in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
            let (whole, torch) = (folder.path().join("x.safetensors"), folder.path().join("x.bin"));
            save_safetensors(&whole, &with(bad, dtype)).expect("a file");
            save_torch(&torch, &with(bad, dtype)).expect("a file");
            for checkpoint in [Checkpoint::open_safetensors(&whole), Checkpoint::open_torch(&torch)]
            {
                let checkpoint = checkpoint.expect("a checkpoint");
                let refused = |error: hart_core::Error| {
                    let error = error.to_string();
                    let expected = format!("tensor `a.weight` holds {bad}");
                    assert!(error.contains(&expected), "{bad} as {dtype:?}: {error}");
                };
                refused(
                    check_values(&module::<Flex>(), &checkpoint, &NAMES).expect_err("a bad value"),
                );
                for precision in PRECISIONS {
                    let options = LoadOptions { precision, prepare: false };
                    let loaded = load(module::<Flex>(), &checkpoint, &NAMES, options);
                    refused(loaded.map(|_| ()).expect_err("a bad value"));
                }
            }
        }
    }
}

#[test]
fn what_a_precision_cannot_hold_is_refused_in_it_alone() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.safetensors");
    save_safetensors(&path, &with(1e6, DType::F32)).expect("a file");
    let checkpoint = Checkpoint::open_safetensors(&path).expect("a checkpoint");
    check_values(&module::<Flex>(), &checkpoint, &NAMES).expect("finite values");
    for precision in PRECISIONS {
        let options = LoadOptions { precision, prepare: false };
        let loaded = load(module::<Flex>(), &checkpoint, &NAMES, options).map(|_| ());
        match loaded {
            Ok(()) => assert_ne!(precision, Precision::F16),
            Err(error) => {
                assert_eq!(precision, Precision::F16, "{error}");
                assert!(error.to_string().contains("`a.weight`"), "{error}");
            }
        }
    }
}

#[test]
fn every_file_says_that_it_is_of_tensors_in_pytorchs_layout() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.safetensors");
    save_safetensors(&path, &with(1.0, DType::F32)).expect("a file");
    let bytes = std::fs::read(&path).expect("a file");
    let (_, header) = safetensors::SafeTensors::read_metadata(&bytes).expect("a header");
    let about = header.metadata().as_ref().expect("metadata");
    assert_eq!(about.get("format").map(String::as_str), Some("pt"));
    assert_eq!(about.len(), 1);
}
