//! The programs as a user runs them: training on the sample of the repository, killed and continued,
//! with damaged data and a full disk; models converted.

mod captions;
mod conversion;
mod experiments;
#[cfg(unix)]
mod interrupted;
mod kills;
mod programs;

use std::fs;
use std::path::Path;
use std::process::Command;
use std::sync::OnceLock;

use hart_pipeline::training::hart::HartExperiment;
use hart_pipeline::training::tokenizer::TokenizerExperiment;
use tempfile::TempDir;

use crate::experiments::{
    assert_same_metrics, column, hart_experiment, mean, sample, spread, tokenizer_experiment,
};
use crate::programs::{
    fails, kill_after_first_snapshot, program, start_until_first_snapshot, succeeds,
};

/// A folder with the finished run `tokenizer`, trained once for all tests.
fn trained_tokenizer() -> &'static Path {
    static FOLDER: OnceLock<TempDir> = OnceLock::new();
    let folder = FOLDER.get_or_init(|| {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let experiment = tokenizer_experiment(folder.path(), "tokenizer", &sample());
        succeeds("train_tokenizer", &[&experiment]);
        folder
    });
    folder.path()
}

#[test]
fn a_tokenizer_learns_and_goes_on_exactly_after_a_kill() {
    let whole = trained_tokenizer().join("tokenizer");
    let losses = column(&whole, "reconstruction");
    assert!(mean(&losses[14..]) < 0.7 * mean(&losses[..4]), "{losses:?}");
    assert!(column(&whole, "discriminator")[3..].iter().all(|&loss| loss > 0.0));

    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "killed", &sample());
    let killed = folder.path().join("killed");
    kill_after_first_snapshot("train_tokenizer", &experiment, &killed);
    succeeds("train_tokenizer", &[&experiment]);
    assert_same_metrics(&whole, &killed);
    for file in ["metrics.svg", "images/0000018.png", "tokenizer/config.json"] {
        assert!(killed.join(file).is_file(), "there is no {file}");
    }
}

#[test]
fn a_model_learns_goes_on_exactly_after_a_kill_and_makes_images() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tokenizer = trained_tokenizer().join("tokenizer/tokenizer");
    let made = format!("captions = {:?}", captions::file("captions.toml"));
    let experiment = hart_experiment(folder.path(), "whole", &tokenizer, &made);
    succeeds("train_hart", &[&experiment]);
    let whole = folder.path().join("whole");
    let losses = column(&whole, "loss");
    assert!(mean(&losses[14..]) < mean(&losses[..4]), "{losses:?}");

    let experiment = hart_experiment(folder.path(), "killed", &tokenizer, &made);
    let killed = folder.path().join("killed");
    kill_after_first_snapshot("train_hart", &experiment, &killed);
    succeeds("train_hart", &[&experiment]);
    assert_same_metrics(&whole, &killed);

    // The folder is taken as it is.
    let out = folder.path().join("heart.png");
    let model = whole.join("model");
    let words = ["--model", "--out", "a red heart, flat style"].map(Path::new);
    succeeds("text_to_image", &[words[0], &model, words[1], &out, words[2]]);
    let image = image::open(&out).expect("an image");
    assert_eq!((image.width(), image.height()), (24, 24));

    // And can be taught more, some of its parts kept as they are.
    let more = format!("start_from = {model:?}\nfreeze = [\"text\", \"residual\"]");
    let experiment = hart_experiment(folder.path(), "taught", &tokenizer, &more);
    succeeds("train_hart", &[&experiment]);
    let taught = column(&folder.path().join("taught"), "loss");
    assert!(mean(&taught) < mean(&losses[..9]), "{taught:?}");
    let text = |run: &str| {
        fs::read(folder.path().join(run).join("model/text/model.safetensors")).expect("weights")
    };
    assert!(text("taught") == text("whole"), "a frozen part has changed");
}

#[test]
fn the_number_of_devices_changes_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let weights = |run: &Path, file: &str| fs::read(run.join(file)).expect("weights");

    let one = trained_tokenizer().join("tokenizer");
    let experiment = tokenizer_experiment(folder.path(), "two", &sample());
    spread(&experiment, 2);
    succeeds("train_tokenizer", &[&experiment]);
    assert_same_metrics(&one, &path("two"));
    // The adversary, with the statistics of its norms, is in there as well.
    let file = "tokenizer/model.safetensors";
    assert!(weights(&one, file) == weights(&path("two"), file), "another tokenizer");

    for (run, devices) in [("hart-one", 1), ("hart-two", 2)] {
        let experiment = hart_experiment(folder.path(), run, &one.join("tokenizer"), "");
        spread(&experiment, devices);
        succeeds("train_hart", &[&experiment]);
    }
    assert_same_metrics(&path("hart-one"), &path("hart-two"));
    let file = "model/llm/model.safetensors";
    assert!(weights(&path("hart-one"), file) == weights(&path("hart-two"), file), "another model");

    let experiment = tokenizer_experiment(folder.path(), "three", &sample());
    spread(&experiment, 3);
    let said = fails("train_tokenizer", &[&experiment]);
    assert!(said.contains("`devices` is 3") && said.contains("raise `accumulate`"), "{said}");
}

