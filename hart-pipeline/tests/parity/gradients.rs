//! Gradients by the names that checkpoints give to their parameters.

use std::collections::BTreeMap;

use burn::module::{Module, Param};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorData};
use hart_core::checkpoint::{NameTable, tensors};
use hart_core::walk::{self, Place};
use libtest_mimic::Failed;

use crate::kinds::{Kind, ROUGH_GRADIENT};
use crate::trace::Trace;

/// The gradient of every parameter that has one, as a checkpoint would store it.
pub(crate) fn gradients<B: AutodiffBackend, M: Module<B>>(
    module: M,
    grads: &B::Gradients,
    table: &NameTable,
) -> hart_core::Result<BTreeMap<String, TensorData>> {
    tensors(&walk::map(module, &mut Replace { grads })?, table)
}

/// The same with the names that parameters have inside their part of the checkpoint.
pub(crate) fn gradients_inside<B: AutodiffBackend, M: Module<B>>(
    module: M,
    grads: &B::Gradients,
    table: &NameTable,
) -> hart_core::Result<BTreeMap<String, TensorData>> {
    let all = gradients(module, grads, table)?.into_iter();
    Ok(all.map(|(name, data)| (name.replacen(table.scope, "", 1), data)).collect())
}

/// Puts gradients in the place of parameters, zeros where there is none.
struct Replace<'a, B: AutodiffBackend> {
    grads: &'a B::Gradients,
}

impl<B: AutodiffBackend> walk::Map<B> for Replace<'_, B> {
    fn parameter<const D: usize>(
        &mut self,
        _: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        param.map(|tensor| match tensor.grad(self.grads) {
            Some(gradient) => Tensor::from_inner(gradient),
            None => tensor.zeros_like(),
        })
    }
}

/// Compares every recorded gradient; each must be among those found on backend `B`.
pub(crate) fn compare_gradients<B: Backend>(
    trace: &Trace,
    kind: &'static Kind,
    beginning: &str,
    found: &BTreeMap<String, TensorData>,
) -> Result<(), Failed> {
    let kind = if divides_roughly::<B>() { &ROUGH_GRADIENT } else { kind };
    for parameter in trace.cases(beginning, "") {
        let gradient = found.get(&parameter).ok_or(format!("no parameter {parameter}"))?;
        trace.close(kind, &format!("{beginning}{parameter}"), gradient.clone());
    }
    Ok(())
}

/// Whether a backend's reciprocals, which gradients of quotients are made of, are estimates: those of
/// burn-ndarray are, by the processor's instruction of 14 bits.
fn divides_roughly<B: Backend>() -> bool {
    let values: Vec<f32> = (1..=64).map(|i| i as f32 * 0.37).collect();
    let x = Tensor::<B, 1>::from_data(values.as_slice(), &Default::default());
    let found = x.recip().into_data();
    found.iter::<f32>().zip(values).any(|(found, value)| (found * value - 1.0).abs() > 1e-6)
}
