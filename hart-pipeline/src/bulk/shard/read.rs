//! Reading shards back.

use std::io::{self, Read};

use hart_core::{Error, Result};
use sha2::{Digest, Sha256};

use super::manifest::{FileHash, Manifest};
use crate::bulk::run::Run;
use crate::bulk::store::Failure;
use crate::hash::Hash;

/// The largest file in a tar, in bytes: larger than any picture.
const MOST_BYTES: u64 = 1 << 30;

/// A file of a tar.
pub(in crate::bulk) struct Member {
    pub(in crate::bulk) name: String,
    pub(in crate::bulk) content: Vec<u8>,
}

/// The manifest of a shard; `None` if it is not there.
///
/// # Errors
/// [`Error::Malformed`] when it is not one of this shard and of this version.
pub(in crate::bulk) fn read_manifest(run: &Run, shard: u64) -> Result<Option<Manifest>, Failure> {
    let name = run.manifest_name(shard);
    let Some(json) = run.store().read(&name)? else { return Ok(None) };
    let broken =
        |problem: String| Failure::Final(Error::malformed(run.store().path(&name), problem));
    let manifest: Manifest = serde_json::from_slice(&json)
        .map_err(|error| broken(format!("not a manifest: {error}")))?;
    if manifest.version != Manifest::VERSION {
        let expected = Manifest::VERSION;
        return Err(broken(format!("its version is {}, expected {expected}", manifest.version)));
    }
    Ok(Some(manifest))
}

/// Reads the tar of a shard and gives `each` its files; gives what the tar is known by, and `None` if it
/// is not there.
///
/// # Errors
/// [`Error::Malformed`] when it is damaged, and those of `each`.
pub(in crate::bulk) fn read_tar(
    run: &Run,
    shard: u64,
    mut each: impl FnMut(Member) -> Result<()>,
) -> Result<Option<FileHash>, Failure> {
    let name = run.tar_name(shard);
    let Some(reader) = run.store().reader(&name)? else { return Ok(None) };
    let broken = |error: io::Error| {
        Failure::from(Error::malformed(run.store().path(&name), format!("a damaged tar: {error}")))
    };
    let mut archive = tar::Archive::new(Hashed { reader, hash: Sha256::new(), bytes: 0 });
    for entry in archive.entries().map_err(broken)? {
        let mut entry = entry.map_err(broken)?;
        let size = entry.size();
        if !entry.header().entry_type().is_file() || size > MOST_BYTES {
            return Err(broken(io::Error::other("something that is not a file of a picture")));
        }
        let name = String::from_utf8_lossy(&entry.path_bytes()).into_owned();
        let mut content = vec![];
        entry.read_to_end(&mut content).map_err(broken)?;
        if content.len() as u64 != size {
            return Err(broken(io::Error::other(format!("`{name}` ends too early"))));
        }
        each(Member { name, content })?;
    }
    // Behind the last file are zeros, which are hashed as well.
    let mut hashed = archive.into_inner();
    io::copy(&mut hashed, &mut io::sink()).map_err(broken)?;
    let sha256 = Hash::from(hashed.hash).to_string();
    Ok(Some(FileHash { name, bytes: hashed.bytes, sha256 }))
}

/// Hashes what is read.
struct Hashed<R> {
    reader: R,
    hash: Sha256,
    bytes: u64,
}

impl<R: Read> Read for Hashed<R> {
    fn read(&mut self, into: &mut [u8]) -> io::Result<usize> {
        let count = self.reader.read(into)?;
        self.hash.update(&into[..count]);
        self.bytes += count as u64;
        Ok(count)
    }
}
