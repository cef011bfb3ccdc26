//! AdamW in two groups, global-norm clipping, gradient accumulation and a running mean of the
//! weights.

use std::collections::HashMap;

use anyhow::Context;
use burn::module::{AutodiffModule, Module, ModuleMapper, ModuleVisitor, Param, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, GradientsAccumulator, GradientsParams, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Record, Recorder};
use burn::tensor::backend::{AutodiffBackend, Backend};
use burn::tensor::{Tensor, TensorPrimitive};

use super::config::OptimizerSettings;

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
        let mut lister = Groups::default();
        module.visit(&mut lister);
        Self {
            decayed: optimizer(settings.weight_decay),
            plain: optimizer(0.0),
            mean: RunningMean::of(&module.valid()),
            steps: 0,
            groups: [lister.decayed, lister.plain],
            module,
            settings,
        }
    }

    /// Where the gradients of one step are collected.
    pub fn accumulator(&self) -> Accumulated<M> {
        Accumulated {
            parts: [GradientsAccumulator::new(), GradientsAccumulator::new()],
            groups: self.groups.clone(),
        }
    }

    /// One step at the given learning rate. Returns the length that the gradient had before it was
    /// clipped.
    pub fn step(&mut self, gradients: Accumulated<M>, rate: f64) -> f64 {
        let mut parts = gradients.parts.map(|mut part| part.grads());
        let mut length = Length::<B::InnerBackend> { parts: &parts, sum: None };
        self.module.visit(&mut length);
        let norm = length.sum.map_or(0.0, |sum| sum.sqrt().into_scalar_f64());
        if norm.is_finite() && norm > self.settings.clip_norm {
            let factor = self.settings.clip_norm / norm;
            self.module.visit(&mut Scale { parts: &mut parts, factor });
        }
        let [decayed, plain] = parts;
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
        let mut lister = Groups::default();
        self.module.visit(&mut lister);
        self.groups = [lister.decayed, lister.plain];
        Ok(self)
    }
}

/// The gradients of one step, those of several parts of a batch added.
pub struct Accumulated<M> {
    parts: [GradientsAccumulator<M>; 2],
    groups: [Vec<ParamId>; 2],
}

impl<M> Accumulated<M> {
    /// Adds the gradients of a part.
    pub fn add<B: AutodiffBackend>(&mut self, module: &M, mut gradients: B::Gradients)
    where
        M: AutodiffModule<B>,
    {
        for (part, ids) in self.parts.iter_mut().zip(&self.groups) {
            let found = GradientsParams::from_params(&mut gradients, module, ids);
            part.accumulate(module, found);
        }
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

/// Sorts parameters by whether they are decayed: matrices and kernels are.
#[derive(Default)]
struct Groups {
    decayed: Vec<ParamId>,
    plain: Vec<ParamId>,
    path: Vec<String>,
}

impl<B: Backend> ModuleVisitor<B> for Groups {
    fn enter_module(&mut self, name: &str, _: &str) {
        self.path.push(name.to_string());
    }

    fn exit_module(&mut self, _: &str, _: &str) {
        self.path.pop();
    }

    fn visit_float<const D: usize>(&mut self, param: &Param<Tensor<B, D>>) {
        let is_weight = self.path.last().is_some_and(|name| name == "weight");
        let is_embedding = self.path.iter().any(|name| name == "embedding" || name == "levels");
        let group = match is_weight && D >= 2 && !is_embedding {
            true => &mut self.decayed,
            false => &mut self.plain,
        };
        group.push(param.id);
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
