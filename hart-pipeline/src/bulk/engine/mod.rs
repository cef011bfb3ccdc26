//! Who makes which shard.
//!
//! | engine | for |
//! |---|---|
//! | [`LeaseEngine`] | any number of workers that see one folder: lease files, no server |
//! | `NatsEngine` | workers that reach one NATS server (feature `nats`) |
//! | [`Assigned`] | workers that are told their shards by something else: an indexed job of Kubernetes, an array of SLURM |
//!
//! An engine may give a shard to two workers, never to none: a shard made twice is the same file.

mod assigned;
mod lease;
mod lease_file;
#[cfg(feature = "nats")]
mod nats;

use std::time::Duration;

pub use assigned::Assigned;
pub use lease::LeaseEngine;
#[cfg(feature = "nats")]
#[cfg_attr(docsrs, doc(cfg(feature = "nats")))]
pub use nats::NatsEngine;

use super::store::Failure;

/// How often a shard is tried before it is given up.
pub const TRIES: usize = 5;

/// Gives shards to workers and takes them back.
pub trait Engine: Send + Sync {
    /// Asks for a shard.
    ///
    /// # Errors
    /// [`Failure::Passing`] when it helps to ask again later.
    fn claim(&self) -> Result<Claim, Failure>;

    /// Says that a shard is still being worked on, at least once in [`Self::beat`]. `false` when it
    /// was given to another worker.
    ///
    /// # Errors
    /// As [`Self::claim`].
    fn keep(&self, lease: &Lease) -> Result<bool, Failure>;

    /// Says that a shard is in its place.
    ///
    /// # Errors
    /// As [`Self::claim`].
    fn done(&self, lease: &Lease) -> Result<(), Failure>;

    /// Gives a shard back that is not done, for another worker to take at once.
    ///
    /// # Errors
    /// As [`Self::claim`].
    fn hand_back(&self, lease: &Lease) -> Result<(), Failure>;

    /// Says that a shard could not be made. Tells whether that was its last try: then it is given up,
    /// and the reason is kept with the run.
    ///
    /// # Errors
    /// As [`Self::claim`].
    fn fail(&self, lease: &Lease, reason: &str) -> Result<bool, Failure>;

    /// How often [`Self::keep`] has to be called.
    fn beat(&self) -> Duration;

    /// Who works on what.
    ///
    /// # Errors
    /// As [`Self::claim`].
    fn held(&self) -> Result<Vec<Held>, Failure>;
}

/// The answer to a worker that asks for a shard.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Claim {
    /// A shard to make.
    Shard(Lease),
    /// Others work on all that is left: ask again after this time, in case one of them ends.
    Later(Duration),
    /// Every shard is done or given up.
    Finished,
}

/// A shard that a worker has.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Lease {
    /// The shard's number.
    pub shard: u64,
    /// What tells this lease from others of the shard: its engine knows.
    pub generation: u64,
}

/// A shard that is being worked on.
#[derive(Debug, Clone, PartialEq, Eq)]
#[non_exhaustive]
pub struct Held {
    /// The shard's number.
    pub shard: u64,
    /// The worker's name.
    pub worker: String,
}
