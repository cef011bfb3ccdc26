//! A running mean of the weights.

use std::collections::HashMap;

use burn::module::{Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::tensor::backend::Backend;
use burn::tensor::{Tensor, TensorPrimitive};

/// A running mean of all parameters.
pub(super) struct RunningMean<B: Backend> {
    values: HashMap<ParamId, TensorPrimitive<B>>,
}

impl<B: Backend> RunningMean<B> {
    /// Of the weights that a module has.
    pub(super) fn of<M: Module<B>>(module: &M) -> Self {
        let mut mean = Self { values: HashMap::new() };
        module.visit(&mut Update { mean: &mut mean, keep: 0.0 });
        mean
    }

    /// Moves the mean towards the present weights; it keeps the share `keep` of itself.
    pub(super) fn update<M: Module<B>>(&mut self, module: &M, keep: f64) {
        module.visit(&mut Update { mean: self, keep });
    }

    /// A module with the mean as its weights.
    pub(super) fn put_into<M: Module<B>>(&self, module: M) -> M {
        module.map(&mut Put { mean: self })
    }
}

struct Update<'a, B: Backend> {
    mean: &'a mut RunningMean<B>,
    keep: f64,
}

impl<B: Backend> ModuleVisitor<B> for Update<'_, B> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let present = param.val();
        let mean = match self.mean.values.remove(&param.id) {
            // In this form what does not change stays the same to the last bit.
            Some(mean) => {
                let mean = Tensor::<B, D>::from_primitive(mean);
                mean.clone() + (present - mean) * (1.0 - self.keep)
            }
            None => present,
        };
        self.mean.values.insert(param.id, mean.into_primitive());
    }
}

struct Put<'a, B: Backend> {
    mean: &'a RunningMean<B>,
}

impl<B: Backend> ModuleMapper<B> for Put<'_, B> {
    fn map_float<const D: usize>(&mut self, param: Param<Tensor<B, D>>) -> Param<Tensor<B, D>> {
        match self.mean.values.get(&param.id) {
            Some(mean) => {
                let mean = Tensor::from_primitive(mean.clone());
                param.map(|_| mean)
            }
            None => param,
        }
    }
}
