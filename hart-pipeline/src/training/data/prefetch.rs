//! Batches prepared on another thread while the device computes.

use std::ops::Range;
use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use hart_core::{Error, Result};

/// Batches that are ready before they are asked for.
const AHEAD: usize = 2;

/// Makes a value for each step on a thread of its own, a few ahead of whoever takes them.
#[derive(Debug)]
pub struct Prefetch<T> {
    values: Option<Receiver<Result<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Begins with the first of the steps. After an error no further value is made.
    pub fn start(
        steps: Range<u64>,
        mut make: impl FnMut(u64) -> Result<T> + Send + 'static,
    ) -> Self {
        let (sender, values) = sync_channel(AHEAD);
        let thread = std::thread::spawn(move || {
            for step in steps {
                let value = make(step);
                let failed = value.is_err();
                if sender.send(value).is_err() || failed {
                    return;
                }
            }
        });
        Self { values: Some(values), thread: Some(thread) }
    }

    /// The value of the next step.
    ///
    /// # Errors
    /// What the making of it gave, and [`Error::Invalid`] after the last one.
    pub fn take(&mut self) -> Result<T> {
        let values = self.values.as_ref().expect("it is there until this is dropped");
        let none = || Error::invalid("the batch", "none", "one for each step of the run");
        values.recv().map_err(|_| none())?
    }
}

impl<T> Drop for Prefetch<T> {
    fn drop(&mut self) {
        // Hanging up first ends the thread at its next value.
        self.values = None;
        if let Some(thread) = self.thread.take() {
            let _ = thread.join();
        }
    }
}

#[cfg(test)]
mod tests {
    use hart_core::Error;

    use super::Prefetch;

    #[test]
    fn values_come_in_order_and_an_error_ends_them() {
        let mut values = Prefetch::start(5..9, |step| match step {
            7 => Err(Error::Cancelled),
            step => Ok(step),
        });
        assert_eq!((values.take().unwrap(), values.take().unwrap()), (5, 6));
        assert!(matches!(values.take(), Err(Error::Cancelled)));
        assert!(matches!(values.take(), Err(Error::Invalid { .. })));
    }
}
