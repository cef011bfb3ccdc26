//! What the example programs share: progress on a terminal, exit codes, training.

pub mod gallery;
pub mod images;
pub mod interrupt;
pub mod named;
mod output;
pub mod pipeline;
#[cfg(feature = "train")]
mod plot;
#[cfg(all(feature = "train", feature = "embedded"))]
pub mod research;
pub mod scene;
pub mod seed;
#[cfg(feature = "train")]
pub mod training;

use std::cell::RefCell;
use std::io::{self, ErrorKind, IsTerminal};
use std::ops::ControlFlow;
use std::process::ExitCode;

use hart_core::Error;
use hart_pipeline::Event;
use hart_pipeline::backend::{OnBackend, compiled_in, on_device};
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

use crate::interrupt::Interrupted;
pub use output::{Destination, note, say, tell};

/// What shells give for a program that was ended by SIGPIPE.
const CLOSED_PIPE: u8 = 141;

/// Runs a program on the device called `name`, or on the fastest backend compiled in, and gives its
/// exit code as [`exit`] does.
pub fn run_on(name: Option<String>, work: impl OnBackend<Output = anyhow::Result<()>>) -> ExitCode {
    let name = name.unwrap_or_else(|| compiled_in()[0].to_string());
    exit(on_device(&name, work).map_err(anyhow::Error::from).flatten())
}

/// The exit code of a program: 0, or 1 with the reason on standard error, or 2 when an argument was
/// out of its range (as for arguments that cannot be parsed), 130 or 143 when it was interrupted, or
/// 141 without a word when nobody reads standard output any more.
pub fn exit(result: anyhow::Result<()>) -> ExitCode {
    let Err(error) = result else {
        return ExitCode::SUCCESS;
    };
    let closed = |cause: &io::Error| cause.kind() == ErrorKind::BrokenPipe;
    if error.downcast_ref::<io::Error>().is_some_and(closed) {
        return ExitCode::from(CLOSED_PIPE);
    }
    if let Some(interrupted) = error.downcast_ref::<Interrupted>() {
        note(interrupted);
        return interrupted.signal.exit_code();
    }
    // Some causes are quoted by what they caused.
    let mut reason = error.to_string();
    for cause in error.chain().skip(1).map(ToString::to_string) {
        if !reason.contains(&cause) {
            reason = format!("{reason}: {cause}");
        }
    }
    note(format_args!("error: {reason}"));
    match error.downcast_ref::<Error>() {
        Some(Error::Invalid { .. }) => ExitCode::from(2),
        _ => ExitCode::FAILURE,
    }
}

/// Shows the progress of a generation or a download: a bar over the scales or the bytes on a
/// terminal, plain lines elsewhere.
pub struct Progress {
    bar: ProgressBar,
    plain: bool,
    /// The file that is being fetched.
    file: RefCell<String>,
}

/// The bar of a download.
const BYTES: &str = "{prefix} [{bar:30}] {bytes}/{total_bytes} {bytes_per_sec} {eta}";

impl Progress {
    /// Begins to show progress on standard error.
    pub fn start() -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target =
            if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(None, target);
        let style = ProgressStyle::with_template("{prefix} [{bar:30}] {msg} {elapsed}");
        bar.set_style(style.expect("a valid template").progress_chars("=> "));
        Self { bar, plain, file: RefCell::default() }
    }

    /// Shows one event.
    pub fn show(&self, event: &Event<'_>) -> ControlFlow<()> {
        match event {
            Event::PromptCut { image, tokens, kept } => self.line(&format!(
                "image {image}: only the first {kept} of the prompt's {tokens} tokens are used"
            )),
            Event::UnknownWords { image, words } => self.line(&format!(
                "image {image}: the model does not know {}",
                words.iter().map(ToString::to_string).collect::<Vec<_>>().join(", ")
            )),
            Event::Refused { image, reason } => {
                self.line(&format!("image {image} is refused: {reason}"));
            }
            Event::Started { images, scales } => {
                self.bar.reset();
                self.bar.set_length(*scales as u64);
                let prefix = match images {
                    [first, .., last] => format!("images {first} to {last}"),
                    images => format!("image {}", images.first().unwrap_or(&0)),
                };
                if self.plain {
                    note(format_args!("{prefix}: {scales} scales"));
                }
                self.bar.set_prefix(prefix);
            }
            Event::Scale(done) => {
                let (scale, scales, grid) = (done.scale + 1, done.scales, done.grid);
                self.bar.set_position(scale as u64);
                self.bar.set_message(format!("{grid} tokens"));
                if self.plain {
                    note(format_args!("scale {scale} of {scales}: {grid} tokens"));
                }
            }
            Event::WarmUp { scale, scales, grid } => {
                self.bar.set_length(*scales as u64);
                self.bar.set_position(*scale as u64 + 1);
                self.bar.set_prefix("warming up: compiling and tuning what is not kept yet");
                self.bar.set_message(format!("{grid} tokens"));
                if self.plain {
                    note(format_args!(
                        "warming up, scale {} of {scales}: {grid} tokens",
                        scale + 1
                    ));
                }
            }
            Event::MaskPass { pass, passes } => {
                self.bar.set_message(format!("pass {} of {passes}", pass + 1));
                if self.plain {
                    note(format_args!("pass {} of {passes} over the last scale", pass + 1));
                }
            }
            Event::Download { repository, file, done, size } => {
                self.show_download(&format!("{repository}/{file}"), *done, *size);
            }
            Event::FromCache { repository, reason } => {
                self.line(&format!("{repository}: {reason}; what was fetched earlier is used"))
            }
            _ => {}
        }
        ControlFlow::Continue(())
    }

    /// How far a file is; the first event of each begins another bar.
    fn show_download(&self, file: &str, done: u64, size: u64) {
        if *self.file.borrow() != file {
            self.file.replace(file.to_string());
            let style = ProgressStyle::with_template(BYTES).expect("a valid template");
            self.bar.set_style(style.progress_chars("=> "));
            self.bar.reset();
            self.bar.set_length(size);
            self.bar.set_prefix(file.to_string());
            // The speed is that of what is fetched now, not of what was here.
            self.bar.set_position(done);
            self.bar.reset_eta();
            if self.plain {
                let bytes = indicatif::HumanBytes(size);
                let from = match done {
                    0 => String::new(),
                    _ => format!(", {} of it here already", indicatif::HumanBytes(done)),
                };
                note(format_args!("fetching {file}: {bytes}{from}"));
            }
        }
        self.bar.set_position(done);
    }

    /// A line above the bar.
    pub fn line(&self, text: &str) {
        if self.plain { note(text) } else { self.bar.println(text) }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
