//! Runs that are stopped, damaged or lost.

use hart_pipeline::Error;
use hart_pipeline::backend::Flex;
use hart_pipeline::training::TrainingEvent;
use hart_pipeline::training::data::Records;
use hart_pipeline::training::fine_tune::{FineTune, FineTuneSettings, TrainableModel};
use hart_pipeline::training::tokenizer::train_tokenizer;
use std::fs;
use std::ops::ControlFlow;

use crate::{images, tokenizer_experiment, trained};

#[test]
fn a_run_that_the_observer_ends_is_continued_exactly() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let device = Default::default();
    let whole = tokenizer_experiment(folder.path(), "whole");
    train_tokenizer::<Flex>(&whole, &device, &mut ()).expect("a tokenizer");

    let stopped = tokenizer_experiment(folder.path(), "stopped");
    let mut stop = |event: TrainingEvent<'_>| match event {
        TrainingEvent::Step { done: 2, .. } => ControlFlow::Break(()),
        _ => ControlFlow::Continue(()),
    };
    let summary = train_tokenizer::<Flex>(&stopped, &device, &mut stop).expect("a snapshot");
    assert_eq!((summary.done, summary.is_finished()), (2, false));
    let summary = train_tokenizer::<Flex>(&stopped, &device, &mut ()).expect("a tokenizer");
    assert!(summary.is_finished());
    for file in ["metrics.csv", "tokenizer/model.safetensors"] {
        let read = |run: &str| fs::read(folder.path().join(run).join(file)).expect("a file");
        assert!(read("whole") == read("stopped"), "another {file}");
    }

    let mut other = stopped;
    other.optimizer.learning_rate = 1e-3;
    let refused = train_tokenizer::<Flex>(&other, &device, &mut ()).expect_err("another run");
    let said = refused.to_string();
    let change = "`optimizer.learning_rate` was 0.0001 and is 0.001";
    assert!(matches!(refused, Error::Changed { .. }) && said.contains(change), "{said}");
    // Asked for, it goes on, and says what has changed.
    other.run.accept_changes = true;
    other.run.steps = 5;
    let (summary, said) = trained(&other);
    assert_eq!(summary.expect("a tokenizer").done, 5);
    let expected = [
        change,
        "the run has 5 steps instead of 4",
        "the rate goes from 4e-6 (step 4) to 5e-5 (step 5)",
    ];
    assert_eq!(said, expected);
    other.run.accept_changes = false;
    other.run.steps = 3;
    let said = trained(&other).0.expect_err("fewer steps").to_string();
    assert!(
        said.contains("`steps` is 3") && said.contains("the run has 5 steps already"),
        "{said}"
    );
}

