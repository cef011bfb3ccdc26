//! The programs as a user starts them, and kills them.

use std::path::{Path, PathBuf};
use std::process::{Child, Command, Output, Stdio};
use std::time::{Duration, Instant};

/// How long a program may take to reach its first snapshot.
const PATIENCE: Duration = Duration::from_secs(300);

/// A program of this package, built beside this test.
pub(crate) fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let target = test.parent().and_then(Path::parent).expect("it is in target/<profile>/deps");
    target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn run(name: &str, arguments: &[&Path]) -> Output {
    let output = Command::new(program(name)).args(arguments).stdin(Stdio::null()).output();
    output.unwrap_or_else(|error| panic!("cannot run {name}: {error}"))
}

/// Runs a program that must not fail.
pub(crate) fn succeeds(name: &str, arguments: &[&Path]) {
    let output = run(name, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} failed: {said}");
}

/// The reason a program gives for its failure.
pub(crate) fn fails(name: &str, arguments: &[&Path]) -> String {
    let output = run(name, arguments);
    assert!(!output.status.success(), "{name} succeeded");
    String::from_utf8_lossy(&output.stderr).into_owned()
}

/// Starts a program and kills it as soon as its first snapshot is there.
pub(crate) fn kill_after_first_snapshot(name: &str, experiment: &Path, run: &Path) {
    let mut child = start_until_first_snapshot(name, experiment, run);
    child.kill().expect("the program is killed");
    child.wait().expect("the program has ended");
    assert!(!run.join("snapshots/step-000000018").exists(), "{name} was faster than the kill");
}

/// Starts a program, and comes back as soon as its first snapshot is there.
pub(crate) fn start_until_first_snapshot(name: &str, experiment: &Path, run: &Path) -> Child {
    let mut child = Command::new(program(name))
        .arg(experiment)
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program starts");
    let began = Instant::now();
    while !run.join("snapshots/step-000000006").is_dir() {
        assert!(began.elapsed() < PATIENCE, "{name} wrote no snapshot");
        assert!(child.try_wait().expect("a child").is_none(), "{name} ended too early");
        std::thread::sleep(Duration::from_millis(5));
    }
    child
}
