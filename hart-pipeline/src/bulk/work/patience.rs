//! Waiting for what may work later.

use std::time::{Duration, Instant};

use hart_core::{Error, Result};

use crate::bulk::observer::{BulkEvent, BulkObserver};
use crate::bulk::store::Failure;

/// The first and the longest time between two tries.
const FIRST: Duration = Duration::from_secs(1);
const LONGEST: Duration = Duration::from_secs(60);
/// How often an observer is told while a worker waits.
const TELLING: Duration = Duration::from_millis(100);

/// Tries something until it works or cannot work, each time after twice as long.
///
/// # Errors
/// The error of what cannot work, [`Error::Cancelled`] when the observer asks to stop.
pub(super) fn patiently<T>(
    observer: &mut dyn BulkObserver,
    mut attempt: impl FnMut(&mut dyn BulkObserver) -> Result<T, Failure>,
) -> Result<T> {
    let mut pause = FIRST;
    loop {
        match attempt(observer) {
            Ok(result) => return Ok(result),
            Err(Failure::Final(error)) => return Err(error),
            Err(Failure::Passing { what, why }) => {
                wait(observer, &format!("{what}: {why}"), pause)?;
                pause = (pause * 2).min(LONGEST);
            }
        }
    }
}

/// Waits, telling what for.
///
/// # Errors
/// [`Error::Cancelled`] when the observer asks to stop.
pub(super) fn wait(observer: &mut dyn BulkObserver, what: &str, time: Duration) -> Result<()> {
    let end = Instant::now() + time;
    loop {
        let left = end.saturating_duration_since(Instant::now());
        if observer.event(BulkEvent::Waiting { what, left }).is_break() {
            return Err(Error::Cancelled);
        }
        if left.is_zero() {
            return Ok(());
        }
        std::thread::sleep(left.min(TELLING));
    }
}
