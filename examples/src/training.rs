//! The progress of a training on the terminal, and the plot of its metrics.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::Instant;

use hart_pipeline::training::{Measurements, TrainingEvent, TrainingObserver};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::plot::draw_metrics;

/// Shows a training on standard error, and draws its metrics at every evaluation.
pub struct TrainingProgress {
    clock: Option<Clock>,
    about_step: fn(&Measurements<'_>) -> String,
    about_evaluation: fn(&Measurements<'_>) -> String,
    failed: Option<anyhow::Error>,
}

impl TrainingProgress {
    /// Nothing yet; the functions say in a few words what a step and an evaluation measured.
    pub fn new(
        about_step: fn(&Measurements<'_>) -> String,
        about_evaluation: fn(&Measurements<'_>) -> String,
    ) -> Self {
        Self { clock: None, about_step, about_evaluation, failed: None }
    }

    /// Removes the bar.
    ///
    /// # Errors
    /// When the metrics could not be drawn, which has ended the training.
    pub fn finish(self) -> anyhow::Result<()> {
        drop(self.clock);
        self.failed.map_or(Ok(()), Err)
    }

    /// The clock of what is counted to `all`, from `done` on.
    fn clock(&mut self, done: u64, all: u64) -> &Clock {
        self.clock.get_or_insert_with(|| Clock::start(done, all))
    }
}

impl TrainingObserver for TrainingProgress {
    fn event(&mut self, event: TrainingEvent<'_>) -> ControlFlow<()> {
        match event {
            TrainingEvent::Encoding { done, images, .. } => {
                self.clock(0, images as u64).report(done as u64, "encoding images");
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
                    self.failed = Some(error);
                    return ControlFlow::Break(());
                }
            }
            _ => {}
        }
        ControlFlow::Continue(())
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
        let seconds = self.began.elapsed().as_secs_f64() / (done - self.first).max(1) as f64;
        let left = seconds * (self.all - done) as f64;
        let (hours, minutes) = (left as u64 / 3600, left as u64 / 60 % 60);
        let message =
            format!("{message}, {:.0} ms a step, {hours} h {minutes:02} min left", seconds * 1e3);
        self.bar.set_position(done);
        self.bar.set_message(message.clone());
        if self.plain {
            eprintln!("step {done} of {}: {message}", self.all);
        }
    }

    /// A line above the bar.
    fn line(&self, text: &str) {
        if self.plain { eprintln!("{text}") } else { self.bar.println(text) }
    }
}

impl Drop for Clock {
    fn drop(&mut self) {
        self.bar.finish_and_clear();
    }
}
