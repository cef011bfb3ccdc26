//! Whole runs: a model of rectangles, and one taught in memory.

use hart_pipeline::backend::Flex;
use hart_pipeline::training::TrainingEvent;
use hart_pipeline::training::data::Records;
use hart_pipeline::training::fine_tune::{FineTune, FineTuneSettings, TrainableModel};
use hart_pipeline::training::hart::{LearnerPart, train_hart};
use hart_pipeline::training::tokenizer::train_tokenizer;
use hart_pipeline::{Grid, HartPipeline, Request};
use std::ops::ControlFlow;

use crate::{hart_experiment, images, tokenizer_experiment};

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
