//! The training library as a program uses it: on rectangles, stopped and continued, and fine-tuning
//! in memory.
#![cfg(all(feature = "train", feature = "flex", feature = "embedded"))]

mod captions;

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use hart_pipeline::backend::Flex;
use hart_pipeline::training::TrainingEvent;
use hart_pipeline::training::data::Records;
use hart_pipeline::training::fine_tune::{FineTune, FineTuneSettings, TrainableModel};
use hart_pipeline::training::hart::{self, HartExperiment, LearnerPart, train_hart};
use hart_pipeline::training::run::{RunSettings, TrainingSummary};
use hart_pipeline::training::tokenizer::{self, TokenizerExperiment, train_tokenizer};
use hart_pipeline::{Error, Grid, HartPipeline, Pixels, Request};
use serde_json::{Map, Value, json};

fn keys(json: Value) -> Map<String, Value> {
    json.as_object().expect("an object").clone()
}

/// Eight images with a caption each, as files in a folder.
fn write_records(folder: &Path) -> PathBuf {
    let mut lines = String::new();
    for (index, (pixels, captions)) in images().into_iter().enumerate() {
        let name = format!("{index}.png");
        pixels.save(folder.join(&name)).expect("a writable folder");
        lines += &format!("{}\n", json!({ "image": name, "captions": captions }));
    }
    let path = folder.join("records.jsonl");
    fs::write(&path, lines).expect("a writable folder");
    path
}

/// Eight images of one colour each, 40 × 24 pixels.
fn images() -> Vec<(Pixels, Vec<String>)> {
    let image = |index: usize| {
        let colour = [index & 1, index >> 1 & 1, index >> 2].map(|bit| 255 * bit as u8);
        let pixels = Pixels::new(40, 24, colour.repeat(40 * 24)).expect("pixels");
        (pixels, vec![format!("colour {index}")])
    };
    (0..8).map(image).collect()
}

/// A tokenizer of images with 8 rows and 16 columns.
fn tokenizer_experiment(folder: &Path, run: &str) -> TokenizerExperiment {
    let records = write_records(folder);
    let mut settings = RunSettings::new(folder.join(run), 4, 4);
    settings.log_every = 1;
    let tokenizer = json!({
        "quantizer_type": "var_hybrid", "ch": 4, "ch_mult": [1, 2], "norm_groups": 2,
        "z_channels": 4, "vocab_size": 16, "v_patch_nums": [1, [1, 2], [2, 4], [4, 8]],
    });
    let data = tokenizer::DataSettings::new(&records, &records);
    TokenizerExperiment::new(settings, data, keys(tokenizer))
}

fn hart_experiment(folder: &Path, tokenizer: &Path) -> HartExperiment {
    let records = write_records(folder);
    let data = hart::DataSettings::new(&records, &records, tokenizer);
    let hart = json!({
        "context_token": 8, "depth": 1, "embed_dim": 32, "num_heads": 2, "mlp_type": "llama",
        "mlp_ratio": 1.0, "attn_l2_norm": true, "disable_aln": true, "shared_aln": true,
        "use_timestep_embed": true, "use_context_norm": true, "diff_width": 16, "diff_depth": 1,
        "num_sampling_steps": "4",
    });
    let text = json!({
        "hidden_size": 16, "intermediate_size": 32, "num_hidden_layers": 1,
        "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 16,
        "vocab_size": 300,
    });
    let settings = RunSettings::new(folder.join("hart"), 3, 4);
    let mut experiment = HartExperiment::new(settings, data, keys(hart), keys(text));
    experiment.samples.prompts = vec!["colour 3".to_string()];
    experiment
}

#[test]
fn a_model_of_rectangles_is_trained_and_makes_them() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let device = Default::default();
    let experiment = tokenizer_experiment(folder.path(), "tokenizer");
    let summary = train_tokenizer::<Flex>(&experiment, &device, &mut ()).expect("a tokenizer");
    assert!(summary.is_finished());

    let tokenizer = folder.path().join("tokenizer/tokenizer");
    let experiment = hart_experiment(folder.path(), &tokenizer);
    let mut events = vec![];
    let mut observer = |event: TrainingEvent<'_>| {
        events.push(match event {
            TrainingEvent::Encoding { done, images, .. } => format!("{done} of {images} encoded"),
            TrainingEvent::Started { done, steps, .. } => format!("{done} of {steps}"),
            TrainingEvent::Step { done, metrics, .. } => {
                assert!(metrics.iter().all(|(_, value)| value.is_finite()), "{metrics:?}");
                format!("step {done}")
            }
            TrainingEvent::Evaluated { done, .. } => format!("evaluated {done}"),
            TrainingEvent::Saved { done, .. } => format!("saved {done}"),
            _ => String::new(),
        });
        ControlFlow::Continue(())
    };
    train_hart::<Flex>(&experiment, &device, &mut observer).expect("a model");
    let encoded = ["8 of 8 encoded", "8 of 8 encoded"];
    let trained = ["0 of 3", "step 1", "step 2", "step 3", "evaluated 3", "saved 3"];
    assert_eq!(events, [&encoded[..], &trained].concat());
    assert!(folder.path().join("hart/images/0000003.png").is_file());

    let model = folder.path().join("hart/model");
    let pipeline: HartPipeline<Flex> =
        HartPipeline::builder().model(model).build(&device).expect("a pipeline");
    let images = pipeline.generate(&Request::new("colour 3").seed(1)).expect("an image");
    assert_eq!((images[0].width(), images[0].height()), (16, 8));
}

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

