//! Waiting for what a store does.

use std::future::Future;

#[cfg(feature = "buckets")]
use hart_core::{Error, Result};
#[cfg(feature = "buckets")]
use tokio::runtime::{Builder, Runtime};

/// What a store's work is waited for on.
pub(super) enum Wait {
    /// The thread that asks does the work itself: right for files, which a runtime would hand to a thread
    /// of its own, several times a shard, for longer than the work takes.
    Here,
    /// A runtime, without threads of its own: what talks to a server needs one.
    #[cfg(feature = "buckets")]
    Runtime(Runtime),
}

impl Wait {
    /// For what talks to a server.
    #[cfg(feature = "buckets")]
    pub(super) fn for_server() -> Result<Self> {
        let runtime = Builder::new_current_thread().enable_all().build();
        let runtime = runtime
            .map_err(|source| Error::System { what: "wait for a server".to_string(), source })?;
        Ok(Self::Runtime(runtime))
    }

    /// Waits until some work is done.
    pub(super) fn until<F: Future>(&self, work: F) -> F::Output {
        match self {
            Self::Here => pollster::block_on(work),
            #[cfg(feature = "buckets")]
            Self::Runtime(runtime) => runtime.block_on(work),
        }
    }
}
