//! Batches prepared on another thread while the device computes.

use std::sync::mpsc::{Receiver, sync_channel};
use std::thread::JoinHandle;

use crate::data::epoch_order;

/// Batches that are ready before they are asked for.
const AHEAD: usize = 2;

/// Which items each step of a run trains on: epoch after epoch in an order that follows from the
/// seed, without a gap between epochs.
#[derive(Debug)]
pub struct Order {
    count: usize,
    seed: u64,
    epoch: Option<(u64, Vec<usize>)>,
}

impl Order {
    /// Over `count` items.
    pub fn new(count: usize, seed: u64) -> Self {
        Self { count, seed, epoch: None }
    }

    /// The items of step `step`.
    pub fn batch(&mut self, step: u64, batch: usize) -> Vec<usize> {
        let first = step * batch as u64;
        (first..first + batch as u64).map(|position| self.item(position)).collect()
    }

    fn item(&mut self, position: u64) -> usize {
        let count = self.count as u64;
        let epoch = position / count;
        if self.epoch.as_ref().is_none_or(|(present, _)| *present != epoch) {
            self.epoch = Some((epoch, epoch_order(self.count, self.seed, epoch)));
        }
        let (_, order) = self.epoch.as_ref().expect("it was just made");
        order[(position % count) as usize]
    }
}

/// Makes a value for each of `steps` on a thread of its own, a few ahead of whoever takes them.
#[derive(Debug)]
pub struct Prefetch<T> {
    values: Option<Receiver<anyhow::Result<T>>>,
    thread: Option<JoinHandle<()>>,
}

impl<T: Send + 'static> Prefetch<T> {
    /// Begins with the first step. After an error no further value is made.
    pub fn start(
        steps: std::ops::Range<u64>,
        mut make: impl FnMut(u64) -> anyhow::Result<T> + Send + 'static,
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
    /// What the making of it gave.
    pub fn take(&mut self) -> anyhow::Result<T> {
        let values = self.values.as_ref().expect("it is there until this is dropped");
        values.recv().map_err(|_| anyhow::anyhow!("there are no more batches"))?
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
    use super::{Order, Prefetch};

    #[test]
    fn every_epoch_visits_every_item_once() {
        let mut order = Order::new(10, 3);
        let visited: Vec<usize> = (0..5).flat_map(|step| order.batch(step, 4)).collect();
        for epoch in visited.chunks_exact(10) {
            let mut sorted = epoch.to_vec();
            sorted.sort_unstable();
            assert_eq!(sorted, (0..10).collect::<Vec<_>>());
        }
        assert_ne!(visited[..10], visited[10..]);
        assert_eq!(Order::new(10, 3).batch(3, 4), visited[12..16]);
    }

    #[test]
    fn values_come_in_order_and_an_error_ends_them() {
        let mut values = Prefetch::start(5..9, |step| {
            anyhow::ensure!(step < 7, "no more");
            Ok(step)
        });
        assert_eq!((values.take().unwrap(), values.take().unwrap()), (5, 6));
        assert_eq!(values.take().unwrap_err().to_string(), "no more");
        assert!(values.take().is_err());
    }
}
