//! Folders that are complete or not there.

use std::fs::{self, File};
use std::path::{Path, PathBuf};

use tempfile::TempDir;

use crate::folder::parent;
use crate::{Error, Result};

/// Letters that tell temporary folders apart, as `tempfile` chooses them.
const LETTERS: usize = 6;

/// A folder that is filled beside its place and renamed to it when it is complete: until then the
/// place is as it was, and a failure leaves nothing behind.
///
/// What a killed process could not remove, the next one does that stages a folder of the same prefix
/// there: a staged folder is locked as long as its process lives.
#[derive(Debug)]
pub struct StagedFolder {
    folder: TempDir,
    place: PathBuf,
    /// The lock ends when the file is closed.
    _lock: Option<File>,
}

impl StagedFolder {
    /// Begins a folder for `place` with a name that begins with `prefix`, such as `.convert-`, and
    /// removes those of dead processes.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder that `place` is in cannot be written.
    pub fn begin(place: impl AsRef<Path>, prefix: &str) -> Result<Self> {
        let place = place.as_ref();
        let beside = parent(place);
        remove_left(beside, prefix);
        loop {
            let folder = temporary(prefix).tempdir_in(beside);
            let folder = folder.map_err(|error| Error::io(place, plain(error)))?;
            let lock = File::open(folder.path()).ok();
            let locked = lock.as_ref().map(File::try_lock);
            // Another process may have taken the folder for one that was left, before it was locked.
            let lost = matches!(locked, Some(Err(fs::TryLockError::WouldBlock)));
            if !lost && folder.path().exists() {
                return Ok(Self { folder, place: place.to_path_buf(), _lock: lock });
            }
        }
    }

    /// Where it is being filled.
    pub fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Puts the folder in its place, which must be free.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be renamed; nothing is left of it then.
    pub fn finish(self) -> Result<()> {
        let free = fs::symlink_metadata(&self.place).is_err();
        let exists = || Err(std::io::ErrorKind::AlreadyExists.into());
        let renamed = if free { fs::rename(self.folder.path(), &self.place) } else { exists() };
        renamed.map_err(|error| Error::io(&self.place, error))?;
        let _ = self.folder.keep();
        Ok(())
    }

    /// Puts the folder in its place and removes what was there, if anything. Where the system can
    /// exchange two folders, on Linux and macOS, the place holds the old one or the new one at every
    /// moment.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be renamed; the place is as it was then.
    pub fn replace(self) -> Result<()> {
        if fs::symlink_metadata(&self.place).is_err() {
            return self.finish();
        }
        if exchange(self.folder.path(), &self.place).is_ok() {
            // The old folder has the temporary name now, and is removed with it.
            return Ok(());
        }
        let at = |error| Error::io(&self.place, error);
        let old = self.folder.path().with_extension("old");
        fs::rename(&self.place, &old).map_err(at)?;
        if let Err(error) = fs::rename(self.folder.path(), &self.place) {
            let _ = fs::rename(&old, &self.place);
            return Err(at(error));
        }
        let _ = self.folder.keep();
        fs::remove_dir_all(&old).map_err(|error| Error::io(&old, error))
    }
}

/// Exchanges two folders in one step.
#[cfg(any(target_os = "linux", target_os = "macos"))]
fn exchange(one: &Path, other: &Path) -> std::io::Result<()> {
    use rustix::fs::{CWD, RenameFlags, renameat_with};
    Ok(renameat_with(CWD, one, CWD, other, RenameFlags::EXCHANGE)?)
}

#[cfg(not(any(target_os = "linux", target_os = "macos")))]
fn exchange(_: &Path, _: &Path) -> std::io::Result<()> {
    Err(std::io::ErrorKind::Unsupported.into())
}

/// Makes temporary folders whose permissions are those of any new one: they become results, and to
/// change permissions afterwards is not allowed everywhere.
fn temporary(prefix: &str) -> tempfile::Builder<'_, '_> {
    let mut builder = tempfile::Builder::new();
    builder.prefix(prefix);
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        builder.permissions(fs::Permissions::from_mode(0o777));
    }
    builder
}

/// The system's answer without the name of a temporary folder, which tells nobody anything.
fn plain(error: std::io::Error) -> std::io::Error {
    if error.raw_os_error().is_some() { error } else { std::io::Error::from(error.kind()) }
}

/// Removes the folders of this prefix whose processes are dead. One that cannot be removed stays: it
/// is not what this process is about.
fn remove_left(beside: &Path, prefix: &str) {
    for entry in fs::read_dir(beside).into_iter().flatten().flatten() {
        let name = entry.file_name();
        let letters = name.to_str().and_then(|name| name.strip_prefix(prefix));
        let ours = letters.is_some_and(|letters| {
            letters.len() == LETTERS && letters.bytes().all(|letter| letter.is_ascii_alphanumeric())
        });
        if !ours || !entry.file_type().is_ok_and(|kind| kind.is_dir()) {
            continue;
        }
        let Ok(folder) = File::open(entry.path()) else { continue };
        if folder.try_lock().is_ok() {
            let _ = fs::remove_dir_all(entry.path());
        }
    }
}
