//! The folder that keeps what was fetched, laid out as Python's `huggingface_hub` does:
//!
//! ```text
//! models--owner--name/
//!     blobs/HASH                       a file's content
//!     blobs/HASH.incomplete            as much of it as has arrived
//!     refs/main                        the commit that a branch or a tag was at
//!     snapshots/COMMIT/llm/config.json a relative symbolic link to its blob
//! .locks/models--owner--name/HASH.lock held by the process that fetches the blob
//! ```

use std::collections::BTreeSet;
use std::fs::{self, File, OpenOptions, TryLockError};
use std::io::{self, ErrorKind};
use std::path::{Path, PathBuf};
use std::time::Duration;

use hart_core::{Error, Result, write_atomically};

use super::name::{HubName, is_commit};

/// How often a lock that another process holds is asked for.
const WAIT: Duration = Duration::from_millis(100);

/// The part of the cache that belongs to one repository.
#[derive(Debug)]
pub(super) struct Cache {
    folder: PathBuf,
    locks: PathBuf,
}

impl Cache {
    pub(super) fn new(root: &Path, name: &HubName) -> Self {
        let own = format!("models--{}", name.repository().replace('/', "--"));
        Self { locks: root.join(".locks").join(&own), folder: root.join(own) }
    }

    pub(super) fn blob(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(hash)
    }

    pub(super) fn partial(&self, hash: &str) -> PathBuf {
        self.folder.join("blobs").join(format!("{hash}.incomplete"))
    }

    pub(super) fn snapshot(&self, commit: &str) -> PathBuf {
        self.folder.join("snapshots").join(commit)
    }

    /// The commit that a revision was at when it was last fetched.
    pub(super) fn commit(&self, revision: &str) -> Option<String> {
        if is_commit(revision) {
            return Some(revision.to_string());
        }
        let commit = fs::read_to_string(self.reference(revision)).ok()?;
        Some(commit.trim().to_string()).filter(|commit| is_commit(commit))
    }

    /// Notes which commit a revision is at.
    pub(super) fn set_commit(&self, revision: &str, commit: &str) -> Result<()> {
        if self.commit(revision).as_deref() == Some(commit) {
            return Ok(());
        }
        let path = self.reference(revision);
        make_folder_of(&path)?;
        write_atomically(path, commit.as_bytes())
    }

    fn reference(&self, revision: &str) -> PathBuf {
        self.folder.join("refs").join(revision)
    }

    /// The files of a commit that are here.
    pub(super) fn listed(&self, commit: &str) -> BTreeSet<String> {
        let mut names = BTreeSet::new();
        list(&self.snapshot(commit), "", &mut names);
        names
    }

    /// Waits until no other process fetches the blob. `wait` is called meanwhile, and may give up.
    /// The lock is held until the file is dropped.
    pub(super) fn lock(&self, hash: &str, mut wait: impl FnMut() -> Result<()>) -> Result<File> {
        let path = self.locks.join(format!("{hash}.lock"));
        make_folder_of(&path)?;
        let open = OpenOptions::new().create(true).truncate(false).write(true).open(&path);
        let file = open.map_err(|error| Error::io(&path, error))?;
        loop {
            match file.try_lock() {
                Ok(()) => return Ok(file),
                Err(TryLockError::WouldBlock) => {
                    wait()?;
                    std::thread::sleep(WAIT);
                }
                // Some network folders have no locks. What two processes mix up has another hash.
                Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => {
                    return Ok(file);
                }
                Err(TryLockError::Error(error)) => return Err(Error::io(&path, error)),
            }
        }
    }

    /// Makes a file of a commit lead to its blob.
    pub(super) fn link(&self, commit: &str, file: &str, hash: &str) -> Result<()> {
        let path = self.snapshot(commit).join(file);
        make_folder_of(&path)?;
        if path.symlink_metadata().is_ok() && !path.exists() {
            fs::remove_file(&path).map_err(|error| Error::io(&path, error))?;
        }
        // From the file's folder through the commit's and `snapshots` to the repository's.
        let up = 2 + file.matches('/').count();
        let target = format!("{}blobs/{hash}", "../".repeat(up));
        match link(&target, &self.blob(hash), &path) {
            Err(error) if error.kind() != ErrorKind::AlreadyExists => Err(Error::io(&path, error)),
            _ => Ok(()),
        }
    }
}

#[cfg(unix)]
fn link(target: &str, _: &Path, path: &Path) -> io::Result<()> {
    std::os::unix::fs::symlink(target, path)
}

/// Without the right to make links the file itself is put there, as Python does.
#[cfg(windows)]
fn link(target: &str, blob: &Path, path: &Path) -> io::Result<()> {
    std::os::windows::fs::symlink_file(target.replace('/', "\\"), path)
        .or_else(|_| fs::rename(blob, path))
}

#[cfg(not(any(unix, windows)))]
fn link(_: &str, blob: &Path, path: &Path) -> io::Result<()> {
    fs::rename(blob, path)
}

pub(super) fn make_folder_of(path: &Path) -> Result<()> {
    let Some(folder) = path.parent() else { return Ok(()) };
    fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))
}

/// Adds the files below a folder, by their paths from where it began. Links that lead nowhere are
/// no files.
fn list(folder: &Path, prefix: &str, names: &mut BTreeSet<String>) {
    let Ok(entries) = fs::read_dir(folder) else { return };
    for entry in entries.flatten() {
        let name = format!("{prefix}{}", entry.file_name().to_string_lossy());
        match fs::metadata(entry.path()) {
            Ok(found) if found.is_dir() => list(&entry.path(), &format!("{name}/"), names),
            Ok(_) => drop(names.insert(name)),
            Err(_) => {}
        }
    }
}
