//! The folder of a run, and the loop over its steps: metrics, evaluations, snapshots.

mod folder;
mod metrics;
mod settings;

use std::ops::ControlFlow;
use std::path::PathBuf;

use hart_core::{Error, Result};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use folder::{RunFolder, Snapshot};
use metrics::Metrics;
pub use settings::RunSettings;

use super::observer::{Measurements, TrainingEvent, TrainingObserver};
use super::optimizer::OptimizerSettings;

/// A run as it was started.
#[derive(Debug, Clone)]
#[non_exhaustive]
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
    /// all that the run follows from.
    ///
    /// # Errors
    /// Those of [`RunFolder::open`].
    pub fn open<T>(
        settings: &RunSettings,
        optimizer: &OptimizerSettings,
        experiment: &T,
    ) -> Result<Self>
    where
        T: Serialize + DeserializeOwned,
    {
        let folder = RunFolder::open(&settings.folder, experiment)?;
        let snapshot = folder.latest()?;
        Ok(Self { settings: settings.clone(), optimizer: optimizer.clone(), folder, snapshot })
    }

    /// How many steps were done before.
    pub fn done(&self) -> u64 {
        self.snapshot.as_ref().map_or(0, Snapshot::step)
    }

    /// The file for the images made after `step` steps.
    pub fn images(&self, step: u64) -> PathBuf {
        self.folder.path().join(format!("images/{step:07}.png"))
    }
}

/// What is trained in a run.
pub trait Training {
    /// The columns that every step measures, the loss first.
    const STEP: &'static [&'static str];
    /// The columns that every evaluation measures.
    const EVALUATION: &'static [&'static str];

    /// The run it is trained in.
    fn run(&self) -> &Run;

    /// Makes a step at a learning rate; `step` counts from 0. Gives a value for each column of
    /// [`Self::STEP`].
    ///
    /// # Errors
    /// When the data cannot be read, or the training has diverged.
    fn step(&mut self, step: u64, rate: f64) -> Result<Vec<f64>>;

    /// Measures what steps do not, and makes images, after `step` steps. Gives a value for each
    /// column of [`Self::EVALUATION`].
    ///
    /// # Errors
    /// When the data cannot be read or the images cannot be written.
    fn evaluate(&self, step: u64) -> Result<Vec<f64>>;

    /// Leaves a snapshot and a model in the released layout, after `step` steps.
    ///
    /// # Errors
    /// When they cannot be written.
    fn save(&self, step: u64) -> Result<()>;
}

/// How a training ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[non_exhaustive]
pub struct TrainingSummary {
    /// Steps that are done, those of earlier starts included.
    pub done: u64,
    /// Steps of the whole run.
    pub steps: u64,
}

impl TrainingSummary {
    /// Whether the run is finished; it is not when the observer has ended it before.
    pub fn is_finished(&self) -> bool {
        self.done >= self.steps
    }
}

/// Trains to the end of the run, or until the observer ends it.
///
/// # Errors
/// Those of the training, [`Error::Io`] and [`Error::Malformed`] of the metrics, and
/// [`Error::NonFinite`] when the training has diverged.
pub fn train<T: Training>(
    training: T,
    observer: &mut dyn TrainingObserver,
) -> Result<TrainingSummary> {
    let Run { settings, optimizer, folder, .. } = training.run().clone();
    let (begin, steps) = (training.run().done(), settings.steps);
    let columns = [T::STEP, &["rate"], T::EVALUATION].concat();
    let metrics = Metrics::open(folder.path(), &columns, begin)?;
    let mut steps_of = Loop { training, observer, settings, folder, metrics, stopped: false };
    steps_of.report(TrainingEvent::Started { done: begin, steps });
    let mut done = begin;
    while done < steps && !steps_of.stopped {
        steps_of.step(done, optimizer.rate(done, steps))?;
        done += 1;
    }
    Ok(TrainingSummary { done, steps })
}

/// A training on its way.
struct Loop<'a, T> {
    training: T,
    observer: &'a mut dyn TrainingObserver,
    settings: RunSettings,
    folder: RunFolder,
    metrics: Metrics,
    /// Whether the observer wants no further step.
    stopped: bool,
}

impl<T: Training> Loop<'_, T> {
    fn report(&mut self, event: TrainingEvent<'_>) {
        self.stopped |= self.observer.event(event) == ControlFlow::Break(());
    }

    /// Step `step`, counted from 0, and what is due after it.
    fn step(&mut self, step: u64, rate: f64) -> Result<()> {
        let values = self.training.step(step, rate)?;
        let RunSettings { steps, log_every, evaluate_every, save_every, .. } = self.settings;
        let done = step + 1;
        let due = |every: u64| done == steps || done.is_multiple_of(every);
        let evaluate = due(evaluate_every);
        let logged = evaluate || done.is_multiple_of(log_every);
        let evaluated = if logged { self.log(done, &values, rate, evaluate)? } else { None };
        let metrics = Measurements::new(T::STEP, &values);
        self.report(TrainingEvent::Step { done, steps, logged, metrics });
        if logged && !values[0].is_finite() {
            let what =
                format!("the training has diverged: its loss, {} after step {done},", values[0]);
            return Err(Error::NonFinite { what });
        }
        let folder = self.folder.path().to_path_buf();
        if let Some(evaluated) = evaluated {
            let metrics = Measurements::new(T::EVALUATION, &evaluated);
            self.report(TrainingEvent::Evaluated { done, metrics, folder: &folder });
        }
        if due(save_every) || self.stopped {
            self.training.save(done)?;
            self.report(TrainingEvent::Saved { done, folder: &folder });
        }
        Ok(())
    }

    /// Adds a row to the metrics, with what an evaluation measures if there is one.
    fn log(
        &mut self,
        done: u64,
        values: &[f64],
        rate: f64,
        evaluate: bool,
    ) -> Result<Option<Vec<f64>>> {
        // The row of a training that has diverged is still of use, an evaluation is not.
        let evaluate = evaluate && values[0].is_finite();
        let evaluated = evaluate.then(|| self.training.evaluate(done)).transpose()?;
        let absent = vec![f64::NAN; T::EVALUATION.len()];
        let rest = evaluated.as_ref().unwrap_or(&absent);
        self.metrics.add(done, &[values, &[rate], rest].concat())?;
        Ok(evaluated)
    }
}
