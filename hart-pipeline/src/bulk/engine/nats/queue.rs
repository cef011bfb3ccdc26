//! The streams and buckets of a run on a server.

use std::time::Duration;

use async_nats::jetstream::consumer::{AckPolicy, PullConsumer, pull};
use async_nats::jetstream::context::PublishErrorKind;
use async_nats::jetstream::message::PublishMessage;
use async_nats::jetstream::stream::{self, DiscardPolicy, RetentionPolicy, Stream};
use async_nats::jetstream::{Message, kv};
use bytes::Bytes;
use futures_util::StreamExt;
use hart_core::Error;

use super::book::Book;
use super::server::Server;
use crate::bulk::dead::Dead;
use crate::bulk::engine::Held;
use crate::bulk::run::Run;
use crate::bulk::store::Failure;

/// The name under which workers take messages together.
const WORKERS: &str = "workers";
/// The key that says that every shard was published.
const FILLED: &str = "filled";
/// Digits of the plan's hash in names.
const DIGITS: usize = 16;
/// Messages that are published before their receipts are waited for.
const TOGETHER: usize = 256;
/// More shards than are worked on at once.
const PENDING: i64 = 1_000_000;
/// Leases that a worker that is silent is still listed for.
const LISTED: u32 = 3;

/// The longest time that a server looks for messages that come twice.
const WINDOW: Duration = Duration::from_secs(120);

/// What a server has of a run.
pub(super) struct Queue {
    id: String,
    stream: Stream,
    consumer: PullConsumer,
    state: kv::Store,
    workers: kv::Store,
    /// The time of a lease, as whoever came first has set it.
    pub(super) time: Duration,
}

impl Queue {
    /// Opens what is there, and makes and fills what is not.
    pub(super) fn open(server: &Server, run: &Run, time: Duration) -> Result<Self, Failure> {
        let id = run.id().get(..DIGITS).unwrap_or_default().to_string();
        let context = &server.context;
        let stream = server.ask(context.get_or_create_stream(stream::Config {
            name: format!("HART-{id}"),
            subjects: vec![format!("hart.{id}.shard.*")],
            retention: RetentionPolicy::WorkQueue,
            ..Default::default()
        }))?;
        server.ask(context.get_or_create_stream(stream::Config {
            name: format!("HART-{id}-DEAD"),
            subjects: vec![format!("hart.{id}.dead.*")],
            ..Default::default()
        }))?;
        let consumer: PullConsumer = server.ask(stream.get_or_create_consumer(
            WORKERS,
            pull::Config {
                durable_name: Some(WORKERS.to_string()),
                ack_policy: AckPolicy::Explicit,
                ack_wait: time,
                max_ack_pending: PENDING,
                ..Default::default()
            },
        ))?;
        let time = consumer.cached_info().config.ack_wait;
        let state = bucket(server, format!("HART-{id}"), Duration::ZERO)?;
        let workers = bucket(server, format!("HART-{id}-WORKERS"), time * LISTED)?;
        let queue = Self { id, stream, consumer, state, workers, time };
        if server.ask(queue.state.get(FILLED))?.is_none() {
            queue.fill(server, run)?;
            server.ask(queue.state.put(FILLED, Bytes::new()))?;
        }
        Ok(queue)
    }

    fn subject(&self, kind: &str, shard: u64) -> String {
        format!("hart.{}.{kind}.{shard}", self.id)
    }

    /// Publishes every shard that is not settled and has no message. Several workers may do so at once.
    pub(super) fn fill(&self, server: &Server, run: &Run) -> Result<(), Failure> {
        for shards in run.open_shards()?.chunks(TOGETHER) {
            server.ask(self.publish_all(server, shards))?;
        }
        Ok(())
    }

    /// Removes every message of a run that is settled: a server that crashed may have kept some that
    /// were acknowledged.
    pub(super) fn clear(&self, server: &Server) -> Result<(), Failure> {
        server.ask(async { self.stream.purge().await.map_err(text) }).map(drop)
    }

    /// Gives out anew what a server that crashed has kept and taken for given out and acknowledged.
    pub(super) fn revive(&self, server: &Server) -> Result<(), Failure> {
        let known = server.ask(self.consumer.get_info())?;
        if known.num_pending == 0 && known.num_ack_pending == 0 && self.messages(server)? > 0 {
            // It is made again when the queue is opened the next time.
            server.ask(self.stream.delete_consumer(WORKERS))?;
        }
        Ok(())
    }

    async fn publish_all(&self, server: &Server, shards: &[u64]) -> Result<(), String> {
        let mut receipts = vec![];
        for &shard in shards {
            // Only where the subject has no message.
            let message = PublishMessage::build().expected_last_subject_sequence(0);
            let sent = server.context.send_publish(self.subject("shard", shard), message).await;
            receipts.push(sent.map_err(|error| error.to_string())?);
        }
        for receipt in receipts {
            match receipt.await {
                Err(error) if error.kind() != PublishErrorKind::WrongLastSequence => {
                    return Err(error.to_string());
                }
                _ => {}
            }
        }
        Ok(())
    }

