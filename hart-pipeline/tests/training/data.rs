//! The data of a run, which is known by its content.

use hart_pipeline::backend::Flex;
use hart_pipeline::training::TrainingEvent;
use hart_pipeline::training::data::Records;
use hart_pipeline::training::hart::train_hart;
use hart_pipeline::training::tokenizer::{self, train_tokenizer};
use std::fs;
use std::ops::ControlFlow;

use crate::{hart_experiment, tokenizer_experiment, trained, write_records};

#[test]
fn data_is_known_by_content_and_a_run_without_a_snapshot_may_be_mended() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut experiment = tokenizer_experiment(folder.path(), "run");
    fs::write(folder.path().join("3.png"), "no image").expect("a file");
    let said = trained(&experiment).0.expect_err("a bad image").to_string();
    assert!(said.contains("1 of 8 images") && said.contains("3.png"), "{said}");
    // Another data set and another seed: nothing was trained yet.
    fs::create_dir(folder.path().join("moved")).expect("a folder");
    let moved = write_records(&folder.path().join("moved"));
    experiment.data = tokenizer::DataSettings::new(&moved, &moved);
    experiment.run.seed = 1;
    experiment.run.steps = 2;
    trained(&experiment).0.expect("a tokenizer");

    // The same records elsewhere are the same, others are not.
    let back = write_records(folder.path());
    experiment.data = tokenizer::DataSettings::new(&back, &moved);
    experiment.run.steps = 3;
    let (summary, said) = trained(&experiment);
    assert!(summary.expect("a tokenizer").is_finished());
    // The rate still rises as it did.
    assert_eq!(said, ["the run has 3 steps instead of 2"]);
    let text = fs::read_to_string(&back).expect("records");
    let lines: Vec<&str> = text.lines().collect();
    let mut turned = lines.clone();
    turned.swap(0, 1);
    for lines in [&turned[..], &lines[1..]] {
        fs::write(&back, lines.join("\n")).expect("records");
        let refused = trained(&experiment).0.expect_err("another data set").to_string();
        assert!(refused.contains("the records are not those that the run was begun with"));
    }
    fs::write(&back, &text).expect("records");
    fs::write(folder.path().join("0.png"), fs::read(folder.path().join("1.png")).expect("a file"))
        .expect("a file");
    let refused = trained(&experiment).0.expect_err("another image").to_string();
    assert!(refused.contains("the records are not those"), "{refused}");
    // Bad ones can be left out, which is another data set as well.
    fs::write(folder.path().join("0.png"), "no image").expect("a file");
    experiment.data.skip_bad = true;
    experiment.run.accept_changes = true;
    experiment.run.steps = 4;
    let (summary, said) = trained(&experiment);
    assert!(summary.expect("a tokenizer").is_finished());
    assert!(said.iter().any(|line| line.starts_with("skipped: ") && line.contains("0.png")));
    assert!(said.iter().any(|line| line.starts_with("1 of 8 records are skipped")), "{said:?}");
}

#[test]
fn an_image_that_vanishes_costs_no_step() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let mut experiment = tokenizer_experiment(folder.path(), "run");
    experiment.run.steps = 40;
    experiment.run.save_every = 40;
    experiment.run.evaluate_every = 40;
    let mut vanish = |event: TrainingEvent<'_>| {
        if let TrainingEvent::Step { done: 2, .. } = event {
            (0..8).for_each(|image| {
                fs::remove_file(folder.path().join(format!("{image}.png"))).expect("a file");
            });
        }
        ControlFlow::Continue(())
    };
    let lost = train_tokenizer::<Flex>(&experiment, &Default::default(), &mut vanish);
    assert!(lost.expect_err("no images").to_string().contains(".png"));
    write_records(folder.path());
    let mut began = 0;
    let mut stop = |event: TrainingEvent<'_>| match event {
        TrainingEvent::Started { done, .. } => {
            began = done;
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    };
    train_tokenizer::<Flex>(&experiment, &Default::default(), &mut stop).expect("a snapshot");
    assert!((2..=5).contains(&began), "{began}");
}

#[test]
fn blank_captions_are_refused_by_line() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = write_records(folder.path());
    let text = fs::read_to_string(&path).expect("records");
    let cases =
        [("[\"colour 1\"]", "[]", "there is no caption"), ("colour 1", " ", "a caption is blank")];
    for (from, to, expected) in cases {
        fs::write(&path, text.replace(from, to)).expect("records");
        let said = Records::open(&path).expect_err(expected).to_string();
        assert!(said.ends_with(&format!("records.jsonl, line 2: {expected}")), "{said}");
    }
}

#[test]
fn tokens_follow_the_content_of_images_and_pieces_are_kept() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let device = Default::default();
    let tokenizer = tokenizer_experiment(folder.path(), "tokenizer");
    trained(&tokenizer).0.expect("a tokenizer");
    let experiment = hart_experiment(folder.path(), &folder.path().join("tokenizer/tokenizer"));
    let train = || train_hart::<Flex>(&experiment, &device, &mut ());
    let tokens = || fs::read(folder.path().join("hart/train-tokens.safetensors")).expect("tokens");
    train().expect("a model");
    let first = tokens();
    fs::copy(folder.path().join("7.png"), folder.path().join("0.png")).expect("a file");
    let refused = train().expect_err("another image").to_string();
    assert!(refused.contains("the records are not those"), "{refused}");
    fs::remove_dir_all(folder.path().join("hart/snapshots")).expect("snapshots");
    train().expect("a model");
    let second = tokens();
    fs::remove_dir_all(folder.path().join("hart")).expect("a run");
    train().expect("a model");
    assert!(second == tokens() && second != first);
    let left = fs::read_dir(folder.path().join("hart")).expect("a folder").flatten();
    assert!(
        left.map(|entry| entry.path()).all(|path| path.extension().is_none_or(|e| e != "pieces"))
    );
}
