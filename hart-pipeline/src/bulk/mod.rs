//! Pictures by the million: sets of pictures with labels, made by as many machines as there are
//! (feature `bulk`).
//!
//! ```
//! # #[cfg(all(feature = "flex", feature = "embedded"))] {
//! use std::time::Duration;
//!
//! use hart_pipeline::HartPipeline;
//! use hart_pipeline::bulk::{LeaseEngine, Model, Plan, Recipe, Run, Store, Worker, verify};
//!
//! # let folder = tempfile::tempdir().unwrap();
//! # let folder = folder.path().to_str().unwrap();
//! let recipe = Recipe::from_toml(r#"
//!     pictures = 4
//!     shard_size = 2
//!     template = "a {colour} {shape} on a white background"
//!     [lists]
//!     colour = ["red", "blue"]
//!     shape = ["circle", "square"]
//! "#)?;
//! let model = Model::open(HartPipeline::builder().embedded(), "flex")?;
//! let plan = Plan::new(&recipe, model.fingerprint(recipe.request())?);
//! let run = Run::create(Store::open(folder)?, recipe, plan)?;
//!
//! // As many workers as there are machines, processes or threads do this, in the same folder.
//! let engine = LeaseEngine::join(run.clone(), None, "worker", Duration::from_secs(60))?;
//! let summary = Worker::new(run.clone(), &model)?.work(&engine, &mut ())?;
//! assert_eq!((summary.shards, summary.made), (2, 4));
//! assert!(verify(&run, None, &mut ())?.findings.is_empty());
//! # }
//! # Ok::<(), hart_pipeline::Error>(())
//! ```
//!
//! | part | what |
//! |---|---|
//! | [`Recipe`] | what is drawn: a grammar of prompts with weights, exclusions and labels, or a file of prompts |
//! | [`Coverage`] | how often each label comes, and each pair of labels |
//! | [`Plan`], [`Run`] | a recipe as numbered shards, written once into a [`Store`] |
//! | [`Store`] | a folder, or with the features `bulk-s3`, `bulk-gs` and `bulk-az` a bucket |
//! | [`Sample`], [`Manifest`] | a shard: pictures and what is known of them in a WebDataset tar, with hashes |
//! | [`engine`] | who makes which shard |
//! | [`Worker`] | claims shards, makes them, puts them in their place |
//! | [`Status`] | how far a run is |
//! | [`fn@verify`] | whether everything is there and as it should be |
//! | [`write_index`] | a Parquet table of all samples |
//!
//! # What is promised
//! - Picture `i` of a run has the same bytes whichever worker, batch, order or number of machines made
//!   it. Its prompt, labels and seed are functions of the recipe, the run's seed and `i`; a worker whose
//!   weights, program or arithmetic are not those of the plan is refused.
//! - A shard is in its place as a whole or not at all, and is never replaced. Made twice it is the same
//!   file, so to do work twice is harmless, and none is lost: a worker may be killed at any moment, and
//!   its shard is made by another one.
//! - A prompt that is refused costs one picture, and is recorded. A shard that cannot be made is given up
//!   after some tries with its reasons, and holds up no other. A full disk, or a server that is away,
//!   is waited for.
//! - Memory does not grow with the number of pictures, nor the time for a shard with that of shards.

mod coverage;
mod dead;
pub mod engine;
mod fingerprint;
mod index;
mod observer;
mod plan;
pub mod recipe;
mod run;
mod shard;
mod status;
mod store;
mod verify;
mod work;

pub use coverage::{Coverage, LabelCount, PairCount};
pub use dead::Dead;
pub use engine::{Assigned, Engine, LeaseEngine};
pub use fingerprint::{Fingerprint, Model};
pub use index::{INDEX, IndexSummary, write_index};
pub use observer::{BulkEvent, BulkObserver};
pub use plan::{Plan, PromptsCopy};
pub use recipe::{Labels, Picture, Recipe};
pub use run::Run;
pub use shard::{FileHash, Manifest, Outcome, Sample};
pub use status::Status;
pub use store::{Failure, Store};
pub use verify::{Again, Finding, Verification, verify};
pub use work::{WorkSummary, Worker};