    /// The next message, if there is one now, with its shard.
    pub(super) fn fetch(
        &self,
        server: &Server,
        run: &Run,
    ) -> Result<Option<(u64, Message)>, Failure> {
        let message = server.ask(async {
            let mut messages =
                self.consumer.fetch().max_messages(1).messages().await.map_err(text)?;
            messages.next().await.transpose().map_err(text)
        })?;
        let Some(message) = message else { return Ok(None) };
        let number = message.subject.rsplit('.').next().and_then(|number| number.parse().ok());
        match number.filter(|shard| *shard < run.plan().shards()) {
            Some(shard) => Ok(Some((shard, message))),
            None => Err(Failure::Final(Error::store(
                message.subject.as_str(),
                "a message that is not of this run: remove its stream from the server",
            ))),
        }
    }

    /// Messages that are not acknowledged: shards that are waiting or being made.
    pub(super) fn messages(&self, server: &Server) -> Result<u64, Failure> {
        Ok(server.ask(self.stream.get_info())?.state.messages)
    }

    /// What became of earlier tries.
    pub(super) fn book(&self, server: &Server, shard: u64) -> Result<Book, Failure> {
        let book = server.ask(self.state.get(format!("book.{shard}")))?;
        Ok(book.and_then(|book| serde_json::from_slice(&book).ok()).unwrap_or_default())
    }

    pub(super) fn note_book(
        &self,
        server: &Server,
        shard: u64,
        book: &Book,
    ) -> Result<(), Failure> {
        let json = serde_json::to_vec(book)
            .map_err(|error| Error::invalid("a reason", error, "values that JSON has"))?;
        server.ask(self.state.put(format!("book.{shard}"), json.into())).map(drop)
    }

    /// Notes which delivery of a shard is the newest.
    pub(super) fn note_lease(
        &self,
        server: &Server,
        shard: u64,
        worker: &str,
        delivered: u64,
    ) -> Result<(), Failure> {
        let value = Bytes::from(delivered.to_string());
        server.ask(self.state.put(format!("lease.{shard}"), value))?;
        self.note_worker(server, worker, shard)
    }

    /// The newest delivery of a shard.
    pub(super) fn lease(&self, server: &Server, shard: u64) -> Result<Option<u64>, Failure> {
        let value = server.ask(self.state.get(format!("lease.{shard}")))?;
        Ok(value.and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok()))
    }

    /// Notes what a worker is doing.
    pub(super) fn note_worker(
        &self,
        server: &Server,
        worker: &str,
        shard: u64,
    ) -> Result<(), Failure> {
        server.ask(self.workers.put(worker, Bytes::from(shard.to_string()))).map(drop)
    }

    /// Forgets a shard that is settled.
    pub(super) fn forget(&self, server: &Server, shard: u64) -> Result<(), Failure> {
        for key in ["lease", "book"] {
            server.ask(self.state.purge(format!("{key}.{shard}")))?;
        }
        Ok(())
    }

    pub(super) fn publish_dead(&self, server: &Server, dead: &Dead) -> Result<(), Failure> {
        let json = serde_json::to_vec(dead)
            .map_err(|error| Error::invalid("a reason", error, "values that JSON has"))?;
        let subject = self.subject("dead", dead.shard);
        server.ask(async {
            server.context.publish(subject, json.into()).await.map_err(text)?.await.map_err(text)
        })?;
        Ok(())
    }

    /// What the workers that live are doing; one that has just finished is still listed.
    pub(super) fn workers(&self, server: &Server) -> Result<Vec<Held>, Failure> {
        let names: Vec<String> = server.ask(async {
            let keys = self.workers.keys().await.map_err(text)?;
            let keys: Vec<Result<String, _>> = keys.collect().await;
            keys.into_iter().collect::<Result<Vec<String>, _>>().map_err(text)
        })?;
        let mut held = vec![];
        for worker in names {
            let value = server.ask(self.workers.get(worker.clone()))?;
            let shard = value.and_then(|value| std::str::from_utf8(&value).ok()?.parse().ok());
            held.extend(shard.map(|shard| Held { shard, worker }));
        }
        held.sort_by_key(|held| held.shard);
        Ok(held)
    }
}

/// A bucket of keys and values; those older than `age` are forgotten, unless it is 0.
fn bucket(server: &Server, name: String, age: Duration) -> Result<kv::Store, Failure> {
    // As `create_key_value` does, which asks servers before 2.10 for what they do not tell.
    server.ask(server.context.get_or_create_stream(stream::Config {
        name: format!("KV_{name}"),
        subjects: vec![format!("$KV.{name}.>")],
        max_messages_per_subject: 1,
        discard: DiscardPolicy::New,
        max_age: age,
        duplicate_window: age.min(WINDOW),
        allow_rollup: true,
        deny_delete: true,
        allow_direct: true,
        ..Default::default()
    }))?;
    server.ask(server.context.get_key_value(name))
}

fn text(error: impl std::fmt::Display) -> String {
    error.to_string()
}
