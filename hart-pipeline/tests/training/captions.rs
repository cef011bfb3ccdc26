//! Runs whose captions a grammar makes.

use std::fs;
use std::ops::ControlFlow;
use std::path::Path;

use hart_pipeline::archive::{FRACTION_BITS, pack};
use hart_pipeline::backend::Flex;
use hart_pipeline::training::TrainingEvent;
use hart_pipeline::training::hart::{HartExperiment, train_hart};
use hart_pipeline::training::run::TrainingSummary;
use hart_pipeline::training::tokenizer::train_tokenizer;
use hart_pipeline::{Error, HartPipeline, Result};
use serde_json::{Value, json};
use tempfile::TempDir;

use super::{hart_experiment, images, tokenizer_experiment};

const GRAMMAR: &str = r#"
forms = [[2, "{noun}"], "a {shade} colour", "{please} {noun}"]
withheld = ["portrait of {noun}"]

[rules]
please = ["draw", "show me"]

[synonyms]
hue = "colour"
portrait = "show me"
shade = "gradient"

[noise]
filler = 0.2
invented = 0.3
fillers = ["really"]
"#;

/// A folder with a tokenizer and the grammar.
fn folder() -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let tokenizer = tokenizer_experiment(folder.path(), "tokenizer");
    train_tokenizer::<Flex>(&tokenizer, &Default::default(), &mut ()).expect("a tokenizer");
    fs::write(folder.path().join("captions.toml"), GRAMMAR).expect("a writable folder");
    folder
}

/// Six steps on captions of the grammar alone.
fn experiment(folder: &Path, run: &str) -> HartExperiment {
    let mut experiment = hart_experiment(folder, &folder.join("tokenizer/tokenizer"));
    experiment.run.folder = folder.join(run);
    experiment.run.steps = 6;
    experiment.run.log_every = 1;
    experiment.data.captions = Some(folder.join("captions.toml"));
    experiment.data.plain_captions = 0.0;
    write_records(folder, &|_, _| {});
    experiment
}

/// The records say what they show; `change` is made to each.
fn write_records(folder: &Path, change: &dyn Fn(usize, &mut Value)) {
    let lines = images().into_iter().enumerate().map(|(index, (_, captions))| {
        let mut record = json!({
            "image": format!("{index}.png"),
            "captions": captions,
            "things": [[format!("colour {index}"), format!("a paint {index}")]],
            "shade": if index < 4 { "dark" } else { "light" },
        });
        change(index, &mut record);
        format!("{record}\n")
    });
    fs::write(folder.join("records.jsonl"), lines.collect::<String>()).expect("records");
}

/// Trains until `steps` are done, and gives the notices with what came of it.
fn train(experiment: &HartExperiment, steps: u64) -> (Result<TrainingSummary>, Vec<String>) {
    let mut said = vec![];
    let mut observer = |event: TrainingEvent<'_>| match event {
        TrainingEvent::Step { done, .. } if done == steps => ControlFlow::Break(()),
        TrainingEvent::Notice(notice) => {
            said.push(notice.to_string());
            ControlFlow::Continue(())
        }
        _ => ControlFlow::Continue(()),
    };
    (train_hart::<Flex>(experiment, &Default::default(), &mut observer), said)
}

fn refused(experiment: &HartExperiment) -> String {
    train(experiment, 6).0.expect_err("a refusal").to_string()
}

#[test]
fn a_run_that_was_stopped_goes_on_with_the_captions_that_it_would_have_had() {
    let folder = folder();
    let at = folder.path();
    let read = |run: &str, file: &str| fs::read(at.join(run).join(file)).expect("a file");
    train(&experiment(at, "whole"), 0).0.expect("a model");
    for stop in [1, 4] {
        let run = format!("stopped-{stop}");
        let stopped = experiment(at, &run);
        assert_eq!(train(&stopped, stop).0.expect("a snapshot").done, stop);
        let (summary, said) = train(&stopped, 0);
        assert!(summary.expect("a model").is_finished() && said.is_empty(), "{said:?}");
        let files = ["llm/model", "text/model"].map(|part| format!("model/{part}.safetensors"));
        let words = ["metrics.csv", "model/text/words.txt", "model/text/synonyms.json"];
        for file in files.iter().map(String::as_str).chain(words) {
            assert!(read("whole", file) == read(&run, file), "another {file} after step {stop}");
        }
    }
    // Other captions would have been noticed.
    let mut other = experiment(at, "own");
    other.data.captions = None;
    train(&other, 0).0.expect("a model");
    assert!(read("whole", "metrics.csv") != read("own", "metrics.csv"));
    fs::write(at.join("captions.toml"), GRAMMAR.replace("show me", "paint me")).expect("a file");
    train(&experiment(at, "painted"), 0).0.expect("a model");
    assert!(read("whole", "metrics.csv") != read("painted", "metrics.csv"));
}

