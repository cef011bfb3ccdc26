//! Ctrl-C and the wish of the system that a program ends: noticed, so that it can leave nothing half
//! done.

use std::fmt;
use std::io;
use std::ops::ControlFlow;
use std::process::ExitCode;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};

use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

/// Whether the program was asked to end. A second request ends it at once.
#[derive(Debug, Clone)]
pub struct Interrupt(Arc<AtomicUsize>);

/// A request to end a program: SIGINT, as Ctrl-C sends it, or SIGTERM.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Signal(i32);

impl Interrupt {
    /// Begins to notice requests.
    ///
    /// # Errors
    /// When the system does not allow it.
    pub fn watch() -> io::Result<Self> {
        let (received, again) = (Arc::new(AtomicUsize::new(0)), Arc::new(AtomicBool::new(false)));
        for signal in [SIGINT, SIGTERM] {
            // In this order the first request does not see that it was made.
            flag::register_conditional_shutdown(signal, 128 + signal, again.clone())?;
            flag::register(signal, again.clone())?;
            flag::register_usize(signal, received.clone(), signal as usize)?;
        }
        Ok(Self(received))
    }

    /// The request that was made, if any was.
    pub fn received(&self) -> Option<Signal> {
        let signal = self.0.load(Ordering::Relaxed);
        (signal != 0).then_some(Signal(signal as i32))
    }

    /// The same as an answer to work that asks whether to go on.
    pub fn flow(&self) -> ControlFlow<()> {
        match self.received() {
            Some(_) => ControlFlow::Break(()),
            None => ControlFlow::Continue(()),
        }
    }
}

impl Signal {
    /// The exit code of a program that ended for it: 130 or 143.
    pub fn exit_code(self) -> ExitCode {
        ExitCode::from(128_u8.saturating_add(u8::try_from(self.0).unwrap_or(u8::MAX)))
    }
}

impl fmt::Display for Signal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(if self.0 == SIGINT { "SIGINT" } else { "SIGTERM" })
    }
}

/// What a program was stopped by, and how far it had come: no error, but another exit code.
#[derive(Debug)]
pub struct Interrupted {
    /// The request.
    pub signal: Signal,
    /// What is left, and what to do next.
    pub left: String,
}

impl fmt::Display for Interrupted {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "stopped by {}: {}", self.signal, self.left)
    }
}

impl std::error::Error for Interrupted {}
