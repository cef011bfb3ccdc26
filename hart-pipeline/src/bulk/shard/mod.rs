//! A shard: some pictures of a run as a WebDataset tar, with a manifest.
//!
//! The tar has for each picture `KEY.png`, unless it was refused, and `KEY.json`, in the order of their
//! keys. It is a function of the plan and the shard's number: the same bytes whoever makes it.

mod make;
mod manifest;
mod put;
mod read;
mod sample;
mod tar;

pub(super) use make::{MadeShard, Step, make};
pub use manifest::{FileHash, Manifest};
pub(super) use put::{Put, put};
pub(super) use read::{Member, read_manifest, read_tar};
pub use sample::{Outcome, Sample};