/// Trains a tokenizer, and gives the notices with what came of it.
fn trained(
    experiment: &TokenizerExperiment,
) -> (hart_pipeline::Result<TrainingSummary>, Vec<String>) {
    let mut said = vec![];
    let mut observer = |event: TrainingEvent<'_>| {
        if let TrainingEvent::Notice(notice) = event {
            said.push(notice.to_string());
        }
        ControlFlow::Continue(())
    };
    (train_tokenizer::<Flex>(experiment, &Default::default(), &mut observer), said)
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

#[test]
fn values_of_experiments_are_checked_before_any_work() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let refused = |change: &dyn Fn(&mut TokenizerExperiment), expected: &str| {
        let mut experiment = tokenizer_experiment(folder.path(), "checked");
        change(&mut experiment);
        let said = trained(&experiment).0.expect_err(expected).to_string();
        assert!(said.starts_with(expected), "{said}, not {expected}");
    };
    for bad in [2.0, -5.0, 0.0, f64::NAN] {
        let expected = format!("[data.augmentation]: `least_crop` is {bad}, expected above 0");
        refused(&|experiment| experiment.data.augmentation.least_crop = bad, &expected);
    }
    for bad in [7.0, -0.1, f64::NAN] {
        let expected = format!("[data.augmentation]: `mirror` is {bad}, expected from 0 to 1");
        refused(&|experiment| experiment.data.augmentation.mirror = bad, &expected);
        let expected = format!("[loss]: `discrete_share` is {bad}, expected from 0 to 1");
        refused(&|experiment| experiment.loss.discrete_share = bad, &expected);
    }
    for bad in [-1.0, f64::INFINITY, f64::NAN] {
        refused(&|e| e.loss.quantizer = bad, "[loss]: `quantizer` is ");
        refused(&|e| e.loss.adversarial = bad, "[loss]: `adversarial` is ");
        refused(&|e| e.export.residual_spread = Some(bad), "[export]: `residual_spread` is ");
    }
    // An image of 8 × 16 pixels has no patch to judge.
    refused(
        &|e| e.loss.adversarial = 0.1,
        "[loss]: `adversarial` is 0.1, expected 0 for images of",
    );
    refused(&|e| e.loss.discriminator_channels = 0, "[loss]: `discriminator_channels` is 0");
    refused(&|e| e.data.validation_images = 0, "[data]: `validation_images` is 0");
    refused(&|e| e.run.batch = 0, "[run]: `batch` is 0, expected at least 1");
    refused(&|e| e.run.batch = usize::MAX, "[run]: `batch` is ");
    refused(&|e| e.run.steps = u64::MAX, "[run]: `steps` is ");

    let tokenizer = folder.path().join("none");
    let refused = |change: &dyn Fn(&mut HartExperiment), expected: &str| {
        let mut experiment = hart_experiment(folder.path(), &tokenizer);
        change(&mut experiment);
        let trained = train_hart::<Flex>(&experiment, &Default::default(), &mut ());
        let said = trained.expect_err(expected).to_string();
        assert!(said.starts_with(expected), "{said}, not {expected}");
    };
    for bad in [7.0, f64::NAN] {
        refused(&|e| e.data.plain_captions = bad, "[data]: `plain_captions` is ");
        refused(&|e| e.data.new_share = bad, "[data]: `new_share` is ");
        refused(&|e| e.samples.top_p = bad, "[images]: `top_p` is ");
    }
    for bad in [-1.0, 1e9, f64::NAN] {
        refused(&|e| e.samples.guidance = bad, "[images]: `guidance` is ");
        refused(&|e| e.samples.temperature = bad, "[images]: `temperature` is ");
    }
    refused(&|e| e.samples.top_k = 1 << 30, "[images]: `top_k` is ");
    refused(&|e| e.samples.prompts.push(" ".into()), "[images]: `prompts` is \" \": a prompt is");
    refused(&|e| e.data.validation_images = 0, "[data]: `validation_images` is 0");
    refused(&|e| drop(e.text.insert("vocab_size".into(), 9.into())), "[text]: `vocab_size` is 9");
    assert!(!folder.path().join("checked").exists() && !folder.path().join("hart").exists());
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

#[test]
fn a_model_in_memory_is_taught_ten_steps() {
    let records = Records::from_images(images()).expect("records");
    let planes = records.image(5, Grid::new(2, 2)).expect("an image").to_planes();
    assert_eq!(planes, [[1.0; 4], [-1.0; 4], [1.0; 4]].concat());

    let model = TrainableModel::<Flex>::embedded(&Default::default()).expect("a model");
    let mut settings = FineTuneSettings::new(10);
    settings.batch = 4;
    settings.freeze = vec![LearnerPart::Text];
    let mut tuning = FineTune::start(model, records, settings, &mut ()).expect("a fine-tuning");
    let losses: Vec<f64> = (0..10).map(|_| tuning.step().expect("a step").cross_entropy).collect();
    assert!(losses[8] + losses[9] < losses[0] + losses[1], "{losses:?}");

    let pipeline = tuning.pipeline().expect("a pipeline");
    assert!(pipeline.text_encoder().unknown_words("colour 3").is_empty());
    let image = &pipeline.generate(&Request::new("colour 3").seed(1)).expect("an image")[0];
    assert_eq!((image.width(), image.settings().model.as_str()), (64, "embedded-64px, fine-tuned"));
}
