//! How an operation is timed.

use std::fmt::Display;

use burn::tensor::backend::Backend as _;
use burn::tensor::{Distribution, Tensor};
use criterion::measurement::WallTime;
use criterion::{BatchSize, BenchmarkGroup, Criterion, SamplingMode, Throughput};
use hart_pipeline::backend::{DefaultBackend, default_device};

/// The backend that is measured.
pub(crate) type Backend = DefaultBackend;

/// Operations of one kind.
pub(crate) struct Group<'a>(BenchmarkGroup<'a, WallTime>);

impl<'a> Group<'a> {
    pub(crate) fn new(criterion: &'a mut Criterion, name: &str) -> Self {
        let mut group = criterion.benchmark_group(name);
        // As many of the slow ones as of the fast ones.
        group.sampling_mode(SamplingMode::Flat);
        Self(group)
    }

    /// Times an operation on inputs of its own, which may be changed in place; making them and
    /// giving back the memory of the result are not timed.
    pub(crate) fn time<I, O>(
        &mut self,
        name: impl Display,
        throughput: Throughput,
        mut inputs: impl FnMut() -> I,
        mut operation: impl FnMut(I) -> O,
    ) {
        let device = default_device();
        let mut synchronous = |input| {
            let output = operation(input);
            Backend::sync(&device).expect("the device works");
            output
        };
        self.0.throughput(throughput);
        self.0.bench_function(name.to_string(), |bencher| {
            bencher.iter_batched(&mut inputs, &mut synchronous, BatchSize::PerIteration);
        });
    }
}

/// Standard normal values.
pub(crate) fn random<const D: usize>(shape: [usize; D]) -> Tensor<Backend, D> {
    Tensor::random(shape, Distribution::Normal(0.0, 1.0), &default_device())
}

/// The same values in memory of their own, so that they may be changed in place.
pub(crate) fn copy<const D: usize>(x: &Tensor<Backend, D>) -> Tensor<Backend, D> {
    Tensor::from_data(x.to_data(), &default_device())
}

/// 32-bit values that are read or written.
pub(crate) fn values(count: usize) -> Throughput {
    Throughput::Bytes(4 * count as u64)
}

/// Products and sums.
pub(crate) fn operations(count: usize) -> Throughput {
    Throughput::Elements(count as u64)
}
