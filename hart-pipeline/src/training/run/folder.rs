//! The folder of a run: snapshots that are whole or not there.

use std::fs::{self, File};
use std::io;
use std::path::{Path, PathBuf};
use std::sync::Arc;

use hart_core::{Error, Result, StagedFolder};

use super::lock::{UNFINISHED, lock, remove_leftovers};
use super::snapshot::{self, Snapshot};

/// How many snapshots are kept.
const KEPT: usize = 2;

/// The folder of a run. No other process can open it while this value or a clone of it lives.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
    _lock: Arc<File>,
}

impl RunFolder {
    /// Makes the folder, or opens one of an earlier start of the run, and removes what starts that
    /// were killed have left half written.
    ///
    /// # Errors
    /// [`Error::Busy`] when another process trains in it, [`Error::Io`] when it cannot be written.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        let path = path.as_ref();
        fs::create_dir_all(path).map_err(|error| Error::io(path, error))?;
        let lock = lock(path)?;
        remove_leftovers(path)?;
        Ok(Self { path: path.to_path_buf(), _lock: Arc::new(lock) })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// Checks that a folder for a model is there or can be made, before any work for it.
    ///
    /// # Errors
    /// [`Error::Io`] when there is a file of that name.
    pub(in crate::training) fn check_place(&self, name: &str) -> Result<()> {
        let path = self.path.join(name);
        match fs::metadata(&path) {
            Ok(about) if !about.is_dir() => {
                let problem = "is a file, expected a folder or nothing: the model is written there";
                Err(Error::io(path, io::Error::new(io::ErrorKind::NotADirectory, problem)))
            }
            _ => Ok(()),
        }
    }

    /// All snapshots, the oldest first.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let folder = self.path.join("snapshots");
        if !folder.exists() {
            return Ok(vec![]);
        }
        let entries = fs::read_dir(&folder).map_err(|error| Error::io(&folder, error))?;
        let mut found = vec![];
        for path in entries.flatten().map(|entry| entry.path()) {
            let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
            if let Some(step) = name.strip_prefix("step-").and_then(|step| step.parse().ok()) {
                found.push(Snapshot { step, path });
            }
        }
        found.sort_by_key(|snapshot| snapshot.step);
        Ok(found)
    }

    /// Writes a snapshot, files with their names: first into a temporary folder, which is renamed
    /// when all of it is on the disk. Only then older ones are removed, so that a full disk or a
    /// kill loses nothing; and later ones, which are damaged, or this run would not come to them.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written; earlier snapshots stay.
    pub fn save(&self, step: u64, files: &[(String, Vec<u8>)]) -> Result<()> {
        let folder = self.path.join("snapshots");
        self.write(&folder, step, files).map_err(|error| unsaved(step, error))?;
        let (earlier, later): (Vec<_>, Vec<_>) =
            self.snapshots()?.into_iter().partition(|snapshot| snapshot.step <= step);
        let old = &earlier[..earlier.len().saturating_sub(KEPT)];
        old.iter().chain(&later).try_for_each(|snapshot| self.remove(snapshot))
    }

    fn write(&self, folder: &Path, step: u64, files: &[(String, Vec<u8>)]) -> Result<()> {
        fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
        let path = folder.join(format!("step-{step:09}"));
        let staged = StagedFolder::begin(&path, UNFINISHED)?;
        snapshot::write(staged.path(), files)?;
        // One that is there already was damaged, else the run would have gone on from it.
        if path.exists() {
            self.remove(&Snapshot { step, path: path.clone() })?;
        }
        staged.finish()?;
        sync(folder);
        Ok(())
    }

    /// Removes a snapshot: half of one is never called a snapshot.
    fn remove(&self, snapshot: &Snapshot) -> Result<()> {
        let name = format!("{UNFINISHED}{}", snapshot.step);
        let doomed = self.path.join("snapshots").join(name);
        let removed =
            fs::rename(&snapshot.path, &doomed).and_then(|()| fs::remove_dir_all(&doomed));
        removed.map_err(|error| Error::io(&snapshot.path, error))
    }
}

/// Brings the names in a folder onto the disk, where that can be done.
fn sync(folder: &Path) {
    let _ = File::open(folder).and_then(|folder| folder.sync_all());
}

