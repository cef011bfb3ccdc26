//! Operations on the backend that records what it is asked for and runs it later, fused where it can.

use std::fmt::{self, Debug};
use std::marker::PhantomData;

use burn::tensor::{Shape, TensorMetadata};
use burn_cubecl::fusion::FusionCubeRuntime;
use burn_cubecl::{BoolElement, CubeBackend, CubeRuntime, FloatElement, IntElement};
use burn_fusion::stream::{Operation, OperationStreams};
use burn_fusion::{Fusion, FusionRuntime};
use burn_ir::{CustomOpIr, HandleContainer, OperationIr, TensorIr};

use super::operation::RunsCube;
use crate::kernels::cube::CubeOperation;

/// An operation on the tensors that a description names.
struct Recorded<O, B> {
    operation: O,
    tensors: CustomOpIr,
    backend: PhantomData<fn() -> B>,
}

impl<O: Debug, B> Debug for Recorded<O, B> {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.operation.fmt(f)
    }
}

impl<O, R, F, I, BT> Operation<FusionCubeRuntime<R>> for Recorded<O, CubeBackend<R, F, I, BT>>
where
    O: CubeOperation,
    R: CubeRuntime,
    F: FloatElement,
    I: IntElement,
    BT: BoolElement,
{
    fn execute(
        &self,
        handles: &mut HandleContainer<<FusionCubeRuntime<R> as FusionRuntime>::FusionHandle>,
    ) {
        let input = |x| handles.get_float_tensor::<CubeBackend<R, F, I, BT>>(x);
        let inputs = self.tensors.inputs.iter().map(input).collect();
        let outputs = self.operation.launch(inputs);
        for (place, output) in self.tensors.outputs.iter().zip(outputs) {
            handles.register_float_tensor::<CubeBackend<R, F, I, BT>>(&place.id, output);
        }
    }
}

impl<R, F, I, BT> RunsCube for Fusion<CubeBackend<R, F, I, BT>>
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
        let (client, dtype) = (inputs[0].client.clone(), inputs[0].dtype);
        let shapes: Vec<Shape> = inputs.iter().map(TensorMetadata::shape).collect();
        let place = |(place, shape)| {
            let dtype = operation.output_type(place, dtype);
            TensorIr::uninit(client.create_empty_handle(), shape, dtype)
        };
        let outputs: Vec<_> =
            operation.outputs(&shapes).into_iter().enumerate().map(place).collect();
        let streams = OperationStreams::with_inputs(&inputs);
        let inputs: Vec<_> = inputs.into_iter().map(|x| x.into_ir()).collect();
        let tensors = CustomOpIr::new(name(&operation), &inputs, &outputs);
        let recorded = Recorded::<_, CubeBackend<R, F, I, BT>> {
            operation,
            tensors: tensors.clone(),
            backend: PhantomData,
        };
        client.register(streams, OperationIr::Custom(tensors), recorded)
    }

    fn integers(x: Self::FloatTensorPrimitive) -> Self::IntTensorPrimitive {
        x
    }

    fn multiplies_f16(device: &Self::Device) -> bool {
        CubeBackend::<R, F, I, BT>::multiplies_f16(device)
    }
}

fn name<O: CubeOperation>(_: &O) -> &'static str {
    O::NAME
}