#[test]
fn a_run_is_known_by_its_grammar_and_by_what_that_reads() {
    let folder = folder();
    let at = folder.path();
    let mut experiment = experiment(at, "run");
    train(&experiment, 3).0.expect("a snapshot");

    // The same grammar elsewhere, written otherwise.
    let moved = at.join("moved.toml");
    let same = format!("# People.\n{}", GRAMMAR.replace("portrait of", "picture of"));
    fs::write(&moved, same).expect("a file");
    experiment.data.captions = Some(moved.clone());
    write_records(at, &|index, record| record["number"] = index.into());
    let (summary, said) = train(&experiment, 4);
    assert!(summary.is_ok() && said.is_empty(), "{said:?}");

    write_records(at, &|_, record| record["shade"] = "light".into());
    let said = refused(&experiment);
    assert!(said.contains("the records are not those that the run was begun with"), "{said}");
    write_records(at, &|_, _| {});
    fs::write(&moved, GRAMMAR.replace("draw", "paint")).expect("a file");
    let said = refused(&experiment);
    assert!(said.contains("the grammar of captions is not the one"), "{said}");
    experiment.data.captions = None;
    let said = refused(&experiment);
    assert!(said.contains("`data.captions` was ") && said.contains("and is absent"), "{said}");
    experiment.data.captions = Some(moved);
    experiment.run.accept_changes = true;
    let (summary, said) = train(&experiment, 0);
    assert!(summary.expect("a model").is_finished());
    assert_eq!(said, ["the grammar of captions is not the one that the run was begun with"]);
}

#[test]
fn a_grammar_is_checked_with_the_records_before_any_work() {
    let folder = folder();
    let at = folder.path();
    let experiment = experiment(at, "run");
    let grammar = at.join("captions.toml");
    for (from, to, expected) in [
        ("{shade}", "{shape}", "line 2: `forms[1]` is `{shape}`, expected a rule of this file or"),
        ("= 0.3", "= 3", "line 15: `noise.invented` is 3, expected from 0 to 1"),
        ("[noise]", "[nose]", "not a grammar of captions"),
    ] {
        fs::write(&grammar, GRAMMAR.replace(from, to)).expect("a file");
        let said = refused(&experiment);
        assert!(said.contains("captions.toml") && said.contains(expected), "{said}");
    }
    // The program that reads an experiment says so before it looks for a device.
    let file = at.join("experiment.toml");
    fs::write(&file, toml::to_string(&experiment).expect("an experiment")).expect("a file");
    let said = HartExperiment::open(&file).expect_err("no grammar").to_string();
    assert!(said.contains("captions.toml: not a grammar"), "{said}");
    fs::remove_file(&grammar).expect("a file");
    let said = refused(&experiment);
    assert!(said.contains("captions.toml: "), "{said}");

    fs::write(&grammar, GRAMMAR).expect("a file");
    HartExperiment::open(&file).expect("an experiment");
    write_records(at, &|_, record| record["things"] = json!([]));
    let error = train(&experiment, 6).0.expect_err("no captions");
    assert!(matches!(&error, Error::Config { key, .. } if key == "captions"), "{error}");
    assert!(!at.join("run/snapshots").exists());
    write_records(at, &|index, record| {
        if index < 3 {
            record["things"] = json!([]);
        }
    });
    let (summary, said) = train(&experiment, 1);
    assert!(summary.is_ok());
    assert_eq!(said, ["the grammar makes no caption of 3 of 8 records: they keep their own"]);
}

#[test]
fn a_model_lists_what_it_knows_and_what_to_say_instead() {
    let folder = folder();
    let at = folder.path();
    train(&experiment(at, "run"), 0).0.expect("a model");
    let model = at.join("run/model");
    let builder = HartPipeline::builder().model(&model);
    let known = builder.known_words(&mut ()).expect("a list").expect("words");
    let words: Vec<&str> = known.iter().collect();
    let expected = [
        "0", "1", "2", "3", "4", "5", "6", "7", "a", "colour", "dark", "draw", "light", "me",
        "paint", "really", "show",
    ];
    // The plural of a thing is a word as well.
    let words: Vec<&str> = words.into_iter().filter(|word| !word.ends_with('s')).collect();
    assert_eq!(words, expected);
    // What `shade` stands for is not known, so it is looked up by its spelling, and is like none.
    let prompt = "portrait of a hue, a shade, a paintt";
    let expected = ["`portrait` (try `show me`)", "`of`", "`hue` (try `colour`)", "`shade`"];
    let said = |pipeline: &HartPipeline<Flex>| -> Vec<String> {
        let unknown = pipeline.text_encoder().unknown_words(prompt);
        unknown.iter().map(ToString::to_string).collect()
    };
    let device = Default::default();
    let open: HartPipeline<Flex> = builder.build(&device).expect("a pipeline");
    assert_eq!(said(&open)[..4], expected);
    assert_eq!(said(&open)[4..], ["`paintt` (try `paint`)"]);
    let (archive, _) = pack(&model, FRACTION_BITS).expect("an archive");
    let packed = HartPipeline::from_archive("packed", &archive, Default::default(), &device);
    assert_eq!(said(&packed.expect("a pipeline")), said(&open));
}
