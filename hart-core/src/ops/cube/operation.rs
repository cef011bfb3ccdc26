//! Backends on which the operations of [`crate::kernels::cube`] can be run.

use burn::tensor::{DType, Tensor, TensorPrimitive, backend::Backend};
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};

use crate::kernels::cube::CubeOperation;

/// A backend that runs the operations of this crate, at once or when it comes to it.
pub trait RunsCube: Backend {
    /// Runs an operation.
    fn run(
        operation: impl CubeOperation,
        inputs: Vec<Self::FloatTensorPrimitive>,
    ) -> Vec<Self::FloatTensorPrimitive>;

    /// Integers that an operation gave: it knows one kind of tensor only.
    fn integers(x: Self::FloatTensorPrimitive) -> Self::IntTensorPrimitive;

    /// Whether a device has units that multiply matrices of 16-bit floats and sum in 32 bits.
    fn multiplies_f16(device: &Self::Device) -> bool;
}

impl<R, F, I, BT> RunsCube for CubeBackend<R, F, I, BT>
where
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn run(
        operation: impl CubeOperation,
        inputs: Vec<Self::FloatTensorPrimitive>,
    ) -> Vec<Self::FloatTensorPrimitive> {
        operation.launch(inputs)
    }

    fn integers(x: Self::FloatTensorPrimitive) -> Self::IntTensorPrimitive {
        x
    }

    fn multiplies_f16(device: &Self::Device) -> bool {
        let client = R::client(device);
        let [half, float] = [DType::F16, DType::F32].map(Into::into);
        client
            .properties()
            .features
            .matmul
            .cmma
            .iter()
            .any(|unit| (unit.a_type, unit.b_type, unit.cd_type) == (half, half, float))
    }
}

/// What an operation takes of a tensor.
pub(super) fn input<B: Backend, const D: usize>(x: Tensor<B, D>) -> B::FloatTensorPrimitive {
    x.into_primitive().tensor()
}

/// Runs an operation that gives `COUNT` tensors.
pub(super) fn run<B: RunsCube, const D: usize, const COUNT: usize>(
    operation: impl CubeOperation,
    inputs: Vec<B::FloatTensorPrimitive>,
) -> [Tensor<B, D>; COUNT] {
    let mut outputs = B::run(operation, inputs).into_iter();
    [(); COUNT].map(|()| {
        let output = outputs.next().expect("as many tensors as are asked for");
        Tensor::from_primitive(TensorPrimitive::Float(output))
    })
}
