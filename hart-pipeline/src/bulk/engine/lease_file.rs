//! Lease files: who works on a shard, and whether it still does.

use std::fs::{self, OpenOptions};
use std::io::{ErrorKind, Write};
use std::path::{Path, PathBuf};

use serde::{Deserialize, Serialize};

use crate::bulk::store::Failure;

/// The content of a lease file.
#[derive(Debug, Clone, PartialEq, Eq, Serialize, Deserialize)]
pub(super) struct LeaseFile {
    pub(super) worker: String,
    /// Grows as long as the worker lives. Nobody compares clocks: whoever watches a lease sees by its
    /// own clock how long this stays the same.
    pub(super) beat: u64,
    pub(super) state: State,
    /// Why the worker failed, if it did.
    #[serde(default, skip_serializing_if = "Option::is_none")]
    pub(super) reason: Option<String>,
}

/// How a lease stands.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub(super) enum State {
    /// Its worker has it, or is dead.
    Held,
    /// Its worker gave it back.
    Returned,
    /// Its worker could not make the shard.
    Failed,
}

/// The lease files of a run. Those of a shard are numbered: who takes a shard over creates the next
/// one, which one process alone can, and leaves the earlier ones as they are.
#[derive(Debug)]
pub(super) struct LeaseFolder(PathBuf);

/// A lease file as it was read.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) generation: u64,
    /// Its bytes, which may be those of a file that is just being written.
    pub(super) content: Vec<u8>,
}

impl Found {
    /// What it says; a file that says nothing yet is held by somebody.
    pub(super) fn lease(&self) -> LeaseFile {
        serde_json::from_slice(&self.content).unwrap_or(LeaseFile {
            worker: "unknown".to_string(),
            beat: 0,
            state: State::Held,
            reason: None,
        })
    }
}

impl LeaseFolder {
    /// The folder, which is made if it is not there.
    pub(super) fn open(folder: PathBuf) -> Result<Self, Failure> {
        fs::create_dir_all(&folder).map_err(|error| Failure::of_file(folder.display(), error))?;
        Ok(Self(folder))
    }

    /// The folder, which need not be there.
    pub(super) fn at(folder: PathBuf) -> Self {
        Self(folder)
    }

    fn path(&self, shard: &str, generation: u64) -> PathBuf {
        self.0.join(format!("{shard}.{generation}"))
    }

    /// All lease files of a shard, the newest one last.
    pub(super) fn read(&self, shard: &str) -> Result<Vec<Found>, Failure> {
        let mut found = vec![];
        for generation in 1.. {
            let path = self.path(shard, generation);
            match fs::read(&path) {
                Ok(content) => found.push(Found { generation, content }),
                Err(error) if error.kind() == ErrorKind::NotFound => break,
                Err(error) => return Err(Failure::of_file(path.display(), error)),
            }
        }
        Ok(found)
    }

    /// Creates a lease file. `false` when another process has.
    pub(super) fn create(
        &self,
        shard: &str,
        generation: u64,
        lease: &LeaseFile,
    ) -> Result<bool, Failure> {
        let path = self.path(shard, generation);
        let at = |error| Failure::of_file(path.display(), error);
        let mut file = match OpenOptions::new().write(true).create_new(true).open(&path) {
            Ok(file) => file,
            Err(error) if error.kind() == ErrorKind::AlreadyExists => return Ok(false),
            Err(error) if error.kind() == ErrorKind::NotFound => {
                // Who found the run finished has removed the folder.
                fs::create_dir_all(&self.0).map_err(at)?;
                return Ok(false);
            }
            Err(error) => return Err(at(error)),
        };
        let written = file.write_all(&lease.to_bytes()).map_err(at);
        if written.is_err() {
            // A lease that nobody keeps would be waited for.
            let _ = fs::remove_file(&path);
        }
        written.map(|()| true)
    }

    /// Writes a lease file anew. `false` when it is gone or another process has created the next one.
    pub(super) fn write(
        &self,
        shard: &str,
        generation: u64,
        lease: &LeaseFile,
    ) -> Result<bool, Failure> {
        if self.path(shard, generation + 1).exists() {
            return Ok(false);
        }
        let path = self.path(shard, generation);
        // In place: a temporary file could be left by a kill. What is written never gets shorter.
        let written = OpenOptions::new().write(true).open(&path);
        match written.and_then(|mut file| file.write_all(&lease.to_bytes())) {
            Ok(()) => Ok(true),
            Err(error) if error.kind() == ErrorKind::NotFound => Ok(false),
            Err(error) => Err(Failure::of_file(path.display(), error)),
        }
    }

    /// Removes the lease files of a shard that is settled.
    pub(super) fn remove(&self, shard: &str) -> Result<(), Failure> {
        for found in self.read(shard)? {
            remove(&self.path(shard, found.generation))?;
        }
        Ok(())
    }

    /// The names of the shards that have lease files.
    pub(super) fn shards(&self) -> Result<Vec<String>, Failure> {
        let entries = match fs::read_dir(&self.0) {
            Ok(entries) => entries,
            Err(error) if error.kind() == ErrorKind::NotFound => return Ok(vec![]),
            Err(error) => return Err(Failure::of_file(self.0.display(), error)),
        };
        let names = entries.flatten().filter_map(|entry| {
            let name = entry.file_name().into_string().ok()?;
            let (shard, generation) = name.rsplit_once('.')?;
            generation.parse::<u64>().ok().map(|_| shard.to_string())
        });
        let mut names: Vec<String> = names.collect();
        names.sort();
        names.dedup();
        Ok(names)
    }

    /// Removes every file of a shard, also behind one that is missing, and then the folder if it is
    /// empty.
    pub(super) fn sweep(
        &self,
        is_settled: impl Fn(&str) -> Result<bool, Failure>,
    ) -> Result<(), Failure> {
        for shard in self.shards()? {
            if !is_settled(&shard)? {
                continue;
            }
            for entry in fs::read_dir(&self.0).into_iter().flatten().flatten() {
                let name = entry.file_name().to_string_lossy().into_owned();
                if name.rsplit_once('.').is_some_and(|(one, _)| one == shard) {
                    remove(&entry.path())?;
                }
            }
        }
        let _ = fs::remove_dir(&self.0);
        Ok(())
    }
}

fn remove(path: &Path) -> Result<(), Failure> {
    match fs::remove_file(path) {
        Err(error) if error.kind() != ErrorKind::NotFound => {
            Err(Failure::of_file(path.display(), error))
        }
        _ => Ok(()),
    }
}

impl LeaseFile {
    fn to_bytes(&self) -> Vec<u8> {
        // Plain values: this does not fail.
        serde_json::to_vec(self).unwrap_or_default()
    }
}