#[test]
fn a_damaged_snapshot_is_passed_over() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut experiment = tokenizer_experiment(folder.path(), "run");
    experiment.run.save_every = 1;
    trained(&experiment).0.expect("a tokenizer");
    let at = |name: &str| folder.path().join("run").join(name);
    let model = fs::read(at("tokenizer/model.safetensors")).expect("a tokenizer");
    let metrics = fs::read(at("metrics.csv")).expect("metrics");
    let weights = at("snapshots/step-000000004/tokenizer-weights.bin");
    let sums = at("snapshots/step-000000004/checksums.json");
    let whole = fs::read(&weights).expect("a file");
    let mut flipped = whole.clone();
    flipped[whole.len() / 2] ^= 1;
    let damages: [(&str, Option<&[u8]>, bool); 6] = [
        ("empty", Some(b""), true),
        ("cut", Some(&whole[..whole.len() / 2]), true),
        ("one byte", Some(&flipped), true),
        ("missing", None, true),
        ("empty, without checksums", Some(b""), false),
        ("cut, without checksums", Some(&whole[..whole.len() / 2]), false),
    ];
    for (name, bytes, checksums) in damages {
        match bytes {
            Some(bytes) => fs::write(&weights, bytes).expect("a file"),
            None => fs::remove_file(&weights).expect("a file"),
        }
        if !checksums {
            fs::remove_file(&sums).expect("a file");
        }
        let (summary, said) = trained(&experiment);
        assert!(summary.unwrap_or_else(|error| panic!("{name}: {error}")).is_finished());
        assert_eq!(said.len(), 1, "{name}: {said:?}");
        let (begins, ends) = ("snapshot step-000000004 is damaged (", "continuing after step 3");
        assert!(said[0].starts_with(begins) && said[0].ends_with(ends), "{name}: {said:?}");
        assert!(fs::read(at("tokenizer/model.safetensors")).expect("a file") == model, "{name}");
        assert!(fs::read(at("metrics.csv")).expect("a file") == metrics, "{name}");
        assert!(fs::read(&weights).expect("a file") == whole, "{name}");
    }

    // A snapshot of an older version, without checksums, is as good as any other.
    fs::remove_file(&sums).expect("a file");
    let (summary, said) = trained(&experiment);
    assert!(summary.expect("a tokenizer").is_finished() && said.is_empty(), "{said:?}");

    for step in ["step-000000003", "step-000000004"] {
        fs::write(at("snapshots").join(step).join("unused.json"), "[]").expect("a file");
    }
    let said = trained(&experiment).0.expect_err("no snapshot is whole").to_string();
    assert!(said.contains("step-000000004 (unused.json: ") && said.contains("anew"), "{said}");
    assert!(fs::read(at("tokenizer/model.safetensors")).expect("a file") == model);
}

#[test]
fn a_step_that_is_not_finite_ends_the_run_and_is_not_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut experiment = tokenizer_experiment(folder.path(), "run");
    experiment.run.save_every = 1;
    experiment.optimizer.warm_up = 2;
    experiment.optimizer.learning_rate = 1e30;
    let error = trained(&experiment).0.expect_err("a training that diverges");
    let Error::Diverged { step, what } = &error else { panic!("{error}") };
    assert!((2..=3).contains(step), "{error}");
    assert!(what.contains("loss") || what.contains("gradient") || what.contains("weight"));
    let snapshots = fs::read_dir(folder.path().join("run/snapshots")).expect("snapshots");
    let kept = snapshots.flatten().map(|entry| entry.file_name().into_string().expect("a name"));
    let expected: Vec<String> = (1..*step).map(|step| format!("step-{step:09}")).collect();
    let mut kept: Vec<String> = kept.collect();
    kept.sort();
    assert_eq!(kept, expected);
    // Again it ends at the same step.
    let again = trained(&experiment).0.expect_err("the same").to_string();
    assert_eq!(again, error.to_string());

    let model = TrainableModel::<Flex>::embedded(&Default::default()).expect("a model");
    let records = Records::from_images(images()).expect("records");
    let mut settings = FineTuneSettings::new(3);
    settings.batch = 2;
    settings.optimizer.learning_rate = 1e30;
    let mut tuning = FineTune::start(model, records, settings, &mut ()).expect("a fine-tuning");
    let error = (0..3).find_map(|_| tuning.step().err()).expect("a training that diverges");
    assert!(matches!(error, Error::Diverged { step: 2..=3, .. }), "{error}");
}

#[test]
fn a_model_that_was_lost_is_written_again_and_its_place_is_checked() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let experiment = tokenizer_experiment(folder.path(), "run");
    let place = folder.path().join("run/tokenizer");
    fs::create_dir(folder.path().join("run")).expect("a folder");
    fs::write(&place, "").expect("a file");
    let said = trained(&experiment).0.expect_err("a file is in the way").to_string();
    assert!(said.contains("run/tokenizer: is a file"), "{said}");
    fs::remove_file(&place).expect("a file");
    trained(&experiment).0.expect("a tokenizer");
    let model = fs::read(place.join("model.safetensors")).expect("a tokenizer");
    fs::remove_dir_all(&place).expect("a folder");
    assert!(trained(&experiment).0.expect("a tokenizer").is_finished());
    assert!(fs::read(place.join("model.safetensors")).expect("a tokenizer") == model);
}
