//! The folder of a run: snapshots that are whole or not there.

use std::fs;
use std::io;
use std::path::{Path, PathBuf};

use hart_core::{Error, Result, write_atomically};
use serde::Serialize;
use serde::de::DeserializeOwned;
use toml::{Table, Value};

/// How many snapshots are kept.
const KEPT: usize = 2;
/// The keys of `[run]` that may change between two starts of a run.
const CHANGEABLE: [&str; 6] =
    ["steps", "log_every", "evaluate_every", "save_every", "folder", "devices"];

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

/// A state to continue from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    step: u64,
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder, or opens one of an earlier start of the same run: its `experiment.toml`
    /// must say the same as `experiment`, but for the length of the run, where and how often it
    /// leaves something, and the number of devices.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written, [`Error::Config`] when it holds a run of another
    /// experiment, with the first key that differs.
    pub fn open<T>(path: impl AsRef<Path>, experiment: &T) -> Result<Self>
    where
        T: Serialize + DeserializeOwned,
    {
        let path = path.as_ref();
        let snapshots = path.join("snapshots");
        fs::create_dir_all(&snapshots).map_err(|error| Error::io(&snapshots, error))?;
        let file = path.join("experiment.toml");
        let table = table(experiment)?;
        if let Ok(earlier) = fs::read_to_string(&file) {
            check_same::<T>(&file, &earlier, &table)?;
        }
        write_atomically(&file, table.to_string().as_bytes())?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest snapshot.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be read.
    pub fn latest(&self) -> Result<Option<Snapshot>> {
        Ok(self.snapshots()?.pop())
    }

    /// Writes a snapshot, files with their names: first into a temporary folder, which is renamed
    /// when all of it is on the disk. Only then older ones are removed, so that a full disk or a
    /// kill loses nothing.
    ///
    /// # Errors
    /// [`Error::Io`] when it cannot be written; earlier snapshots stay.
    pub fn save(&self, step: u64, files: &[(String, Vec<u8>)]) -> Result<()> {
        let folder = self.path.join("snapshots");
        let temporary = tempfile::Builder::new().prefix("unfinished-").tempdir_in(&folder);
        let temporary = temporary.map_err(|error| unsaved(step, Error::io(&folder, error)))?;
        for (name, bytes) in files {
            write_atomically(temporary.path().join(name), bytes)
                .map_err(|error| unsaved(step, error))?;
        }
        let path = folder.join(format!("step-{step:09}"));
        if !path.exists() {
            let temporary = temporary.keep();
            fs::rename(&temporary, &path)
                .map_err(|error| unsaved(step, Error::io(&path, error)))?;
        }
        let snapshots = self.snapshots()?;
        for old in &snapshots[..snapshots.len().saturating_sub(KEPT)] {
            fs::remove_dir_all(&old.path).map_err(|error| Error::io(&old.path, error))?;
        }
        Ok(())
    }

    /// All snapshots, the oldest first.
    fn snapshots(&self) -> Result<Vec<Snapshot>> {
        let folder = self.path.join("snapshots");
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

fn table<T: Serialize>(experiment: &T) -> Result<Table> {
    let table = Table::try_from(experiment);
    table.map_err(|error| Error::invalid("the experiment", error, "values that TOML has"))
}

/// Compares the experiment of an earlier start, as this program understands it, with that of this
/// one.
fn check_same<T>(file: &Path, earlier: &str, present: &Table) -> Result<()>
where
    T: Serialize + DeserializeOwned,
{
    let another = "the same, or another folder";
    let earlier: T = toml::from_str(earlier).map_err(|error| {
        Error::malformed(file, format!("not this experiment; name another folder: {error}"))
    })?;
    let (mut earlier, mut present) = (table(&earlier)?, present.clone());
    for table in [&mut earlier, &mut present] {
        if let Some(Value::Table(run)) = table.get_mut("run") {
            CHANGEABLE.iter().for_each(|key| drop(run.remove(*key)));
        }
    }
    match difference(&earlier, &present) {
        None => Ok(()),
        Some((key, [found, wanted])) => {
            let expected = format!("{wanted} as in this experiment: {another}");
            Err(Error::Config { path: file.to_path_buf(), key, found, expected })
        }
    }
}

/// The first key whose values differ, with both of them.
fn difference(one: &Table, other: &Table) -> Option<(String, [String; 2])> {
    one.keys().chain(other.keys()).find_map(|key| match (one.get(key), other.get(key)) {
        (Some(Value::Table(one)), Some(Value::Table(other))) => {
            difference(one, other).map(|(inner, values)| (format!("{key}.{inner}"), values))
        }
        (one, other) if one == other => None,
        (one, other) => {
            let text = |value: Option<&Value>| value.map_or("absent".into(), Value::to_string);
            Some((key.clone(), [text(one), text(other)]))
        }
    })
}

#[cfg(test)]
mod tests {
    use toml::Table;

    use super::RunFolder;

    fn experiment(seed: u64, steps: u64) -> Table {
        let text = format!("[run]\nseed = {seed}\nsteps = {steps}\n[data]\nrecords = \"a # b\"\n");
        text.parse().expect("a table")
    }

    #[test]
    fn a_folder_is_continued_by_the_same_experiment_alone() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let open = |seed, steps| RunFolder::open(folder.path(), &experiment(seed, steps));
        open(1, 10).expect("a new folder");
        open(1, 20).expect("a longer run");
        let said = open(2, 20).expect_err("another seed").to_string();
        assert!(said.contains("experiment.toml: `run.seed` is 1, expected 2"), "{said}");
    }
}
