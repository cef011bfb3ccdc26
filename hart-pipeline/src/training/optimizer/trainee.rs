//! A module in training: AdamW in two groups, and a running mean of the weights.

use burn::module::{AutodiffModule, Module, ParamId};
use burn::optim::adaptor::OptimizerAdaptor;
use burn::optim::{AdamW, AdamWConfig, Optimizer};
use burn::record::{BinBytesRecorder, FullPrecisionSettings, Record, Recorder};
use burn::tensor::backend::{AutodiffBackend, Backend};
use hart_core::{Error, Result, walk};

use super::gradients::{Accumulated, groups, is_finite};
use super::mean::RunningMean;
use super::recorder::BytesReader;
use super::settings::OptimizerSettings;
use crate::training::values::finite;

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
    ///
    /// # Panics
    /// When it has no parameters.
    pub fn new(module: M, settings: OptimizerSettings) -> Self {
        let optimizer = |decay: f32| {
            AdamWConfig::new()
                .with_beta_1(settings.betas[0] as f32)
                .with_beta_2(settings.betas[1] as f32)
                .with_epsilon(settings.epsilon as f32)
                .with_weight_decay(decay)
                .init()
        };
        let device = module.devices().pop().expect("a module in training has parameters");
        Self {
            decayed: optimizer(settings.weight_decay as f32),
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
    ///
    /// # Errors
    /// [`Error::NonFinite`] when that is not finite; nothing is changed then.
    pub fn step(&mut self, gradients: Accumulated<B, M>, rate: f64) -> Result<f64> {
        let longest = self.settings.clip_norm;
        let ([decayed, plain], norm) = gradients.clipped(&self.module, longest);
        let norm = finite("the gradient", norm)?;
        let module = self.decayed.step(rate, self.module.clone(), decayed);
        self.module = self.plain.step(rate, module, plain);
        // The mean begins short, so that it does not remember how the weights began.
        self.steps += 1;
        let keep = (1 + self.steps) as f64 / (10 + self.steps) as f64;
        self.mean.update(&self.module.valid(), self.settings.ema.min(keep));
        Ok(norm)
    }

    /// The module with the running mean of its weights.
    pub fn averaged(&self) -> M::InnerModule {
        self.mean.put_into(self.module.valid())
    }

    /// All state as files of a snapshot, their names beginning with `prefix`.
    ///
    /// # Errors
    /// [`Error::NonFinite`] for weights that are not finite, [`Error::Invalid`] when the state cannot
    /// be serialised.
    pub fn files(&self, prefix: &str) -> Result<Vec<(String, Vec<u8>)>> {
        let (present, mean) = (self.module.valid(), self.averaged());
        if !is_finite(&present) || !is_finite(&mean) {
            return Err(Error::NonFinite { what: format!("a weight of the {prefix}") });
        }
        let name = |part: &str| format!("{prefix}-{part}.bin");
        Ok(vec![
            (name("weights"), bytes::<B, _>(self.module.clone().into_record())?),
            (name("mean"), bytes::<B::InnerBackend, _>(mean.into_record())?),
            (name("moments-decayed"), bytes::<B, _>(self.decayed.to_record())?),
            (name("moments-plain"), bytes::<B, _>(self.plain.to_record())?),
            (name("steps"), self.steps.to_le_bytes().to_vec()),
        ])
    }

    /// Takes the state back from the files of a snapshot, which `read` reads by their names.
    ///
    /// # Errors
    /// Those of `read`, and [`Error::Malformed`] when a file is of another module.
    ///
    /// # Panics
    /// burn does for some damaged records: files from elsewhere are checked by their hashes first, as
    /// those of a [`RunFolder`](crate::training::run::RunFolder) are.
    pub fn restore(mut self, prefix: &str, read: &dyn Fn(&str) -> Result<Vec<u8>>) -> Result<Self> {
        type Inner<B, M> = <<M as AutodiffModule<B>>::InnerModule as Module<
            <B as AutodiffBackend>::InnerBackend,
        >>::Record;
        let state = State { prefix, read };
        let device = &self.device;
        let shapes = shapes(&self.module);
        self.module = self.module.load_record(state.record::<B, M::Record>("weights", device)?);
        let mean = state.record::<B::InnerBackend, Inner<B, M>>("mean", device)?;
        let mean = self.module.valid().load_record(mean);
        if self::shapes(&self.module) != shapes || self::shapes(&mean) != shapes {
            return Err(Error::malformed(state.name("weights"), "of a model with other shapes"));
        }
        self.mean = RunningMean::of(&mean);
        self.decayed = self.decayed.load_record(state.record::<B, _>("moments-decayed", device)?);
        self.plain = self.plain.load_record(state.record::<B, _>("moments-plain", device)?);
        self.steps = state.steps()?;
        self.groups = groups(&self.module);
        Ok(self)
    }
}

/// The files of a snapshot that hold the state of one module.
struct State<'a> {
    prefix: &'a str,
    read: &'a dyn Fn(&str) -> Result<Vec<u8>>,
}

impl State<'_> {
    fn name(&self, part: &str) -> String {
        format!("{}-{part}.bin", self.prefix)
    }

    fn record<B: Backend, R: Record<B>>(&self, part: &str, device: &B::Device) -> Result<R> {
        let name = self.name(part);
        Recorder::<B>::load(&BytesReader, (self.read)(&name)?, device).map_err(|error| {
            Error::malformed(name, format!("damaged, or of another model: {error}"))
        })
    }

    fn steps(&self) -> Result<u64> {
        let name = self.name("steps");
        let bytes = (self.read)(&name)?;
        let problem = format!("{} bytes, expected 8", bytes.len());
        Ok(u64::from_le_bytes(bytes.try_into().map_err(|_| Error::malformed(name, problem))?))
    }
}

fn bytes<B: Backend, R: Record<B>>(record: R) -> Result<Vec<u8>> {
    let recorder = BinBytesRecorder::<FullPrecisionSettings>::default();
    let bytes = Recorder::<B>::record(&recorder, record, ());
    bytes.map_err(|error| Error::invalid("the state of training", error, "one to be serialised"))
}

/// The shapes of all parameters.
fn shapes<B: Backend, M: Module<B>>(module: &M) -> Vec<Vec<usize>> {
    walk::parameters(module).into_iter().map(|parameter| parameter.shape).collect()
}
