//! Diffusion, a step at a time: each from the recorded sample before it.

use burn::tensor::{Tensor, TensorData};
use hart_core::HartBackend;
use hart_diffusion::sampler::RESIDUAL_SCALE;
use hart_diffusion::{Denoised, NoiseSchedule, ResidualHead, SamplerSettings};
use libtest_mimic::Failed;

use crate::kinds::{ESTIMATE, Kind, SAMPLE};
use crate::trace::{Trace, values};

/// A recorded sampling. Recordings hold both halves of guidance, the conditional one first; that
/// half is computed and compared.
pub(crate) struct Steps<'a, B: HartBackend> {
    pub(crate) trace: &'a Trace,
    /// What the names of its tensors begin with.
    pub(crate) beginning: String,
    pub(crate) head: &'a ResidualHead<B>,
    pub(crate) schedule: &'a NoiseSchedule,
    pub(crate) settings: SamplerSettings,
    /// `[rows, tokens, C]`.
    pub(crate) condition: Tensor<B, 3>,
    /// `[batch, tokens, Z]`.
    pub(crate) start: Tensor<B, 3>,
    /// The noise of a step, `[batch, tokens, Z]`.
    pub(crate) noise: &'a dyn Fn(usize) -> Tensor<B, 3>,
}

impl<B: HartBackend> Steps<'_, B> {
    /// Compares estimate and sample of every step, and what follows from the last sample: the
    /// residual over `scale`.
    pub(crate) fn compare(&self, result: &'static Kind, scale: f64) -> Result<(), Failed> {
        let condition =
            self.head.embed_condition(self.condition.clone(), self.start.dims(), &self.settings)?;
        let mut x = self.start.clone();
        for (index, step) in self.schedule.steps().iter().rev().enumerate() {
            let noise = || (self.noise)(index);
            let Denoised { estimate, sample } =
                self.head.step(step, x, condition.clone(), noise, &self.settings);
            self.close(&ESTIMATE, "estimate", index, &estimate);
            self.close(&SAMPLE, "sample", index, &sample);
            if index + 1 == self.schedule.steps().len() {
                let last = values(&(sample.clone() * (RESIDUAL_SCALE / scale)));
                let name = format!("{}result", self.beginning);
                self.trace.close_part(result, &name, &last, 0..last.len());
            }
            x = self.recorded_sample(index).unwrap_or(sample);
        }
        Ok(())
    }

    /// Compares the conditional half of a tensor recorded for every step.
    fn close(&self, kind: &'static Kind, what: &str, index: usize, found: &Tensor<B, 3>) {
        let name = format!("{}{what}", self.beginning);
        let Some(golden) = self.trace.about(&name) else { return };
        let start = index * golden.values.len() / golden.shape[0];
        let found = values(found);
        self.trace.close_part(kind, &name, &found, start..start + found.len());
    }

    /// The conditional half of the recorded sample of a step.
    fn recorded_sample(&self, index: usize) -> Option<Tensor<B, 3>> {
        let golden = self.trace.optional(&format!("{}sample", self.beginning))?;
        let start = index * golden.values.len() / golden.shape[0];
        let shape = self.start.dims();
        let values = golden.floats()[start..start + shape.iter().product::<usize>()].to_vec();
        Some(Tensor::from_data(TensorData::new(values, shape), &self.start.device()))
    }
}
