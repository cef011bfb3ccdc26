//! A state to continue from: files, and what tells whether they are whole.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};

use hart_core::{Error, Result, write_atomically};
use serde::{Deserialize, Serialize};

use crate::hash::Hash;

/// The file with the lengths and hashes of all others.
const CHECKSUMS: &str = "checksums.json";

/// A state to continue from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    pub(super) step: u64,
    pub(super) path: PathBuf,
}

/// What is known of a file.
#[derive(Debug, PartialEq, Serialize, Deserialize)]
struct Checksum {
    bytes: usize,
    sha256: String,
}

impl Snapshot {
    /// Steps that were done.
    pub fn step(&self) -> u64 {
        self.step
    }

    /// One of its files.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be read.
    pub fn read(&self, name: &str) -> Result<Vec<u8>> {
        let path = self.path.join(name);
        fs::read(&path).map_err(|error| Error::io(&path, error))
    }

    /// Checks that every file is as it was written. Whether that is known: snapshots of older
    /// versions have no checksums.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`], naming the first file that is not.
    pub(super) fn check(&self) -> Result<bool> {
        let path = self.path.join(CHECKSUMS);
        if !path.exists() {
            return Ok(false);
        }
        let known: BTreeMap<String, Checksum> = serde_json::from_slice(&self.read(CHECKSUMS)?)
            .map_err(|error| Error::malformed(&path, error))?;
        for (name, known) in known {
            let found = Checksum::of(&self.read(&name)?);
            if found.bytes != known.bytes {
                let problem = format!("{} bytes, expected {}", found.bytes, known.bytes);
                return Err(Error::malformed(self.path.join(name), problem));
            }
            if found != known {
                let problem = "its bytes are not those that were written";
                return Err(Error::malformed(self.path.join(name), problem));
            }
        }
        Ok(true)
    }

    /// What is wrong with this snapshot, when an error is about one of its files.
    pub(super) fn damage(&self, error: &Error) -> Option<String> {
        let (path, problem) = match error {
            Error::Io { path, source } => (path, source.to_string()),
            Error::Malformed { path, problem } => (path, problem.clone()),
            _ => return None,
        };
        // Files that were read are known by their names alone.
        let is_own = path.starts_with(&self.path) || self.path.join(path).is_file();
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        is_own.then(|| format!("{name}: {problem}"))
    }
}

impl Checksum {
    fn of(bytes: &[u8]) -> Self {
        Self { bytes: bytes.len(), sha256: Hash::of(bytes).to_string() }
    }
}

/// Writes the files of a snapshot, with their names, into a folder.
pub(super) fn write(folder: &Path, files: &[(String, Vec<u8>)]) -> Result<()> {
    for (name, bytes) in files {
        write_atomically(folder.join(name), bytes)?;
    }
    let sums: BTreeMap<&str, Checksum> =
        files.iter().map(|(name, bytes)| (name.as_str(), Checksum::of(bytes))).collect();
    let sums = serde_json::to_vec_pretty(&sums);
    let sums = sums.map_err(|error| Error::malformed(folder.join(CHECKSUMS), error))?;
    write_atomically(folder.join(CHECKSUMS), &sums)
}
