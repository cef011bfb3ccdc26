//! Keeping a shard while it is made.

use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Condvar, Mutex, PoisonError};

use crate::bulk::engine::{Engine, Lease};

/// Says again and again that a shard is being worked on, from a thread beside the one that works.
pub(super) struct Keeper<'a> {
    engine: &'a dyn Engine,
    lease: &'a Lease,
    is_lost: AtomicBool,
    is_over: Mutex<bool>,
    over: Condvar,
}

impl<'a> Keeper<'a> {
    pub(super) fn new(engine: &'a dyn Engine, lease: &'a Lease) -> Self {
        let (is_lost, is_over) = (AtomicBool::new(false), Mutex::new(false));
        Self { engine, lease, is_lost, is_over, over: Condvar::new() }
    }

    /// Does `work` while the shard is kept.
    pub(super) fn during<T>(&self, work: impl FnOnce() -> T) -> T {
        std::thread::scope(|scope| {
            scope.spawn(|| self.keep());
            let _end = End(self);
            work()
        })
    }

    /// Whether the shard was given to another worker.
    pub(super) fn is_lost(&self) -> bool {
        self.is_lost.load(Ordering::Relaxed)
    }

    fn keep(&self) {
        let mut is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        while !*is_over {
            let woken = self.over.wait_timeout(is_over, self.engine.beat());
            is_over = woken.unwrap_or_else(PoisonError::into_inner).0;
            if *is_over {
                return;
            }
            drop(is_over);
            // An engine that is away is asked again at the next beat: perhaps it comes back in time.
            if matches!(self.engine.keep(self.lease), Ok(false)) {
                self.is_lost.store(true, Ordering::Relaxed);
                return;
            }
            is_over = self.is_over.lock().unwrap_or_else(PoisonError::into_inner);
        }
    }
}

/// Ends the keeping, also when the work panics.
struct End<'a, 'b>(&'a Keeper<'b>);

impl Drop for End<'_, '_> {
    fn drop(&mut self) {
        *self.0.is_over.lock().unwrap_or_else(PoisonError::into_inner) = true;
        self.0.over.notify_all();
    }
}
