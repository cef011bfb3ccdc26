//! Programs killed at random moments, again and again, end as if nothing had been.

use std::collections::BTreeMap;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::{Command, Stdio};
use std::time::{Duration, Instant};

use hart_core::random::{generator, uniform};
use rand::Rng;

use crate::experiments::{hart_experiment, sample, tokenizer_experiment};
use crate::programs::program;
use crate::trained_tokenizer;

/// Kills of each program; `HART_KILLS` is another number of them.
const KILLS: u64 = 6;

/// A program in a folder of its own; every such folder has the same experiment in it.
struct Job<'a> {
    program: &'a str,
    /// Writes the experiment into a folder.
    experiment: &'a dyn Fn(&Path) -> PathBuf,
}

impl Job<'_> {
    /// Starts the program, and kills it after some time. Whether it was done before.
    fn run(&self, folder: &Path, limit: Option<Duration>) -> bool {
        let experiment = (self.experiment)(folder);
        let text = fs::read_to_string(&experiment).expect("an experiment");
        let here = format!("{}/", folder.display());
        fs::write(&experiment, text.replace(&here, "")).expect("a writable folder");
        let mut child = Command::new(program(self.program))
            .arg(&experiment)
            .current_dir(folder)
            .stderr(Stdio::piped())
            .spawn()
            .expect("the program starts");
        let began = Instant::now();
        loop {
            if let Some(status) = child.try_wait().expect("a child") {
                let output = child.wait_with_output().expect("a child");
                let said = String::from_utf8_lossy(&output.stderr);
                assert!(status.success(), "{} failed: {said}", self.program);
                return true;
            }
            if limit.is_some_and(|limit| began.elapsed() >= limit) {
                child.kill().expect("the program is killed");
                child.wait().expect("the program has ended");
                return false;
            }
            std::thread::sleep(Duration::from_millis(1));
        }
    }

    /// Kills the program at moments drawn from a seed, and compares what is left in the end with
    /// what a run without a kill leaves.
    fn survives(&self, seed: u64) {
        let whole = tempfile::tempdir().expect("a temporary folder");
        let began = Instant::now();
        self.run(whole.path(), None);
        let time = began.elapsed();
        let expected = left(whole.path());

        let kills = std::env::var("HART_KILLS").ok().and_then(|kills| kills.parse().ok());
        let mut folder = tempfile::tempdir().expect("a temporary folder");
        for kill in 0..kills.unwrap_or(KILLS) {
            let after = uniform(generator(seed, 1, [kill, 0]).next_u64());
            if self.run(folder.path(), Some(time.mul_f64(after))) {
                assert_same(&left(folder.path()), &expected, kill);
                folder = tempfile::tempdir().expect("a temporary folder");
            }
        }
        self.run(folder.path(), None);
        assert_same(&left(folder.path()), &expected, u64::MAX);
    }
}

/// All files below a folder with their bytes; of snapshots only whether they are there, for burn
/// gives parameters new names in every process.
fn left(folder: &Path) -> BTreeMap<PathBuf, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in fs::read_dir(next).expect("a folder").flatten() {
            let path = entry.path();
            let name = path.strip_prefix(folder).expect("it is in the folder").to_path_buf();
            if path.is_dir() {
                found.insert(name, vec![]);
                folders.push(path);
            } else if name.iter().any(|part| part == "snapshots") {
                found.insert(name, vec![]);
            } else {
                found.insert(name, fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

fn assert_same(
    found: &BTreeMap<PathBuf, Vec<u8>>,
    expected: &BTreeMap<PathBuf, Vec<u8>>,
    kill: u64,
) {
    let names = |files: &BTreeMap<PathBuf, Vec<u8>>| files.keys().cloned().collect::<Vec<_>>();
    assert_eq!(names(found), names(expected), "after kill {kill}");
    for (name, bytes) in found {
        assert!(*bytes == expected[name], "{} is another after kill {kill}", name.display());
    }
}

#[test]
fn a_tokenizer_survives_kills_at_random_moments() {
    let experiment = |folder: &Path| tokenizer_experiment(folder, "run", &sample());
    Job { program: "train_tokenizer", experiment: &experiment }.survives(1);
}

#[test]
fn a_model_survives_kills_at_random_moments() {
    let tokenizer = trained_tokenizer().join("tokenizer/tokenizer");
    let experiment = |folder: &Path| hart_experiment(folder, "run", &tokenizer, "");
    Job { program: "train_hart", experiment: &experiment }.survives(2);
}
