//! The gradients of one step.

use burn::module::{AutodiffModule, Module, ModuleVisitor, Param, ParamId};
use burn::optim::{GradientsAccumulator, GradientsParams};
use burn::tensor::Tensor;
use burn::tensor::backend::{AutodiffBackend, Backend};
use hart_core::walk::{self, Parameter};

use crate::training::values::ScalarF64;

/// The parameters of a module by how they are optimised: those that are decayed, matrices and
/// kernels, and all others.
pub(super) fn groups<B: Backend, M: Module<B>>(module: &M) -> [Vec<ParamId>; 2] {
    let is_decayed = |parameter: &Parameter| {
        let names = parameter.place.names();
        let is_weight = names.last().is_some_and(|name| name == "weight");
        let is_embedding = names.iter().any(|name| name == "embedding" || name == "levels");
        is_weight && parameter.shape.len() >= 2 && !is_embedding
    };
    let (decayed, plain): (Vec<_>, Vec<_>) =
        walk::parameters(module).into_iter().partition(is_decayed);
    [decayed, plain].map(|group| group.into_iter().map(|parameter| parameter.id).collect())
}

/// The gradients of one step by group, those of several parts of a batch added.
pub struct Accumulated<B: AutodiffBackend, M> {
    parts: [GradientsAccumulator<M>; 2],
    groups: [Vec<ParamId>; 2],
    device: B::Device,
}

impl<B: AutodiffBackend, M: AutodiffModule<B>> Accumulated<B, M> {
    /// Nothing yet; sums will be on `device`.
    pub(super) fn new(groups: [Vec<ParamId>; 2], device: B::Device) -> Self {
        let parts = [GradientsAccumulator::new(), GradientsAccumulator::new()];
        Self { parts, groups, device }
    }

    /// Adds the gradients of a part; `module` is the one that it was computed with, on any device.
    pub fn add(&mut self, module: &M, mut gradients: B::Gradients) {
        for (part, ids) in self.parts.iter_mut().zip(&self.groups) {
            let found = GradientsParams::from_params(&mut gradients, module, ids);
            part.accumulate(module, found.to_device(&self.device, module));
        }
    }

    /// The sums, scaled down together to a length of at most `longest`, and the length they had.
    pub(super) fn clipped(self, module: &M, longest: f64) -> ([GradientsParams; 2], f64) {
        let mut parts = self.parts.map(|mut part| part.grads());
        let mut length = Length::<B::InnerBackend> { parts: &parts, sum: None };
        module.visit(&mut length);
        let norm = length.sum.map_or(0.0, |sum| sum.sqrt().into_scalar_f64());
        if norm.is_finite() && norm > longest {
            module.visit(&mut Scale { parts: &mut parts, factor: longest / norm });
        }
        (parts, norm)
    }
}

/// The squared length of all gradients.
struct Length<'a, B: Backend> {
    parts: &'a [GradientsParams; 2],
    sum: Option<Tensor<B, 1>>,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Length<'_, B::InnerBackend> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let gradient = self.parts.iter().find_map(|p| p.get::<B::InnerBackend, D>(param.id));
        if let Some(gradient) = gradient {
            let square = gradient.square().sum();
            self.sum = Some(match self.sum.take() {
                Some(sum) => sum + square,
                None => square,
            });
        }
    }
}

/// Multiplies all gradients.
struct Scale<'a> {
    parts: &'a mut [GradientsParams; 2],
    factor: f64,
}

impl<B: AutodiffBackend> ModuleVisitor<B> for Scale<'_> {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        for part in &mut *self.parts {
            if let Some(gradient) = part.remove::<B::InnerBackend, D>(param.id) {
                part.register(param.id, gradient * self.factor);
            }
        }
    }
}

/// Whether all parameters of a module are finite.
pub(super) fn is_finite<B: Backend, M: Module<B>>(module: &M) -> bool {
    let mut zero = Zero(0.0);
    module.visit(&mut zero);
    zero.0 == 0.0
}

/// The sum of all parameters, each taken zero times: NaN when one is not finite.
struct Zero(f64);

impl<B: Backend> ModuleVisitor<B> for Zero {
    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        self.0 += (param.val() * 0.0).sum().into_scalar_f64();
    }
}
