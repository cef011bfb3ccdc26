//! What a worker tells while it works.

use std::ops::ControlFlow;
use std::time::Duration;

/// What happens to a worker, or while shards are verified or read.
#[derive(Debug, Clone, Copy)]
#[non_exhaustive]
pub enum BulkEvent<'a> {
    /// A shard was claimed.
    Claimed {
        /// Its number.
        shard: u64,
        /// Pictures that it has.
        pictures: u64,
    },
    /// A shard is being made: told at every scale of a batch, and at every picture.
    Working {
        /// Its number.
        shard: u64,
        /// Its pictures that are made or refused.
        settled: u64,
    },
    /// A shard is in its place.
    Done {
        /// Its number.
        shard: u64,
        /// Pictures that were made.
        made: u64,
        /// Prompts that were refused, and pictures that could not be made.
        without: u64,
    },
    /// A shard was given to another worker, because this one was silent for too long.
    Lost {
        /// Its number.
        shard: u64,
    },
    /// A shard that is not done was given back, since the worker was asked to stop.
    HandedBack {
        /// Its number.
        shard: u64,
    },
    /// A shard could not be made.
    Failed {
        /// Its number.
        shard: u64,
        /// Why.
        reason: &'a str,
        /// Whether this was its last try.
        is_dead: bool,
    },
    /// There is nothing to do now, or something does not work that may work later. Told again and
    /// again while it lasts.
    Waiting {
        /// What is waited for.
        what: &'a str,
        /// How much longer, until it is tried again.
        left: Duration,
    },
    /// A shard was read, to be verified or to be listed in an index.
    Read {
        /// Its number.
        shard: u64,
    },
}

/// Watches a worker; `ControlFlow::Break(())` asks it to stop. It is asked at every event, so several
/// times a second while it waits, and at every scale while it makes pictures.
///
/// Any closure of the right shape is an observer, and the unit type is the one that watches nothing.
pub trait BulkObserver {
    /// Called for every event, from the thread that works.
    fn event(&mut self, event: BulkEvent<'_>) -> ControlFlow<()>;
}

impl BulkObserver for () {
    fn event(&mut self, _: BulkEvent<'_>) -> ControlFlow<()> {
        ControlFlow::Continue(())
    }
}

impl<F: FnMut(BulkEvent<'_>) -> ControlFlow<()>> BulkObserver for F {
    fn event(&mut self, event: BulkEvent<'_>) -> ControlFlow<()> {
        self(event)
    }
}
