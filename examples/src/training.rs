//! The progress of a training on the terminal, the plot of its metrics, and the wish to stop it.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::Instant;

use hart_core::{Error, Result};
use hart_pipeline::training::run::TrainingSummary;
use hart_pipeline::training::{Measurements, TrainingEvent, TrainingObserver};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt::{Interrupt, Interrupted, Signal};
use crate::note;
use crate::plot::draw_metrics;

/// Shows a training on standard error, draws its metrics at every evaluation, and ends it with a
/// snapshot when the program is interrupted.
pub struct TrainingProgress {
    interrupt: Interrupt,
    clock: Option<Clock>,
    about_step: fn(&Measurements<'_>) -> String,
    about_evaluation: fn(&Measurements<'_>) -> String,
}

impl TrainingProgress {
    /// Nothing yet; the functions say in a few words what a step and an evaluation measured.
    ///
    /// # Errors
    /// When the system does not let a program notice that it is interrupted.
    pub fn new(
        about_step: fn(&Measurements<'_>) -> String,
        about_evaluation: fn(&Measurements<'_>) -> String,
    ) -> anyhow::Result<Self> {
        let interrupt = Interrupt::watch()?;
        Ok(Self { interrupt, clock: None, about_step, about_evaluation })
    }

    /// Removes the bar, and gives what the program ends with after a training.
    ///
    /// # Errors
    /// That of the training, and [`Interrupted`] when it was ended before its last step.
    pub fn finish(self, trained: Result<TrainingSummary>) -> anyhow::Result<()> {
        let signal = self.interrupt.received();
        drop(self.clock);
        let stopped = |signal: Signal, left: String| Err(Interrupted { signal, left }.into());
        match (trained, signal) {
            (Ok(summary), Some(signal)) if !summary.is_finished() => {
                let (done, steps) = (summary.done, summary.steps);
                let left = match done {
                    0 => "no step was made".to_string(),
                    _ => format!("a snapshot of step {done} of {steps} is saved"),
                };
                stopped(signal, format!("{left}; the same command goes on from there"))
            }
            (Err(Error::Cancelled), Some(signal)) => {
                let left = "no step was made, tokens of images are kept; the same command goes on";
                stopped(signal, left.to_string())
            }
            (trained, _) => Ok(trained.map(drop)?),
        }
    }

    /// The clock of a number of images, a new one where the last one counted to another.
    fn count(&mut self, images: usize) -> &Clock {
        let images = images as u64;
        if self.clock.as_ref().is_some_and(|clock| clock.all != images) {
            self.clock = None;
        }
        self.clock(0, images)
    }

    /// The clock of what is counted to `all`, from `done` on.
    fn clock(&mut self, done: u64, all: u64) -> &Clock {
        self.clock.get_or_insert_with(|| Clock::start(done, all))
    }
}

impl TrainingObserver for TrainingProgress {
    fn event(&mut self, event: TrainingEvent<'_>) -> ControlFlow<()> {
        match event {
            TrainingEvent::Notice(notice) => match &self.clock {
                Some(clock) => clock.line(&notice.to_string()),
                None => note(notice),
            },
            TrainingEvent::Checking { done, images, .. } => {
                self.count(images).report(done as u64, "reading images");
            }
            TrainingEvent::Encoding { done, images, .. } => {
                self.count(images).report(done as u64, "encoding images");
            }
            TrainingEvent::Started { done, steps, .. } => {
                self.clock = None;
                let clock = self.clock(done, steps);
                if done > 0 {
                    clock.line(&format!("continuing after step {done}"));
                }
            }
            TrainingEvent::Step { done, steps, logged: true, metrics, .. } => {
                let message = (self.about_step)(&metrics);
                self.clock(done, steps).report(done, &message);
            }
            TrainingEvent::Evaluated { done, metrics, folder, .. } => {
                let message = (self.about_evaluation)(&metrics);
                self.clock(done, done).line(&format!("step {done}: {message}"));
                if let Err(error) = draw_metrics(folder) {
                    let text = format!("the metrics are not drawn: {error:#}");
                    self.clock(done, done).line(&text);
                }
            }
            _ => {}
        }
        self.interrupt.flow()
    }
}

/// A bar with the time left on a terminal, plain lines elsewhere.
struct Clock {
    bar: ProgressBar,
    plain: bool,
    began: Instant,
    first: u64,
    all: u64,
}

impl Clock {
    fn start(done: u64, all: u64) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target =
            if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(all), target);
        let style = ProgressStyle::with_template("{pos}/{len} [{bar:30}] {msg}");
        bar.set_style(style.expect("a valid template").progress_chars("=> "));
        bar.set_position(done);
        Self { bar, plain, began: Instant::now(), first: done, all }
    }

    /// Shows how much is done, with the speed and the time left.
    fn report(&self, done: u64, message: &str) {
        let seconds =
            self.began.elapsed().as_secs_f64() / done.saturating_sub(self.first).max(1) as f64;
        let left = seconds * self.all.saturating_sub(done) as f64;
        let (hours, minutes) = (left as u64 / 3600, left as u64 / 60 % 60);
        let message =
            format!("{message}, {:.0} ms a step, {hours} h {minutes:02} min left", seconds * 1e3);
        self.bar.set_position(done);
        self.bar.set_message(message.clone());
        if self.plain {
            note(format_args!("step {done} of {}: {message}", self.all));
        }
    }

    /// A line above the bar.
    fn line(&self, text: &str) {
        if self.plain { note(text) } else { self.bar.println(text) }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
