//! Ctrl-C and requests to end, noticed between two steps of the work, so that a program can leave
//! nothing half-done.

use std::ops::ControlFlow;
use std::sync::atomic::{AtomicBool, AtomicUsize, Ordering};
use std::sync::{Arc, LazyLock};

use anyhow::Context;
use signal_hook::consts::{SIGINT, SIGTERM};
use signal_hook::flag;

static NOTICED: LazyLock<Arc<AtomicBool>> = LazyLock::new(Arc::default);
static SIGNAL: LazyLock<Arc<AtomicUsize>> = LazyLock::new(Arc::default);

/// From now on the first Ctrl-C (SIGINT) or SIGTERM does not end the program: it asks
/// [`interrupted`]. The second ends it at once.
///
/// # Errors
/// When the system refuses.
pub fn watch() -> anyhow::Result<()> {
    for signal in [SIGINT, SIGTERM] {
        flag::register_conditional_shutdown(signal, 128 + signal, NOTICED.clone())
            .and_then(|_| flag::register(signal, NOTICED.clone()))
            .and_then(|_| flag::register_usize(signal, SIGNAL.clone(), signal as usize))
            .context("cannot watch for signals")?;
    }
    Ok(())
}

/// Whether the program was asked to end since [`watch`].
pub fn interrupted() -> bool {
    NOTICED.load(Ordering::Relaxed)
}

/// The same, for work that asks whether to go on.
pub fn flow() -> ControlFlow<()> {
    if interrupted() { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
}

/// The exit code of a program that was asked to end, as shells have it: 130 or 143.
pub fn code() -> Option<u8> {
    let signal = SIGNAL.load(Ordering::Relaxed);
    interrupted().then(|| 128 + u8::try_from(signal).unwrap_or_default())
}
