//! The loop that the training programs share: steps, metrics, evaluations, snapshots.

use std::path::PathBuf;

use anyhow::ensure;

use super::Clock;
use super::config::{OptimizerSettings, RunSettings};
use super::folder::{RunFolder, Snapshot};
use super::metrics::Metrics;

/// A run as it was started.
#[derive(Debug, Clone)]
pub struct Run {
    /// How long it is and what it leaves behind.
    pub settings: RunSettings,
    /// Its learning rates.
    pub optimizer: OptimizerSettings,
    /// Where it leaves that.
    pub folder: RunFolder,
    /// What it continues from.
    pub snapshot: Option<Snapshot>,
}

impl Run {
    /// Begins a run in its folder, or continues it from the newest snapshot there; `experiment` is
    /// its configuration as it was written.
    ///
    /// # Errors
    /// As those of [`RunFolder::open`].
    pub fn open(
        settings: &RunSettings,
        optimizer: &OptimizerSettings,
        experiment: &str,
    ) -> anyhow::Result<Self> {
        let folder = RunFolder::open(&settings.folder, experiment)?;
        let snapshot = folder.latest()?;
        Ok(Self { settings: settings.clone(), optimizer: optimizer.clone(), folder, snapshot })
    }

    /// How many steps were done before.
    pub fn done(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, |snapshot| snapshot.step)
    }

    /// The file for the pictures made after `step` steps.
    pub fn pictures(&self, step: u64) -> PathBuf {
        self.folder.path().join(format!("pictures/{step:07}.png"))
    }
}

/// Values of some columns of the metrics, and what is said of them.
#[derive(Debug, Clone)]
pub struct Measured {
    /// A value a column.
    pub values: Vec<f64>,
    /// For people.
    pub message: String,
}

/// What is trained in a run.
pub trait Training {
    /// The columns that every step measures, the loss first.
    const STEP: &'static [&'static str];
    /// The columns that every evaluation measures.
    const EVALUATION: &'static [&'static str];

    /// The run it is trained in.
    fn run(&self) -> &Run;

    /// Makes a step at a learning rate; `step` counts from 0.
    ///
    /// # Errors
    /// When the data cannot be read, or the training has diverged.
    fn step(&mut self, step: u64, rate: f64) -> anyhow::Result<Measured>;

    /// Measures what steps do not, and makes pictures, after `step` steps.
    ///
    /// # Errors
    /// When the data cannot be read or the pictures cannot be written.
    fn evaluate(&self, step: u64) -> anyhow::Result<Measured>;

    /// Leaves a snapshot and a model in the released layout, after `step` steps.
    ///
    /// # Errors
    /// When they cannot be written.
    fn save(&self, step: u64) -> anyhow::Result<()>;
}

/// Trains to the end of the run.
///
/// # Errors
/// Those of the training, and when it has diverged: the loss is not finite.
pub fn train<T: Training>(mut training: T) -> anyhow::Result<()> {
    let Run { settings, optimizer, folder, .. } = training.run().clone();
    let begin = training.run().done();
    let columns = [T::STEP, &["rate"], T::EVALUATION].concat();
    let mut metrics = Metrics::open(folder.path(), &columns, begin)?;
    let not_evaluated = vec![f64::NAN; T::EVALUATION.len()];
    let clock = Clock::start(begin, settings.steps);
    if begin > 0 {
        clock.line(&format!("continuing after step {begin}"));
    }
    for step in begin..settings.steps {
        let rate = optimizer.rate(step, settings.steps);
        let measured = training.step(step, rate)?;
        let done = step + 1;
        let due = |every: u64| done == settings.steps || done.is_multiple_of(every);
        let evaluate = due(settings.evaluate_every);
        if evaluate || done.is_multiple_of(settings.log_every) {
            let loss = measured.values[0];
            // The row of a training that has diverged is still of use, an evaluation is not.
            let evaluated = (evaluate && loss.is_finite()).then(|| training.evaluate(done));
            let evaluated = evaluated.transpose()?;
            let rest = evaluated.as_ref().map_or(&not_evaluated, |found| &found.values);
            metrics.add(done, &[&measured.values[..], &[rate], rest].concat())?;
            clock.report(done, &measured.message);
            ensure!(loss.is_finite(), "the training has diverged: the loss is {loss}");
            if let Some(evaluated) = evaluated {
                metrics.draw()?;
                clock.line(&format!("step {done}: {}", evaluated.message));
            }
        }
        if due(settings.save_every) {
            training.save(done)?;
        }
    }
    clock.finish();
    Ok(())
}
