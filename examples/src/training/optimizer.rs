//! AdamW in two groups, and a running mean of the weights.

use std::collections::HashMap;

use anyhow::Context;
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Record, Recorder};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorPrimitive};

use super::config::OptimizerSettings;
use super::gradients::{Accumulated, groups};

/// A module in training.
pub struct Trainee<B: AutodiffBackend, M: AutodiffModule<B> + 'static> {
    /// The module with its present weights.
    pub module: M,
    settings: OptimizerSettings,
    /// Of matrices and kernels.
    decayed: OptimizerAdaptor<AdamW, M, B>,
    /// Of everything else.
    plain: OptimizerAdaptor<AdamW, M, B>,
    mean: RunningMean<B::InnerBackend>,
    steps: u64,
    groups: [Vec<ParamId>; 2],
    device: B::Device,
}

impl<B: AutodiffBackend, M: AutodiffModule<B> + 'static> Trainee<B, M>
where
    M::InnerModule: 'static,
{
    /// Begins with the weights that `module` has.
    pub fn new(module: M, settings: OptimizerSettings) -> Self {
        let optimizer = |decay: f32| {
            AdamWConfig::new()
                .with_beta_1(settings.betas[0])
                .with_beta_2(settings.betas[1])
                .with_epsilon(settings.epsilon)
                .with_weight_decay(decay)
                .init()
        };
        let device = module.devices().pop().expect("a module in training has parameters");
        Self {
            decayed: optimizer(settings.weight_decay),
            plain: optimizer(0.0),
            mean: RunningMean::of(&module.valid()),
            steps: 0,
            groups: groups(&module),
            device,
            module,
            settings,
        }
    }

    /// Where the gradients of one step are collected.
    pub fn accumulator(&self) -> Accumulated<B, M> {
        Accumulated::new(self.groups.clone(), self.device.clone())
    }

    /// One step at the given learning rate. Returns the length that the gradient had before it was
    /// clipped.
    pub fn step(&mut self, gradients: Accumulated<B, M>, rate: f64) -> f64 {
        let longest = self.settings.clip_norm;
        let ([decayed, plain], norm) = gradients.clipped(&self.module, longest);
        let module = self.decayed.step(rate, self.module.clone(), decayed);
        self.module = self.plain.step(rate, module, plain);
        // The mean begins short, so that it does not remember how the weights began.
        self.steps += 1;
        let keep = (1 + self.steps) as f64 / (10 + self.steps) as f64;
        self.mean.update(&self.module.valid(), self.settings.ema.min(keep));
        norm
    }

    /// The module with the running mean of its weights.
    pub fn averaged(&self) -> M::InnerModule {
        self.mean.put_into(self.module.valid())
    }

    /// All state as files of a snapshot, their names beginning with `prefix`.
    ///
    /// # Errors
    /// When the state cannot be serialised.
    pub fn files(&self, prefix: &str) -> anyhow::Result<Vec<(String, Vec<u8>)>> {
        let name = |part: &str| format!("{prefix}-{part}.bin");
        Ok(vec![
            (name("weights"), bytes::<B, _>(self.module.clone().into_record())?),
            (name("mean"), bytes::<B::InnerBackend, _>(self.averaged().into_record())?),
            (name("moments-decayed"), bytes::<B, _>(self.decayed.to_record())?),
            (name("moments-plain"), bytes::<B, _>(self.plain.to_record())?),
            (name("steps"), self.steps.to_le_bytes().to_vec()),
        ])
    }

    /// Takes the state back from the files of a snapshot.
    ///
    /// # Errors
    /// When a file is missing or of another module.
    pub fn restore(
        mut self,
        prefix: &str,
        read: &dyn Fn(&str) -> anyhow::Result<Vec<u8>>,
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let file = |part: &str| read(&format!("{prefix}-{part}.bin"));
        let weights = record::<B, M::Record>(file("weights")?, device)?;
        self.module = self.module.load_record(weights);
        let mean = record::<B::InnerBackend, <M::InnerModule as Module<B::InnerBackend>>::Record>(
            file("mean")?,
            device,
        )?;
        self.mean = RunningMean::of(&self.module.valid().load_record(mean));
        self.decayed = self.decayed.load_record(record::<B, _>(file("moments-decayed")?, device)?);
        self.plain = self.plain.load_record(record::<B, _>(file("moments-plain")?, device)?);
        let steps = file("steps")?.try_into();
        let steps = steps.map_err(|_| anyhow::anyhow!("a damaged snapshot"))?;
        self.steps = u64::from_le_bytes(steps);
        self.groups = groups(&self.module);
        Ok(self)
    }
}

fn bytes<B: Backend, R: Record<B>>(record: R) -> anyhow::Result<Vec<u8>> {
    let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
    Recorder::<B>::record(&recorder, record, ()).context("cannot serialise the state of training")
}

fn record<B: Backend, R: Record<B>>(bytes: Vec<u8>, device: &B::Device) -> anyhow::Result<R> {
    let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
    Recorder::<B>::load(&recorder, bytes, device).context("a snapshot of another model")
}

/// A running mean of all parameters.
struct RunningMean<B: Backend> {
    values: HashMap<ParamId, TensorPrimitive<B>>,
}

impl<B: Backend> RunningMean<B> {
    fn of<M: Module<B>>(module: &M) -> Self {
        let mut mean = Self { values: HashMap::new() };
        module.visit(&mut Update { mean: &mut mean, keep: 0.0 });
        mean
    }

    fn update<M: Module<B>>(&mut self, module: &M, keep: f64) {
        module.visit(&mut Update { mean: self, keep });
    }

    fn put_into<M: Module<B>>(&self, module: M) -> M {
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

/// The value of a tensor with one element.
pub trait ScalarF64 {
    /// As a double.
    fn into_scalar_f64(self) -> f64;
}

impl<B: Backend> ScalarF64 for Tensor<B, 1> {
    fn into_scalar_f64(self) -> f64 {
        self.into_data().iter::<f64>().next().unwrap_or(f64::NAN)
    }
}
