//! The GPU kernels against plain burn operations on the same device, at sizes that do and do not divide
//! evenly, in 32 bits and in those of the 16-bit types that the device computes in.
#![cfg(feature = "cube")]

mod attention;
mod elementwise;
mod group_norm;
mod heads;
mod rows;
mod sampling;

use burn::tensor::{DType, Distribution, Tensor, TensorData, backend::Backend};

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

/// Values in [-1, 1) of a type.
fn values<const D: usize>(shape: [usize; D], dtype: DType) -> Tensor<Gpu, D> {
    let numbers =
        TensorData::random::<f32, _, _>(shape, Distribution::Uniform(-1.0, 1.0), &mut rand::rng());
    Tensor::<Gpu, D>::from_data(numbers, (&Default::default(), DType::F32)).cast(dtype)
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
