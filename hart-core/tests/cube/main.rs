//! The GPU kernels against plain burn operations on the same device, at sizes that do and do not divide
//! evenly, in 32 bits and in those of the 16-bit types that the device computes in.
#![cfg(any(feature = "wgpu", feature = "cuda"))]

mod attention;
mod elementwise;
mod group_norm;
mod heads;
mod rows;
mod sampling;

use std::cell::Cell;

use burn::tensor::{DType, Tensor, TensorData, backend::Backend};

#[cfg(feature = "cuda")]
type Gpu = burn::backend::Cuda;
#[cfg(all(feature = "vulkan", not(feature = "cuda")))]
type Gpu = burn::backend::Vulkan;
#[cfg(all(feature = "metal", not(any(feature = "cuda", feature = "vulkan"))))]
type Gpu = burn::backend::Metal;
#[cfg(not(any(feature = "cuda", feature = "vulkan", feature = "metal")))]
type Gpu = burn::backend::Wgpu;

/// The types that are tried, each with the unit that its results are rounded to. Says what is left out.
#[allow(clippy::print_stderr)]
fn types() -> Vec<(DType, f64)> {
    let all = [(DType::F32, 1.2e-7), (DType::F16, 9.8e-4), (DType::BF16, 7.9e-3)];
    let computes = |dtype: &(DType, f64)| {
        let computes = Gpu::supports_dtype(&Default::default(), dtype.0);
        if !computes {
            eprintln!("NOT TESTED: {:?}, in which this device does not compute", dtype.0);
        }
        computes
    };
    all.into_iter().filter(computes).collect()
}

/// Values in [-1, 1) of a type, others at every call of a test (Knuth's linear congruential generator).
fn values<const D: usize>(shape: [usize; D], dtype: DType) -> Tensor<Gpu, D> {
    thread_local!(static STATE: Cell<u64> = const { Cell::new(1) });
    let mut state = STATE.get();
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f32 / (1u64 << 30) as f32) - 1.0
    };
    let numbers: Vec<f32> = (0..shape.iter().product()).map(|_| next()).collect();
    STATE.set(state);
    let data = TensorData::new(numbers, shape);
    Tensor::<Gpu, D>::from_data(data, (&Default::default(), DType::F32)).cast(dtype)
}

/// The largest difference may be `tolerance` of the largest magnitude.
fn assert_close<const D: usize>(
    found: Tensor<Gpu, D>,
    expected: Tensor<Gpu, D>,
    tolerance: f64,
    what: &str,
) {
    assert_eq!(found.dims(), expected.dims(), "{what}");
    assert_eq!(found.dtype(), expected.dtype(), "{what}");
    let numbers = |x: Tensor<Gpu, D>| -> Vec<f64> { x.into_data().iter().collect() };
    let (found, expected) = (numbers(found), numbers(expected));
    let magnitude = expected.iter().fold(1e-3f64, |most, value| most.max(value.abs()));
    for (i, (&found, &expected)) in found.iter().zip(&expected).enumerate() {
        let close = (found - expected).abs() <= tolerance * magnitude;
        assert!(close, "{what}, entry {i}: {found}, expected {expected}");
    }
}
