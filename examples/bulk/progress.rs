//! What a worker shows of itself.

use std::io::IsTerminal;
use std::ops::ControlFlow;
use std::time::Instant;

use hart_examples::interrupt::Interrupt;
use hart_examples::note;
use hart_pipeline::bulk::{BulkEvent, BulkObserver, Run};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// A bar over the shard in hand on a terminal, a line for each shard elsewhere; and the wish that the
/// program ends.
pub(crate) struct WorkerProgress {
    bar: ProgressBar,
    is_plain: bool,
    interrupt: Interrupt,
    shards: u64,
    began: Instant,
    made: u64,
    /// What is waited for, so that it is said once.
    waiting: String,
}

impl WorkerProgress {
    pub(crate) fn new(run: &Run, interrupt: Interrupt) -> Self {
        let is_plain = !std::io::stderr().is_terminal();
        let target =
            if is_plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {pos}/{len} {msg} {eta}");
        if let Ok(style) = style {
            bar.set_style(style.progress_chars("=> "));
        }
        let (shards, began) = (run.plan().shards(), Instant::now());
        Self { bar, is_plain, interrupt, shards, began, made: 0, waiting: String::new() }
    }

    fn line(&self, text: &str) {
        if self.is_plain { note(text) } else { self.bar.println(text) }
    }

    fn speed(&self, more: u64) -> f64 {
        (self.made + more) as f64 / self.began.elapsed().as_secs_f64().max(1e-9)
    }

    /// Removes the bar.
    pub(crate) fn finish(&self) {
        self.bar.finish_and_clear();
    }
}

impl BulkObserver for WorkerProgress {
    fn event(&mut self, event: BulkEvent<'_>) -> ControlFlow<()> {
        if !matches!(event, BulkEvent::Waiting { .. }) {
            self.waiting.clear();
        }
        match event {
            BulkEvent::Claimed { shard, pictures } => {
                self.bar.reset();
                self.bar.set_length(pictures);
                self.bar.set_prefix(format!("shard {shard} of {}", self.shards));
            }
            BulkEvent::Working { settled, .. } => {
                self.bar.set_position(settled);
                self.bar.set_message(format!("{:.2} pictures/s", self.speed(settled)));
            }
            BulkEvent::Done { shard, made, without } => {
                self.made += made;
                let refused = match without {
                    0 => String::new(),
                    count => format!(", {count} without a picture"),
                };
                let speed = self.speed(0);
                self.line(&format!("shard {shard}: {made} pictures{refused}; {speed:.2} a second"));
            }
            BulkEvent::Lost { shard } => {
                self.line(&format!(
                    "shard {shard} was given to another worker: this one was silent"
                ));
            }
            BulkEvent::HandedBack { shard } => self.line(&format!("shard {shard} is given back")),
            BulkEvent::Failed { shard, reason, is_dead } => {
                let end = if is_dead { "given up" } else { "to be tried again" };
                self.line(&format!("shard {shard} failed, {end}: {reason}"));
            }
            BulkEvent::Waiting { what, left } => {
                self.bar.set_message(format!("waiting {:.0} s", left.as_secs_f64()));
                if self.waiting != what {
                    self.waiting = what.to_string();
                    self.line(&format!("waiting for {what}"));
                }
            }
            _ => {}
        }
        self.interrupt.flow()
    }
}
