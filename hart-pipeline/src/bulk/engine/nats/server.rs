//! A connection to a server, and waiting for its answers.

use std::fmt::Display;
use std::future::Future;
use std::time::Duration;

use async_nats::ConnectOptions;
use async_nats::jetstream::{self, AckKind, Context, Message};
use hart_core::{Error, Result};
use tokio::runtime::{Builder, Runtime};

use crate::bulk::store::Failure;

/// How long an answer is waited for.
const ANSWER: Duration = Duration::from_secs(5);

/// A server, which may be away for a while.
pub(super) struct Server {
    /// Has a thread of its own, which keeps the connection while a worker computes.
    runtime: Runtime,
    pub(super) context: Context,
    /// Its address without credentials.
    name: String,
}

impl Server {
    /// Connects to a server that is there.
    pub(super) fn connect(address: &str) -> Result<Self> {
        let name = without_credentials(address);
        let mut builder = Builder::new_multi_thread();
        let runtime = builder.worker_threads(1).enable_all().build();
        let what = || "wait for a server".to_string();
        let runtime = runtime.map_err(|source| Error::System { what: what(), source })?;
        let options = ConnectOptions::new()
            .name("hart bulk worker")
            .connection_timeout(ANSWER)
            .request_timeout(Some(ANSWER))
            .max_reconnects(None);
        let client = runtime.block_on(options.connect(address)).map_err(|error| {
            let reason = error.to_string().replace(address, &name);
            Error::store(&name, format!("cannot connect to this server: {reason}"))
        })?;
        // It starts a task of its own.
        let mut context = runtime.block_on(async { jetstream::new(client) });
        context.set_timeout(ANSWER);
        Ok(Self { runtime, context, name })
    }

    /// Waits for an answer.
    pub(super) fn ask<T, E: Display>(
        &self,
        answer: impl Future<Output = Result<T, E>>,
    ) -> Result<T, Failure> {
        let answer =
            self.runtime.block_on(async { tokio::time::timeout(2 * ANSWER, answer).await });
        match answer {
            Ok(Ok(answer)) => Ok(answer),
            Ok(Err(error)) => Err(self.away(error)),
            Err(_) => Err(self.away("no answer")),
        }
    }

    /// Says something about a message, and waits until the server has heard it.
    pub(super) fn acknowledge(&self, message: &Message, kind: AckKind) -> Result<(), Failure> {
        self.ask(message.double_ack_with(kind))
    }

    /// Says something about a message.
    pub(super) fn tell(&self, message: &Message, kind: AckKind) -> Result<(), Failure> {
        self.ask(message.ack_with(kind))
    }

    fn away(&self, why: impl Display) -> Failure {
        Failure::Passing { what: self.name.clone(), why: why.to_string() }
    }
}

/// How often a message was delivered, this time included.
pub(super) fn deliveries(message: &Message) -> Result<u64, Failure> {
    let broken = |problem: String| Failure::Final(Error::store("a message of the server", problem));
    let info = message.info().map_err(|error| broken(error.to_string()))?;
    u64::try_from(info.delivered)
        .ok()
        .filter(|delivered| *delivered > 0)
        .ok_or_else(|| broken(format!("delivered {} times", info.delivered)))
}

/// An address without what comes before an `@`.
fn without_credentials(address: &str) -> String {
    match (address.split_once("://"), address.rsplit_once('@')) {
        (Some((scheme, _)), Some((_, host))) => format!("{scheme}://{host}"),
        (None, Some((_, host))) => host.to_string(),
        _ => address.to_string(),
    }
}

#[cfg(test)]
mod tests {
    use super::without_credentials;

    #[test]
    fn an_address_is_shown_without_its_password() {
        for address in ["nats://me:p@ss@host:4222", "me:p@ss@host:4222", "tls://token@host:4222"] {
            let shown = without_credentials(address);
            assert!(shown.ends_with("host:4222") && !shown.contains('@'), "{shown}");
        }
        assert_eq!(without_credentials("nats://host"), "nats://host");
    }
}
