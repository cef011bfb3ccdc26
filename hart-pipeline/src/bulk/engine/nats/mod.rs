//! The engine with a server: NATS JetStream (feature `nats`).
//!
//! | on the server | what |
//! |---|---|
//! | stream `HART-RUN` | a work queue, `hart.RUN.shard.N` a message for each shard that is not settled |
//! | stream `HART-RUN-DEAD` | `hart.RUN.dead.N`, why a shard was given up |
//! | bucket `HART-RUN` | who has a shard, what became of earlier tries |
//! | bucket `HART-RUN-WORKERS` | what each worker that lives is doing |
//!
//! `RUN` is the beginning of the plan's hash. A message is acknowledged when its shard is in its place,
//! and given to another worker when nothing was heard of it for the time of a lease. All of it is
//! filled from what the run's store lacks, so a server that has lost everything is filled again.

mod book;
mod queue;
mod server;

use std::collections::HashMap;
use std::sync::{Arc, Mutex, MutexGuard, PoisonError};
use std::time::Duration;

use async_nats::jetstream::{AckKind, Message};
use hart_core::{Error, Result};

use self::book::Book;
use self::queue::Queue;
use self::server::Server;
use super::{Claim, Engine, Held, Lease, TRIES};
use crate::bulk::dead::Dead;
use crate::bulk::run::Run;
use crate::bulk::store::Failure;

/// How long a worker waits before it asks again while others have all that is left.
const AGAIN: Duration = Duration::from_secs(1);
/// Beats in the time of a lease.
const BEATS: u32 = 3;

/// Shares a run out among workers that reach one NATS server. Workers come and go.
pub struct NatsEngine {
    run: Run,
    server: Server,
    worker: String,
    time: Duration,
    /// What is on the server; opened anew after it was away.
    queue: Mutex<Option<Arc<Queue>>>,
    /// The messages of the shards that this worker has.
    messages: Mutex<HashMap<u64, Message>>,
}

impl NatsEngine {
    /// Joins a run by a server, such as `nats://127.0.0.1:4222` or `tls://USER:PASSWORD@HOST`. `worker` is
    /// what others see as this worker's name, of letters, digits, `-` and `_`; `time` is how long a
    /// worker may be silent, as whoever joins first says.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a time of less than a tenth of a second; [`Error::Store`] when the server
    /// does not answer or has no JetStream, without the password.
    pub fn join(run: Run, server: &str, worker: impl Into<String>, time: Duration) -> Result<Self> {
        if time < Duration::from_millis(100) {
            return Err(Error::invalid(
                "the time of a lease",
                format!("{time:?}"),
                "at least 0.1 s",
            ));
        }
        let worker: String = worker.into();
        let plain = |c: char| if c.is_ascii_alphanumeric() || c == '_' { c } else { '-' };
        let engine = Self {
            run,
            server: Server::connect(server)?,
            worker: worker.chars().map(plain).collect(),
            time,
            queue: Mutex::new(None),
            messages: Mutex::new(HashMap::new()),
        };
        engine.queue()?;
        Ok(engine)
    }

    /// What is on the server.
    fn queue(&self) -> Result<Arc<Queue>, Failure> {
        let mut queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        if let Some(queue) = &*queue {
            return Ok(queue.clone());
        }
        let opened = Arc::new(Queue::open(&self.server, &self.run, self.time)?);
        *queue = Some(opened.clone());
        Ok(opened)
    }

    /// Does something with what is on the server, which is opened anew next time if that fails.
    fn with<T>(&self, work: impl FnOnce(&Queue) -> Result<T, Failure>) -> Result<T, Failure> {
        let done = self.queue().and_then(|queue| work(&queue));
        if done.is_err() {
            *self.queue.lock().unwrap_or_else(PoisonError::into_inner) = None;
        }
        done
    }

    fn messages(&self) -> MutexGuard<'_, HashMap<u64, Message>> {
        self.messages.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn message(&self, lease: &Lease) -> Option<Message> {
        self.messages().get(&lease.shard).cloned()
    }