/// The error of a snapshot that could not be written.
fn unsaved(step: u64, error: Error) -> Error {
    match error {
        Error::Io { path, source } => {
            let message = format!("cannot save step {step}; earlier snapshots are kept: {source}");
            Error::Io { path, source: io::Error::new(source.kind(), message) }
        }
        other => other,
    }
}

#[cfg(test)]
mod tests {
    use std::fs;

    use hart_core::Error;

    use super::RunFolder;

    fn files(value: u8) -> Vec<(String, Vec<u8>)> {
        vec![("state.bin".to_string(), vec![value; 9])]
    }

    #[test]
    fn one_process_at_a_time_is_let_in() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let first = RunFolder::open(folder.path()).expect("a new folder");
        let refused = RunFolder::open(folder.path()).expect_err("it is in use");
        assert!(matches!(refused, Error::Busy { .. }), "{refused}");
        assert!(refused.to_string().starts_with("another process trains in "), "{refused}");
        let clone = first.clone();
        drop(first);
        assert!(RunFolder::open(folder.path()).is_err());
        drop(clone);
        RunFolder::open(folder.path()).expect("a free folder");
    }

    #[test]
    fn leftovers_of_killed_starts_are_removed_and_nothing_else() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        RunFolder::open(folder.path()).expect("a folder").save(3, &files(1)).expect("a snapshot");
        for place in ["snapshots/unfinished-x", "snapshots/unfinished-2", "model/llm"] {
            fs::create_dir_all(at(place)).expect("a folder");
        }
        let kept = ["notes.tmp", ".tmpfile", "snapshots/step-000000003/state.bin"];
        let gone = [
            ".tmpAbCd12",
            "model/llm/.tmpabcdef",
            "snapshots/.tmp000000",
            "snapshots/unfinished-x/state.bin",
        ];
        for name in kept.iter().chain(&gone) {
            fs::write(at(name), "x").expect("a file");
        }
        RunFolder::open(folder.path()).expect("a folder");
        assert!(kept.iter().all(|name| at(name).exists()));
        assert!(gone.iter().all(|name| !at(name).exists()));
        let left: Vec<_> = fs::read_dir(at("snapshots")).expect("a folder").flatten().collect();
        assert_eq!(left.len(), 1, "{left:?}");
    }

    #[test]
    fn the_newest_two_snapshots_are_kept_and_damage_is_seen() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = RunFolder::open(folder.path()).expect("a folder");
        (1..=3).for_each(|step| run.save(step, &files(step as u8)).expect("a snapshot"));
        let steps = || -> Vec<u64> {
            run.snapshots().expect("snapshots").iter().map(|snapshot| snapshot.step()).collect()
        };
        assert_eq!(steps(), [2, 3]);
        let newest = run.snapshots().expect("snapshots").pop().expect("a snapshot");
        assert!(newest.check().expect("a whole snapshot"));
        let path = newest.path.join("state.bin");
        for bytes in [&b""[..], &[3; 5], &[4; 9]] {
            fs::write(&path, bytes).expect("a file");
            let error = newest.check().expect_err("a damaged snapshot");
            let reason = newest.damage(&error).expect("an error about it");
            assert!(reason.starts_with("state.bin: "), "{reason}");
        }
        fs::remove_file(&path).expect("a file");
        let error = newest.check().expect_err("a file is missing");
        assert!(newest.damage(&error).is_some(), "{error}");
        // A run that goes on from the one before comes to it again, and replaces it.
        run.save(3, &files(3)).expect("a snapshot");
        assert_eq!(steps(), [2, 3]);
        assert!(newest.check().expect("a whole snapshot"));
        // Later ones are not those of this run.
        run.save(2, &files(2)).expect("a snapshot");
        assert_eq!(steps(), [2]);
    }

    #[test]
    fn a_file_in_the_place_of_a_model_is_named() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let run = RunFolder::open(folder.path()).expect("a folder");
        run.check_place("model").expect("nothing is there");
        fs::write(folder.path().join("model"), "").expect("a file");
        let said = run.check_place("model").expect_err("a file").to_string();
        assert!(said.contains("model: is a file, expected a folder"), "{said}");
    }
}
