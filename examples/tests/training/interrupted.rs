//! Signals, and logs that cannot be written.

use std::fs::{self, File};
use std::path::Path;
use std::process::{Child, Command, Stdio};

use crate::experiments::{assert_same_metrics, sample, tokenizer_experiment};
use crate::programs::{program, start_until_first_snapshot, succeeds};
use crate::trained_tokenizer;

fn signal(child: &Child, name: &str) {
    let sent = Command::new("kill").args([&format!("-{name}"), &child.id().to_string()]).status();
    assert!(sent.expect("kill").success());
}

#[test]
fn a_signal_leaves_a_snapshot_and_a_second_one_nothing() {
    for (name, code) in [("INT", 130), ("TERM", 143)] {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let experiment = tokenizer_experiment(folder.path(), "run", &sample());
        let run = folder.path().join("run");
        let child = start_until_first_snapshot("train_tokenizer", &experiment, &run);
        signal(&child, name);
        let output = child.wait_with_output().expect("the program ends");
        let said = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{said}");
        let line = said.lines().last().expect("a line");
        let begins = format!("stopped by SIG{name}: a snapshot of step ");
        let step = line.strip_prefix(&begins).and_then(|rest| rest.split(' ').next());
        let step: u64 = step.expect(line).parse().expect("a step");
        assert!(run.join(format!("snapshots/step-{step:09}")).is_dir(), "{said}");
        succeeds("train_tokenizer", &[&experiment]);
        assert_same_metrics(&trained_tokenizer().join("tokenizer"), &run);
    }

    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "run", &sample());
    let run = folder.path().join("run");
    let child = start_until_first_snapshot("train_tokenizer", &experiment, &run);
    // Both arrive before the program has done anything about the first one.
    ["STOP", "INT", "TERM", "CONT"].iter().for_each(|name| signal(&child, name));
    let output = child.wait_with_output().expect("the program ends");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(matches!(output.status.code(), Some(130 | 143)), "{said}");
    assert!(!said.contains("stopped by"), "{said}");
    succeeds("train_tokenizer", &[&experiment]);
    assert_same_metrics(&trained_tokenizer().join("tokenizer"), &run);
}

#[test]
fn a_log_that_cannot_be_written_is_not_worth_the_run() {
    let finished = |run: &str, log: Stdio| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let experiment = tokenizer_experiment(folder.path(), run, &sample());
        let mut child = Command::new(program("train_tokenizer"))
            .arg(&experiment)
            .stderr(log)
            .spawn()
            .expect("the program starts");
        // Nobody reads.
        drop(child.stderr.take());
        assert!(child.wait().expect("the program ends").success(), "{run}");
        assert_same_metrics(&trained_tokenizer().join("tokenizer"), &folder.path().join(run));
    };
    finished("unread", Stdio::piped());
    let full = Path::new("/dev/full");
    if full.exists() {
        finished("full", File::create(full).expect("a device").into());
        let folder = tempfile::tempdir().expect("a temporary folder");
        let image = folder.path().join("image.png");
        let status = Command::new(program("text_to_image"))
            .arg("--out")
            .args([&image, Path::new("a red heart")])
            .stdout(Stdio::null())
            .stderr(File::create(full).expect("a device"))
            .status()
            .expect("the program starts");
        assert!(status.success() && fs::metadata(&image).is_ok());
    }
}