    /// The next shard, if the server has one.
    fn next(&self, queue: &Queue) -> Result<Option<Lease>, Failure> {
        while let Some((shard, message)) = queue.fetch(&self.server, &self.run)? {
            if self.run.is_done(shard)? || self.run.is_dead(shard)? {
                self.server.acknowledge(&message, AckKind::Ack)?;
                continue;
            }
            let delivered = server::deliveries(&message)?;
            let book = queue.book(&self.server, shard)?;
            if book.tries(delivered - 1) >= TRIES {
                self.bury(queue, shard, &book, delivered - 1, &message)?;
                continue;
            }
            queue.note_lease(&self.server, shard, &self.worker, delivered)?;
            self.messages().insert(shard, message);
            return Ok(Some(Lease { shard, generation: delivered }));
        }
        Ok(None)
    }

    /// Gives up a shard.
    fn bury(
        &self,
        queue: &Queue,
        shard: u64,
        book: &Book,
        delivered: u64,
        message: &Message,
    ) -> Result<(), Failure> {
        let mut tries = book.reasons.clone();
        let silent = book.tries(delivered).saturating_sub(tries.len());
        tries.extend(std::iter::repeat_n("a worker ended without a word".to_string(), silent));
        let dead = Dead::new(shard, tries);
        dead.keep(&self.run)?;
        queue.publish_dead(&self.server, &dead)?;
        self.server.acknowledge(message, AckKind::Ack)?;
        queue.forget(&self.server, shard)
    }
}

impl Engine for NatsEngine {
    fn claim(&self) -> Result<Claim, Failure> {
        self.with(|queue| {
            if let Some(lease) = self.next(queue)? {
                return Ok(Claim::Shard(lease));
            }
            if self.run.open_shards()?.is_empty() {
                queue.clear(&self.server)?;
                self.run.sweep()?;
                return Ok(Claim::Finished);
            }
            if queue.messages(&self.server)? == 0 {
                // Perhaps a shard that was given up has new tries, or the server has lost some.
                queue.fill(&self.server, &self.run)?;
                return Ok(Claim::Later(Duration::ZERO));
            }
            queue.revive(&self.server)?;
            Ok(Claim::Later(AGAIN.min(self.beat())))
        })
    }

    fn keep(&self, lease: &Lease) -> Result<bool, Failure> {
        let Some(message) = self.message(lease) else { return Ok(false) };
        let queue = self.queue()?;
        if queue.lease(&self.server, lease.shard)?.is_some_and(|newest| newest != lease.generation)
        {
            return Ok(false);
        }
        self.server.tell(&message, AckKind::Progress)?;
        queue.note_worker(&self.server, &self.worker, lease.shard)?;
        Ok(true)
    }

    fn done(&self, lease: &Lease) -> Result<(), Failure> {
        if let Some(message) = self.message(lease) {
            self.server.acknowledge(&message, AckKind::Ack)?;
            self.messages().remove(&lease.shard);
        }
        self.with(|queue| queue.forget(&self.server, lease.shard))
    }

    fn hand_back(&self, lease: &Lease) -> Result<(), Failure> {
        let Some(message) = self.message(lease) else { return Ok(()) };
        self.with(|queue| {
            let mut book = queue.book(&self.server, lease.shard)?;
            book.returned += 1;
            queue.note_book(&self.server, lease.shard, &book)
        })?;
        self.server.tell(&message, AckKind::Nak(None))?;
        self.messages().remove(&lease.shard);
        Ok(())
    }

    fn fail(&self, lease: &Lease, reason: &str) -> Result<bool, Failure> {
        let Some(message) = self.message(lease) else { return Ok(false) };
        let is_dead = self.with(|queue| {
            let mut book = queue.book(&self.server, lease.shard)?;
            book.reasons.push(format!("{}: {reason}", self.worker));
            if book.tries(lease.generation) >= TRIES {
                self.bury(queue, lease.shard, &book, lease.generation, &message)?;
                return Ok(true);
            }
            queue.note_book(&self.server, lease.shard, &book)?;
            self.server.tell(&message, AckKind::Nak(None))?;
            Ok(false)
        })?;
        self.messages().remove(&lease.shard);
        Ok(is_dead)
    }

    fn beat(&self) -> Duration {
        let queue = self.queue.lock().unwrap_or_else(PoisonError::into_inner);
        queue.as_ref().map_or(self.time, |queue| queue.time) / BEATS
    }

    fn held(&self) -> Result<Vec<Held>, Failure> {
        self.with(|queue| queue.workers(&self.server))
    }
}