#[test]
fn damaged_data_is_refused_by_name() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = |name: &str| folder.path().join(name);
    let refused = |name: &str, lines: &str| {
        let records = path(&format!("{name}.jsonl"));
        fs::write(&records, lines).expect("a writable folder");
        fails("train_tokenizer", &[&tokenizer_experiment(folder.path(), name, &records)])
    };
    fs::write(path("broken.png"), b"\x89PNG\r\n\x1a\nno more").expect("a writable folder");

    let said = refused("empty", "\n");
    assert!(said.contains("empty.jsonl: there are no records"), "{said}");
    let said = refused("columns", "{\"photo\": \"a.png\", \"caption\": \"a\"}\n");
    assert!(said.contains("columns.jsonl, line 1") && said.contains("captions"), "{said}");
    let said = refused("missing", "{\"image\": \"none.png\", \"captions\": [\"a\"]}\n");
    assert!(said.contains("1 of 1 images") && said.contains("none.png: No such file"), "{said}");
    let said = refused("silent", "{\"image\": \"broken.png\", \"captions\": [\" \"]}\n");
    assert!(said.contains("silent.jsonl, line 1: a caption is blank"), "{said}");
    let said = refused("unreadable", "{\"image\": \"broken.png\", \"captions\": [\"a\"]}\n");
    assert!(said.contains("broken.png: the image is cut off"), "{said}");

    let changed = |name: &str, from: &str, to: &str| {
        let experiment = tokenizer_experiment(folder.path(), name, &sample());
        let text = fs::read_to_string(&experiment).expect("an experiment");
        assert!(text.contains(from), "{text}");
        fs::write(&experiment, text.replace(from, to)).expect("a writable folder");
        fails("train_tokenizer", &[&experiment])
    };
    let said = changed("typo", "save_every", "safe_every");
    assert!(said.contains("typo.toml") && said.contains("safe_every"), "{said}");
    let said = changed("shares", "partial_share = 0.3", "partial_share = 0.7");
    assert!(
        said.contains(
            "shares.toml [loss]: `discrete_share + partial_share + predicted_share` is 1.1"
        ),
        "{said}"
    );
}

#[test]
fn an_adversary_that_has_no_patch_to_judge_is_refused() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "small", &sample());
    let text = fs::read_to_string(&experiment).expect("an experiment");
    fs::write(&experiment, text.replace("[1, 2, 6]", "[1, 2, 4]")).expect("a writable folder");
    let said = fails("train_tokenizer", &[&experiment]);
    let expected =
        "small.toml [loss]: `adversarial` is 0.1, expected 0 for images of 16 × 16 pixels";
    assert!(said.contains(expected), "{said}");
    assert!(!folder.path().join("small").exists());
}

#[test]
fn every_experiment_of_the_repository_is_valid() {
    let folder = Path::new(env!("CARGO_MANIFEST_DIR")).join("configs");
    for entry in fs::read_dir(folder).expect("a folder").flatten() {
        let path = entry.path();
        let text = fs::read_to_string(&path).expect("an experiment");
        let read = match text.contains("[tokenizer]") {
            true => TokenizerExperiment::open(&path).map(drop),
            false => HartExperiment::open(&path).map(drop),
        };
        read.unwrap_or_else(|error| panic!("{error}"));
    }
}

#[test]
#[cfg(unix)]
fn a_full_disk_loses_nothing() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "full", &sample());
    let run = folder.path().join("full");
    kill_after_first_snapshot("train_tokenizer", &experiment, &run);
    let before: Vec<_> = fs::read_dir(run.join("snapshots/step-000000006"))
        .expect("a snapshot")
        .flatten()
        .map(|entry| (entry.file_name(), fs::read(entry.path()).expect("a file")))
        .collect();
    // Files cannot grow beyond a limit, as on a disk that is full.
    let script = format!(
        "trap '' XFSZ; ulimit -f 64; exec {:?} {:?}",
        program("train_tokenizer"),
        experiment
    );
    let output = Command::new("bash").args(["-c", &script]).output().expect("bash");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(!output.status.success() && said.contains("cannot save step 12"), "{said}");
    for (name, bytes) in before {
        let path = run.join("snapshots/step-000000006").join(name);
        assert_eq!(fs::read(&path).ok(), Some(bytes), "{} has changed", path.display());
    }
    succeeds("train_tokenizer", &[&experiment]);
    assert_same_metrics(&trained_tokenizer().join("tokenizer"), &run);
}

#[test]
fn the_second_process_in_a_folder_is_refused_and_changes_may_be_accepted() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "run", &sample());
    let run = folder.path().join("run");
    let mut first = start_until_first_snapshot("train_tokenizer", &experiment, &run);
    let said = fails("train_tokenizer", &[&experiment]);
    assert!(said.contains("another process trains in"), "{said}");
    assert!(first.wait().expect("the program ends").success());
    assert_same_metrics(&trained_tokenizer().join("tokenizer"), &run);
    let snapshots = fs::read_dir(run.join("snapshots")).expect("snapshots").flatten();
    assert!(snapshots.map(|e| e.file_name()).all(|e| e.to_string_lossy().starts_with("step-")));

    let text = fs::read_to_string(&experiment).expect("an experiment");
    fs::write(&experiment, text.replace("3e-3", "2e-3")).expect("a writable folder");
    let said = fails("train_tokenizer", &[&experiment]);
    assert!(said.contains("`optimizer.learning_rate` was 0.003 and is 0.002"), "{said}");
    assert!(said.contains("--accept-changes"), "{said}");
    succeeds("train_tokenizer", &["--accept-changes".as_ref(), &experiment]);
}
