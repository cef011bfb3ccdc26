//! The training library as a program uses it: on rectangles, stopped and continued, and fine-tuning
//! in memory.
#![cfg(all(feature = "train", feature = "flex", feature = "embedded"))]

use std::fs;
use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use hart_pipeline::backend::Flex;
use hart_pipeline::training::TrainingEvent;
use hart_pipeline::training::data::Records;
use hart_pipeline::training::fine_tune::{FineTune, FineTuneSettings, TrainableModel};
use hart_pipeline::training::hart::{self, HartExperiment, LearnerPart, train_hart};
use hart_pipeline::training::run::RunSettings;
use hart_pipeline::training::tokenizer::{self, TokenizerExperiment, train_tokenizer};
use hart_pipeline::{Grid, HartPipeline, Pixels, Request};
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
    assert!(said.contains("experiment.toml: `optimizer.learning_rate` is 0.0001"), "{said}");
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
    assert_eq!((image.width(), image.settings().model.as_str()), (32, "embedded, fine-tuned"));
}
