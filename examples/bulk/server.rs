//! The server that shares a run out, if there is one.

use std::time::Duration;

use anyhow::Context;
use clap::Args;
use hart_pipeline::bulk::engine::Held;
use hart_pipeline::bulk::{Engine, Run};

/// The variable that has the address where `--nats` has none.
const VARIABLE: &str = "NATS_URL";
/// What a look at a server passes for: it sets no lease.
const LOOK: Duration = Duration::from_secs(60);

/// Which server shares the run out.
#[derive(Args)]
pub(crate) struct ServerArguments {
    /// Let this NATS server with JetStream share the run out, such as nats://HOST:4222. Without an address
    /// the variable NATS_URL has it, for one with a password.
    #[arg(long, value_name = "URL", num_args = 0..=1, default_missing_value = "")]
    nats: Option<String>,
}

impl ServerArguments {
    /// The engine of the server, if one was named.
    pub(crate) fn join(
        &self,
        run: &Run,
        worker: String,
        lease: Duration,
    ) -> anyhow::Result<Option<Box<dyn Engine>>> {
        let Some(address) = &self.nats else { return Ok(None) };
        let address = match address.as_str() {
            "" => std::env::var(VARIABLE)
                .with_context(|| format!("`--nats` has no address, and {VARIABLE} is not set"))?,
            address => address.to_string(),
        };
        engine(run, &address, worker, lease).map(Some)
    }

    /// Who works on what, as the server says; `None` without one.
    pub(crate) fn held(&self, run: &Run) -> anyhow::Result<Option<Vec<Held>>> {
        let Some(engine) = self.join(run, "status".to_string(), LOOK)? else { return Ok(None) };
        engine.held().map(Some).map_err(|failure| hart_core::Error::from(failure).into())
    }
}

#[cfg(feature = "nats")]
fn engine(
    run: &Run,
    address: &str,
    worker: String,
    lease: Duration,
) -> anyhow::Result<Box<dyn Engine>> {
    use hart_pipeline::bulk::engine::NatsEngine;
    Ok(Box::new(NatsEngine::join(run.clone(), address, worker, lease)?))
}

#[cfg(not(feature = "nats"))]
fn engine(_: &Run, _: &str, _: String, _: Duration) -> anyhow::Result<Box<dyn Engine>> {
    anyhow::bail!("this program was built without the feature `nats`")
}
