//! One process at a time in a run's folder, and what killed ones have left there.

use std::fs::{self, File, TryLockError};
use std::io::ErrorKind;
use std::path::Path;

use hart_core::{Error, Result};

/// The file that is locked. It stays, empty: the lock ends with its process, however that ends.
const FILE: &str = ".lock";
/// How snapshots are called while they are written or removed.
pub(super) const UNFINISHED: &str = "unfinished-";
/// Where a run writes files, all through temporary ones beside them.
const PLACES: [&str; 8] =
    ["", "snapshots", "images", "tokenizer", "model/llm", "model/text", "model/tokenizer", "model"];

/// Locks a folder for this process, as long as the file is open.
///
/// # Errors
/// [`Error::Busy`] when another has locked it, [`Error::Io`] when the file cannot be made.
pub(super) fn lock(folder: &Path) -> Result<File> {
    let path = folder.join(FILE);
    let file = File::options().create(true).truncate(false).write(true).open(&path);
    let file = file.map_err(|error| Error::io(&path, error))?;
    match file.try_lock() {
        Ok(()) => Ok(file),
        Err(TryLockError::WouldBlock) => Err(Error::Busy { path: folder.to_path_buf() }),
        // A file system that knows no locks is used by one process alone, or at one's own risk.
        Err(TryLockError::Error(error)) if error.kind() == ErrorKind::Unsupported => Ok(file),
        Err(TryLockError::Error(error)) => Err(Error::io(&path, error)),
    }
}

/// Removes what processes that were killed have left half written; the folder has to be locked.
///
/// # Errors
/// [`Error::Io`] when it cannot be removed.
pub(super) fn remove_leftovers(folder: &Path) -> Result<()> {
    for place in PLACES {
        let Ok(entries) = fs::read_dir(folder.join(place)) else { continue };
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            let is_file = fs::symlink_metadata(&path).is_ok_and(|about| about.is_file());
            let removed = if place == "snapshots" && name.starts_with(UNFINISHED) {
                if is_file { fs::remove_file(&path) } else { fs::remove_dir_all(&path) }
            } else if is_file && is_temporary(&name) {
                fs::remove_file(&path)
            } else {
                Ok(())
            };
            removed.map_err(|error| Error::io(&path, error))?;
        }
    }
    Ok(())
}

/// Whether a file is called as those are that `write_atomically` renames at the end.
fn is_temporary(name: &str) -> bool {
    let end = name.strip_prefix(".tmp");
    end.is_some_and(|end| end.len() == 6 && end.chars().all(|c| c.is_ascii_alphanumeric()))
}
