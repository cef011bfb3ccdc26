//! Programs killed at random moments, again and again, end as if nothing had been.

use std::collections::BTreeMap;
use std::ffi::OsString;
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

fn kills() -> u64 {
    let kills = std::env::var("HART_KILLS").ok();
    kills.map_or(KILLS, |kills| kills.parse().expect("HART_KILLS is a number"))
}

/// A program in a folder of its own, started there again until it is done.
struct Job<'a> {
    program: &'a str,
    /// Prepares the folder, and gives the arguments.
    prepare: &'a dyn Fn(&Path) -> Vec<OsString>,
    /// Whether the program had done its work, though it was killed before it said so.
    done: &'a dyn Fn(&Path) -> bool,
}

impl Job<'_> {
    /// Starts the program, and kills it after some time. Whether it was done before.
    fn run(&self, folder: &Path, limit: Option<Duration>) -> bool {
        let mut child = Command::new(program(self.program))
            .args((self.prepare)(folder))
            .current_dir(folder)
            .stdout(Stdio::null())
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
                return (self.done)(folder);
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

        let mut folder = tempfile::tempdir().expect("a temporary folder");
        for kill in 0..kills() {
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

/// Training, by an experiment that is written into the folder.
fn training(program: &str, experiment: &dyn Fn(&Path) -> PathBuf, seed: u64) {
    let prepare = |folder: &Path| {
        let path = experiment(folder);
        // The same experiment in every folder.
        let text = fs::read_to_string(&path).expect("an experiment");
        fs::write(&path, text.replace(&format!("{}/", folder.display()), ""))
            .expect("a writable folder");
        vec![path.into_os_string()]
    };
    // A run that is done can be started again.
    Job { program, prepare: &prepare, done: &|_| false }.survives(seed);
}

#[test]
fn a_tokenizer_survives_kills_at_random_moments() {
    training("train_tokenizer", &|folder| tokenizer_experiment(folder, "run", &sample()), 1);
}

#[test]
fn a_model_survives_kills_at_random_moments() {
    let tokenizer = trained_tokenizer().join("tokenizer/tokenizer");
    training("train_hart", &|folder| hart_experiment(folder, "run", &tokenizer, ""), 2);
}

#[test]
fn a_conversion_survives_kills_at_random_moments() {
    let model = Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures/hart-tiny");
    let arguments = ["--precision", "bf16", "--out", "copy"].map(OsString::from);
    let prepare = |_: &Path| [&arguments[..], &[model.clone().into_os_string()]].concat();
    let done = |folder: &Path| folder.join("copy").exists();
    Job { program: "convert", prepare: &prepare, done: &done }.survives(3);
}

#[test]
#[ignore = "needs packages of npm, which scripts/check-kills fetches"]
fn a_data_set_survives_kills_at_random_moments() {
    let packages = std::env::var_os("HART_PACKAGES").expect("the folder of the packages");
    let small =
        "--concepts 32 --pairs 20 --scenes 40 --extra 20 --white 1 --side 32 --out set --packages";
    let small = small.split(' ').map(OsString::from);
    let arguments: Vec<OsString> = small.chain([packages]).collect();
    let done = |folder: &Path| folder.join("set").exists();
    Job { program: "build_dataset", prepare: &|_| arguments.clone(), done: &done }.survives(4);
}

#[test]
#[ignore = "needs packages of npm, which scripts/check-kills fetches"]
fn a_data_set_that_is_replaced_is_the_old_or_the_new_one_at_every_moment() {
    let packages = std::env::var_os("HART_PACKAGES").expect("the folder of the packages");
    let arguments = |side: &str| {
        let small = format!(
            "--force --concepts 32 --pairs 2 --scenes 4 --extra 2 --side {side} --out set --packages"
        );
        let small: Vec<OsString> = small.split(' ').map(OsString::from).collect();
        [small, vec![packages.clone()]].concat()
    };
    let of = |side: &str| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let prepare = |_: &Path| arguments(side);
        let job = Job { program: "build_dataset", prepare: &prepare, done: &|_| false };
        let began = Instant::now();
        job.run(folder.path(), None);
        let time = began.elapsed();
        (left(&folder.path().join("set")), time)
    };
    let ((old, _), (new, time)) = (of("32"), of("48"));
    let folder = tempfile::tempdir().expect("a temporary folder");
    let start = |side: &str, limit| {
        let prepare = |_: &Path| arguments(side);
        Job { program: "build_dataset", prepare: &prepare, done: &|_| false }
            .run(folder.path(), limit)
    };
    for kill in 0..kills() {
        start("32", None);
        // The last tenth of the time is when folders change places.
        let after = 0.9 + 0.2 * uniform(generator(5, 1, [kill, 0]).next_u64());
        start("48", Some(time.mul_f64(after)));
        let found = left(&folder.path().join("set"));
        assert!(found == old || found == new, "neither the old nor the new one after kill {kill}");
    }
}
