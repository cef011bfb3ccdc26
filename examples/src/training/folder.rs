//! The folder of a run: snapshots that are whole or not there.

use std::fs;
use std::path::{Path, PathBuf};

use anyhow::{Context, ensure};
use hart_core::write_atomically;

/// How many snapshots are kept.
const KEPT: usize = 2;

/// The folder of a run.
#[derive(Debug, Clone)]
pub struct RunFolder {
    path: PathBuf,
}

/// A state to continue from.
#[derive(Debug, Clone)]
pub struct Snapshot {
    /// Steps that were done.
    pub step: u64,
    path: PathBuf,
}

impl RunFolder {
    /// Makes the folder, or opens one of an earlier start of the same run: `experiment`, its
    /// configuration, must be the same but for what its model does not depend on, or only by its
    /// length.
    ///
    /// # Errors
    /// When it cannot be written, or holds a run of another configuration.
    pub fn open(path: &Path, experiment: &str) -> anyhow::Result<Self> {
        let name = path.display();
        fs::create_dir_all(path.join("snapshots"))
            .with_context(|| format!("cannot make the folder {name}"))?;
        let file = path.join("experiment.toml");
        if let Ok(earlier) = fs::read_to_string(&file) {
            ensure!(
                comparable(&earlier) == comparable(experiment),
                "{name} holds a run of another configuration: name another folder, or remove it"
            );
        }
        write_atomically(&file, experiment.as_bytes())?;
        Ok(Self { path: path.to_path_buf() })
    }

    /// The folder itself.
    pub fn path(&self) -> &Path {
        &self.path
    }

    /// The newest snapshot.
    ///
    /// # Errors
    /// When the folder cannot be read.
    pub fn latest(&self) -> anyhow::Result<Option<Snapshot>> {
        Ok(self.snapshots()?.pop())
    }

    /// Writes a snapshot: first into a temporary folder, which is renamed when all of it is on the
    /// disk. Only then older ones are removed, so that a full disk or a kill loses nothing.
    ///
    /// # Errors
    /// When it cannot be written; earlier snapshots stay.
    pub fn save(&self, step: u64, files: &[(String, Vec<u8>)]) -> anyhow::Result<()> {
        let folder = self.path.join("snapshots");
        let temporary = tempfile::Builder::new().prefix("unfinished-").tempdir_in(&folder);
        let temporary =
            temporary.with_context(|| format!("cannot write into {}", folder.display()))?;
        for (name, bytes) in files {
            let path = temporary.path().join(name);
            write_atomically(&path, bytes)
                .with_context(|| format!("cannot save step {step}; earlier snapshots are kept"))?;
        }
        let path = folder.join(format!("step-{step:09}"));
        if !path.exists() {
            let temporary = temporary.keep();
            fs::rename(&temporary, &path)
                .with_context(|| format!("cannot save {}", path.display()))?;
        }
        let snapshots = self.snapshots()?;
        for old in &snapshots[..snapshots.len().saturating_sub(KEPT)] {
            fs::remove_dir_all(&old.path)
                .with_context(|| format!("cannot remove {}", old.path.display()))?;
        }
        Ok(())
    }

    /// All snapshots, the oldest first. Leftovers of interrupted ones are removed.
    fn snapshots(&self) -> anyhow::Result<Vec<Snapshot>> {
        let folder = self.path.join("snapshots");
        let entries = fs::read_dir(&folder)
            .with_context(|| format!("cannot read the folder {}", folder.display()))?;
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
    /// One of its files.
    ///
    /// # Errors
    /// When it cannot be read.
    pub fn read(&self, name: &str) -> anyhow::Result<Vec<u8>> {
        let path = self.path.join(name);
        fs::read(&path).with_context(|| format!("cannot read {}", path.display()))
    }
}

/// A configuration without what may change between two starts of a run.
fn comparable(experiment: &str) -> Vec<&str> {
    let changeable = ["steps", "log_every", "evaluate_every", "save_every", "folder", "devices"];
    let lines = experiment.lines().map(|line| line.split('#').next().unwrap_or("").trim());
    lines
        .filter(|line| !line.is_empty())
        .filter(|line| !changeable.contains(&line.split('=').next().unwrap_or("").trim()))
        .collect()
}
