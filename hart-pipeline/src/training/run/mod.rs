//! The folder of a run, and the loop over its steps: metrics, evaluations, snapshots.

mod folder;
mod identity;
mod lock;
mod metrics;
mod settings;
mod snapshot;

use std::ops::ControlFlow;
use std::path::PathBuf;

use hart_core::{Error, Result, write_atomically};
use serde::Serialize;
use serde::de::DeserializeOwned;

pub use folder::RunFolder;
pub use identity::Content;
use identity::{Changes, Identity, table};
use metrics::Metrics;
pub use settings::RunSettings;
pub use snapshot::Snapshot;

use super::experiment::refuse;
use super::notice::Notice;
use super::observer::{Measurements, TrainingEvent, TrainingObserver, report};
use super::optimizer::OptimizerSettings;

/// The file of a run's folder with its experiment.
const EXPERIMENT: &str = "experiment.toml";
/// The file with the hashes of its data.
const CONTENT: &str = "content.json";

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
    /// What it continues from, once [`Self::restore`] has found it.
    pub snapshot: Option<Snapshot>,
    /// Steps and rates that it was begun with, where they were others.
    schedule: Option<(u64, OptimizerSettings)>,
    /// Its files of [`EXPERIMENT`] and [`CONTENT`].
    files: [Vec<u8>; 2],
}

impl Run {
    /// What an earlier start of a run has left of the hashes of its data.
    pub fn content(folder: &RunFolder) -> Content {
        Content::open(&folder.path().join(CONTENT))
    }

