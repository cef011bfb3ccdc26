//! Where a run is kept: a folder, or with the features `bulk-s3`, `bulk-gs` and `bulk-az` a bucket.
//!
//! ```text
//! plan.json                what the run is
//! prompts/NAME             its file of prompts, if it has one
//! shards/000000.tar        a shard
//! shards/000000.json       its manifest, written last: with it the shard is done
//! dead/000000.json         why a shard was given up
//! leases/                  who works on what, where the run is its own engine
//! ```
//!
//! An object is there as a whole or not at all, and what was created is never replaced: of two workers
//! that make the same shard one creates it, and the other finds that it is there and the same.

#[cfg(feature = "buckets")]
mod bucket;
mod failure;
mod open;
mod sweep;
mod wait;

use std::fmt;
use std::io::{self, Read};
use std::path::PathBuf;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::StreamExt;
use futures_util::stream::BoxStream;
use hart_core::{Error, Result};
use object_store::path::Path;
use object_store::{GetResultPayload, ObjectStore, ObjectStoreExt, PutMode, PutPayload};

pub use failure::Failure;
use wait::Wait;

/// The largest object that a bucket takes at once, in bytes.
const MOST_BYTES: usize = 5 << 30;
/// Bytes that are sent at a time.
const PART: usize = 1 << 20;

/// A folder or a bucket with a run in it.
pub struct Store {
    objects: Arc<dyn ObjectStore>,
    wait: Wait,
    /// The folder, unless it is a bucket.
    folder: Option<PathBuf>,
    /// What errors call it: never with a password.
    name: String,
}

/// An object in a listing.
#[derive(Debug, Clone)]
pub(super) struct Entry {
    /// Its name without the folder that was listed.
    pub(super) name: String,
    pub(super) bytes: u64,
    /// When it was written by the clock of the store, in seconds.
    pub(super) written: f64,
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Store({})", self.name)
    }
}

impl fmt::Display for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.name)
    }
}

impl Store {
    /// The folder that it is; `None` for a bucket.
    pub fn folder(&self) -> Option<&std::path::Path> {
        self.folder.as_deref()
    }

    /// What errors call an object.
    pub(super) fn path(&self, name: &str) -> String {
        match &self.folder {
            Some(folder) => folder.join(name).display().to_string(),
            None => format!("{}/{name}", self.name),
        }
    }

    fn failure(&self, name: &str, error: object_store::Error) -> Failure {
        Failure::of(self.path(name), error, self.folder.is_none())
    }

    /// The content of an object; `None` if it is not there.
    pub(super) fn read(&self, name: &str) -> Result<Option<Bytes>, Failure> {
        let path = Path::from(name);
        let content = self.wait.until(async { self.objects.get(&path).await?.bytes().await });
        match content {
            Ok(content) => Ok(Some(content)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure(name, error)),
        }
    }

    /// A reader of an object, for one that may be large; `None` if it is not there.
    pub(super) fn reader(&self, name: &str) -> Result<Option<Box<dyn Read + '_>>, Failure> {
        let path = Path::from(name);
        match self.wait.until(self.objects.get(&path)) {
            Ok(result) => Ok(Some(match result.payload {
                GetResultPayload::File(file, _) => {
                    Box::new(io::BufReader::with_capacity(PART, file))
                }
                GetResultPayload::Stream(parts) => {
                    Box::new(Reader { wait: &self.wait, parts, part: Bytes::new() })
                }
            })),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure(name, error)),
        }
    }

    /// Whether an object is there, and how many bytes it has.
    pub(super) fn size(&self, name: &str) -> Result<Option<u64>, Failure> {
        match self.wait.until(self.objects.head(&Path::from(name))) {
            Ok(found) => Ok(Some(found.size)),
            Err(object_store::Error::NotFound { .. }) => Ok(None),
            Err(error) => Err(self.failure(name, error)),
        }
    }

    /// Creates an object as a whole, and tells whether it did: not if it is there already, whatever
    /// it holds.
    pub(super) fn create(&self, name: &str, content: Bytes) -> Result<bool, Failure> {
        match self.put(name, content, PutMode::Create) {
            Ok(()) => Ok(true),
            Err(
                object_store::Error::AlreadyExists { .. }
                | object_store::Error::Precondition { .. },
            ) => Ok(false),
            Err(error) => Err(self.failure(name, error)),
        }
    }

    /// Writes what may be written anew, such as an index.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Store`]; what was there is as it was then.
    pub fn replace(&self, name: &str, content: impl Into<Bytes>) -> Result<()> {
        let put = self.put(name, content.into(), PutMode::Overwrite);
        put.map_err(|error| self.failure(name, error).into())
    }

    fn put(&self, name: &str, content: Bytes, mode: PutMode) -> object_store::Result<()> {
        if content.len() > MOST_BYTES {
            let source = format!(
                "{} bytes, and at most {MOST_BYTES} are taken: choose a smaller `shard_size`",
                content.len()
            );
            return Err(object_store::Error::NotSupported { source: source.into() });
        }
        let parts = (0..content.len()).step_by(PART);
        let payload: PutPayload =
            parts.map(|at| content.slice(at..content.len().min(at + PART))).collect();
        let path = Path::from(name);
        self.wait.until(self.objects.put_opts(&path, payload, mode.into())).map(drop)
    }

    /// The objects right in a folder, in no order.
    pub(super) fn list(&self, folder: &str) -> Result<Vec<Entry>, Failure> {
        let path = Path::from(folder);
        let mut entries = vec![];
        let listed = self.wait.until(async {
            let mut found = self.objects.list(Some(&path));
            while let Some(object) = found.next().await {
                let object = object?;
                let inside = object
                    .location
                    .prefix_match(&path)
                    .map(|parts| parts.map(|part| part.as_ref().to_string()).collect::<Vec<_>>());
                if let Some([name]) = inside.as_deref() {
                    entries.push(Entry {
                        name: name.clone(),
                        bytes: object.size,
                        written: object.last_modified.timestamp_micros() as f64 / 1e6,
                    });
                }
            }
            Ok(())
        });
        listed.map_err(|error| self.failure(folder, error))?;
        Ok(entries)
    }
}

/// Reads an object as its parts come.
struct Reader<'a> {
    wait: &'a Wait,
    parts: BoxStream<'static, object_store::Result<Bytes>>,
    part: Bytes,
}

impl Read for Reader<'_> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        while self.part.is_empty() {
            match self.wait.until(self.parts.next()) {
                Some(part) => self.part = part.map_err(io::Error::other)?,
                None => return Ok(0),
            }
        }
        let count = into.len().min(self.part.len());
        into[..count].copy_from_slice(&self.part.split_to(count));
        Ok(count)
    }
}

/// The error of an object that is needed and not there.
pub(super) fn missing(store: &Store, name: &str, hint: &str) -> Error {
    Error::store(store.path(name), format!("it is not there; {hint}"))
}