    /// Begins a run in its folder, or continues the one there: that has to have the same
    /// `experiment`, but for what no weight follows from, and data of the same `content`, or
    /// [`RunSettings::accept_changes`]. A run that has left no snapshot may become any other.
    ///
    /// # Errors
    /// [`Error::Changed`] with all that is not as it was, [`Error::Malformed`] when the folder has a
    /// run of another kind, and [`Error::Cancelled`] when the observer wants to stop.
    pub fn open<T>(
        folder: RunFolder,
        settings: &RunSettings,
        optimizer: &OptimizerSettings,
        experiment: &T,
        content: Content,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Self>
    where
        T: Serialize + DeserializeOwned,
    {
        let present = Identity { experiment: table(experiment)?, content };
        let Changes { weighty, said, schedule } = changes::<T>(&folder, &present)?;
        if !weighty.is_empty() && !settings.accept_changes {
            return Err(Error::Changed { path: folder.path().to_path_buf(), changes: weighty });
        }
        for what in weighty.into_iter().chain(said) {
            report(observer, TrainingEvent::Notice(&Notice::Changed { what }))?;
        }
        let files = [present.experiment.to_string().into_bytes(), present.content.to_bytes()];
        let (settings, optimizer) = (settings.clone(), optimizer.clone());
        Ok(Self { settings, optimizer, folder, snapshot: None, schedule, files })
    }

    /// What `make` makes of the newest snapshot that is whole, or of none in a new run. Only then
    /// the folder says what the run is now.
    ///
    /// # Errors
    /// Those of `make`; [`Error::Malformed`] when there are snapshots and none is whole,
    /// [`Error::Config`] when more steps are done than the run is to have, and [`Error::Io`].
    pub fn restore<S>(
        &mut self,
        observer: &mut dyn TrainingObserver,
        mut make: impl FnMut(Option<&Snapshot>) -> Result<S>,
    ) -> Result<S> {
        let mut damaged: Vec<(u64, String)> = vec![];
        for snapshot in self.folder.snapshots()?.into_iter().rev() {
            let checked = snapshot.check();
            // What is known to be whole and cannot be used is of another model.
            let is_whole = matches!(checked, Ok(true));
            match checked.and_then(|_| make(Some(&snapshot))) {
                Ok(made) => {
                    self.continue_from(snapshot, damaged, observer)?;
                    return Ok(made);
                }
                Err(error) => match snapshot.damage(&error) {
                    Some(reason) if !is_whole => damaged.push((snapshot.step(), reason)),
                    _ => return Err(error),
                },
            }
        }
        if damaged.is_empty() {
            let made = make(None)?;
            self.write_files()?;
            return Ok(made);
        }
        let reasons = damaged.iter().map(|(step, why)| format!("step-{step:09} ({why})"));
        let reasons: Vec<String> = reasons.collect();
        let problem = format!(
            "no snapshot is whole: {}; put back a copy, or remove the folder to begin anew",
            reasons.join(", ")
        );
        Err(Error::malformed(self.folder.path().join("snapshots"), problem))
    }

    fn continue_from(
        &mut self,
        snapshot: Snapshot,
        damaged: Vec<(u64, String)>,
        observer: &mut dyn TrainingObserver,
    ) -> Result<()> {
        let (before, steps) = (snapshot.step(), self.settings.steps);
        if before > steps {
            let expected = format!("at least {before}: the run has {before} steps already");
            return Err(refuse("run", "steps", steps, expected));
        }
        for (step, reason) in damaged {
            let notice = Notice::DamagedSnapshot { step, reason, before };
            report(observer, TrainingEvent::Notice(&notice))?;
        }
        if let Some((begun, rates)) = self.schedule.take().filter(|_| 0 < before && before < steps)
        {
            let from = rates.rate(before - 1, begun);
            let to = self.optimizer.rate(before, steps);
            if to != rates.rate(before, begun) {
                let notice = Notice::Rate { done: before, from, to };
                report(observer, TrainingEvent::Notice(&notice))?;
            }
        }
        self.snapshot = Some(snapshot);
        self.write_files()
    }

    fn write_files(&self) -> Result<()> {
        let [experiment, content] = &self.files;
        write_atomically(self.folder.path().join(CONTENT), content)?;
        write_atomically(self.folder.path().join(EXPERIMENT), experiment)
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

/// What `present` changes of the run in a folder; nothing when it has left no snapshot.
fn changes<T>(folder: &RunFolder, present: &Identity) -> Result<Changes>
where
    T: Serialize + DeserializeOwned,
{
    let file = folder.path().join(EXPERIMENT);
    match std::fs::read_to_string(&file) {
        Ok(text) if !folder.snapshots()?.is_empty() => {
            Ok(Identity::parse::<T>(&file, &text, Run::content(folder))?.changes(present))
        }
        _ => Ok(Changes::default()),
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

    /// Leaves a snapshot after `step` steps.
    ///
    /// # Errors
    /// When it cannot be written, and [`Error::NonFinite`] for weights that are not finite.
    fn save(&self, step: u64) -> Result<()>;

    /// Leaves a model in the released layout, as it is by now.
    ///
    /// # Errors
    /// When it cannot be written.
    fn export(&self) -> Result<()>;
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
/// [`Error::Diverged`] when a loss, a gradient or a weight is not finite: nothing of that step is
/// kept.
pub fn train<T: Training>(
    training: T,
    observer: &mut dyn TrainingObserver,
) -> Result<TrainingSummary> {
    let Run { settings, optimizer, folder, .. } = training.run().clone();
    let (begin, steps) = (training.run().done(), settings.steps);
    let columns = [T::STEP, &["rate"], T::EVALUATION].concat();
    let metrics = Metrics::open(folder.path(), &columns, begin)?;
    let mut steps_of =
        Loop { training, observer, settings, folder, metrics, begin, stopped: false };
    steps_of.report(TrainingEvent::Started { done: begin, steps });
    if begin == steps {
        // The last snapshot may have been all that was left before a kill, or before a disk was full.
        steps_of.export(begin)?;
    }
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
    /// Steps that were done before.
    begin: u64,
    /// Whether the observer wants no further step.
    stopped: bool,
}

impl<T: Training> Loop<'_, T> {
    fn report(&mut self, event: TrainingEvent<'_>) {
        self.stopped |= self.observer.event(event) == ControlFlow::Break(());
    }

    /// Step `step`, counted from 0, and what is due after it.
    fn step(&mut self, step: u64, rate: f64) -> Result<()> {
        let done = step + 1;
        let diverged = |error| diverged(done, error);
        let values = self.training.step(step, rate);
        let values = values.inspect_err(|error| self.rescue(step, error)).map_err(diverged)?;
        let RunSettings { steps, log_every, evaluate_every, save_every, .. } = self.settings;
        let due = |every: u64| done == steps || done.is_multiple_of(every);
        let evaluate = due(evaluate_every);
        let logged = evaluate || done.is_multiple_of(log_every);
        let evaluated = match logged {
            true => self.log(done, &values, rate, evaluate).map_err(diverged)?,
            false => None,
        };
        let metrics = Measurements::new(T::STEP, &values);
        self.report(TrainingEvent::Step { done, steps, logged, metrics });
        let folder = self.folder.path().to_path_buf();
        if let Some(evaluated) = evaluated {
            let metrics = Measurements::new(T::EVALUATION, &evaluated);
            self.report(TrainingEvent::Evaluated { done, metrics, folder: &folder });
        }
        if due(save_every) || self.stopped {
            self.training.save(done).map_err(diverged)?;
            self.export(done)?;
        }
        Ok(())
    }

    /// Leaves a snapshot of the steps before one whose data could not be read.
    fn rescue(&self, done: u64, error: &Error) {
        let of_data = matches!(error, Error::Io { .. } | Error::Malformed { .. });
        let is_saved = done == self.begin || done.is_multiple_of(self.settings.save_every);
        if of_data && !is_saved {
            // What has happened is the error; that this fails too is not worth another one.
            let _ = self.training.save(done);
        }
    }

    /// Leaves the model, when the snapshot of these steps is there.
    fn export(&mut self, done: u64) -> Result<()> {
        self.training.export()?;
        let folder = self.folder.path().to_path_buf();
        self.report(TrainingEvent::Saved { done, folder: &folder });
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
        let evaluated = evaluate.then(|| self.training.evaluate(done)).transpose()?;
        let absent = vec![f64::NAN; T::EVALUATION.len()];
        let rest = evaluated.as_ref().unwrap_or(&absent);
        self.metrics.add(done, &[values, &[rate], rest].concat())?;
        Ok(evaluated)
    }
}

/// The error of a step, counted from 1: with its number, when it has diverged.
pub(in crate::training) fn diverged(step: u64, error: Error) -> Error {
    match error {
        Error::NonFinite { what } => Error::Diverged { step, what },
        other => other,
    }
}
