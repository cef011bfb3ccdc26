//! What has no recordings and must hold of any weights: images of every shape, and hooks.

mod hooks;

use std::collections::BTreeMap;
use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use burn::tensor::{Int, Tensor, TensorData};
use hart_ar::TextCondition;
use hart_core::random::SeededDraws;
use hart_core::tap::Tap;
use hart_core::{Grid, ScaleSchedule};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::{GenerationSettings, HartModel, HartPipeline, Image, Request};

type Pipeline = HartPipeline<DefaultBackend>;
type Model = HartModel<DefaultBackend>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// The toy model with its text encoder.
static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| {
    let builder = Pipeline::builder().model(fixture("hart-tiny"));
    let builder = builder.text_encoder(fixture("qwen-tiny"));
    builder.build(&default_device()).expect("a pipeline")
});

fn model() -> &'static Model {
    PIPELINE.model().expect("a loaded model")
}

/// Two encoded prompts.
fn text() -> TextCondition<DefaultBackend> {
    PIPELINE.text_encoder().encode(&["a red heart", "two cats"]).expect("contexts").text
}

fn draws() -> SeededDraws {
    SeededDraws::new([7, 8])
}

/// Chosen tokens, for tests in which tokens are put back, and a change.
fn settings(change: impl FnOnce(&mut GenerationSettings)) -> GenerationSettings {
    let mut settings = GenerationSettings::released();
    settings.smooth = false;
    change(&mut settings);
    settings
}

/// No change.
fn as_usual(_: &mut GenerationSettings) {}

/// Keeps everything that a generation offers.
#[derive(Default)]
struct Kept(BTreeMap<String, TensorData>);

impl Tap for Kept {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        self.0.insert(name.to_string(), data());
    }
}

impl Kept {
    fn get(&self, name: &str) -> &TensorData {
        self.0.get(name).unwrap_or_else(|| panic!("nothing is offered as {name}"))
    }

    fn values(&self, name: &str) -> Vec<f32> {
        self.get(name).iter::<f32>().collect()
    }
}

fn one(pipeline: &Pipeline, request: &Request) -> Image {
    pipeline.generate(request).expect("an image").remove(0)
}

fn heart() -> Request {
    Request::new("a red heart, flat style").seed(7)
}

/// Images of these sizes have them, look like something, and are the same twice.
fn assert_sizes(pipeline: &Pipeline, sizes: &[[usize; 2]]) {
    for &[width, height] in sizes {
        let request = heart().size(width, height);
        let image = one(pipeline, &request);
        assert_eq!([image.width(), image.height()], [width, height]);
        assert_eq!(image.settings().size, Some([width, height]));
        let rgb = image.pixels().rgb();
        assert_eq!(rgb.len(), width * height * 3);
        assert!(rgb.iter().any(|value| *value != rgb[0]), "{width} × {height} is all one colour");
        assert_eq!(image.pixels(), one(pipeline, &request).pixels());
    }
}

/// The trained size asked for is the same file as no size at all; its transpose is not refused.
fn assert_trained_size(pipeline: &Pipeline) {
    let Grid { rows, columns, .. } = pipeline.image_size();
    let bytes = |request: &Request| one(pipeline, request).to_png().expect("a file");
    let (usual, asked) = (bytes(&heart()), bytes(&heart().size(columns, rows)));
    assert!(usual == asked, "asking for {columns} × {rows} changed the image");
}

#[test]
fn the_toy_model_makes_images_of_any_shape() {
    assert_sizes(&PIPELINE, &[[48, 32], [32, 48], [40, 24], [24, 40], [64, 60], [20, 32]]);
}

#[test]
fn the_trained_size_changes_nothing() {
    assert_trained_size(&PIPELINE);
}

#[test]
#[cfg(feature = "embedded")]
fn the_embedded_model_makes_images_of_any_shape() {
    let pipeline = Pipeline::embedded(&default_device()).expect("the embedded model");
    assert_sizes(&pipeline, &[[96, 64], [64, 96], [80, 48], [128, 64]]);
    assert_trained_size(&pipeline);
}

#[test]
fn shapes_that_no_schedule_fits_are_refused() {
    for [width, height] in [[0, 32], [32, 0], [33, 32], [32, 30], [8, 8], [128, 128]] {
        let request = heart().size(width, height);
        assert!(PIPELINE.generate(&request).is_err(), "{width} × {height} was made");
    }
}

#[test]
fn mask_passes_cover_a_rectangle() {
    let request = heart().size(48, 28).mask_passes(3);
    let image = one(&PIPELINE, &request);
    assert_eq!([image.width(), image.height()], [48, 28]);
}

/// The schedules that the toy model is tried at.
fn schedules() -> Vec<ScaleSchedule> {
    let trained = model().transformer.scales();
    let latents = [trained.latent(), Grid::new(6, 11), Grid::new(12, 7)];
    latents.map(|latent| trained.reshaped(latent).expect("a schedule")).into()
}

/// Scale after scale with a cache, and all scales at once under the mask of training: the same
/// logits, whatever the shape.
#[test]
fn generating_and_teacher_forcing_agree_at_every_shape() {
    let (text, draws) = (text(), draws());
    let settings = settings(|settings| {
        settings.guidance = 0.0;
        settings.noise_schedule = None;
    });
    for scales in schedules() {
        let model = model().with_scales(scales.clone()).expect("another shape");
        let mut kept = Kept::default();
        model.generation(&text, &settings, &draws).tap(&mut kept).run().expect("a latent");
        let step = |scale: usize, what: &str| match scale == scales.last() {
            true => format!("pass.0.{what}"),
            false => format!("scale.{scale}.{what}"),
        };
        let indices: Vec<Tensor<DefaultBackend, 2, Int>> = (0..scales.count())
            .map(|scale| kept.get(&step(scale, "indices")).clone())
            .map(|indices| Tensor::from_data(indices, &default_device()))
            .collect();
        let images_so_far = model.tokenizer.quantizer.teacher_forcing(&indices);
        let all: Vec<usize> = (0..scales.latent().cells()).collect();
        let predicted = model.transformer.predict(&text, images_so_far, &[all.clone(), all]);
        let predicted = predicted.expect("logits of all tokens").logits;
        let mut first = 0;
        for scale in 0..scales.count() {
            let tokens = scales.tokens(scale);
            let expected = predicted.clone().narrow(1, first, tokens).into_data();
            let expected: Vec<f32> = expected.iter::<f32>().collect();
            let found = kept.values(&step(scale, "logits.guided"));
            assert_close(&found, &expected, &format!("scale {scale} of {}", scales.latent()));
            first += tokens;
        }
    }
}

/// No value further off than 1e-5 of the largest magnitude.
fn assert_close(found: &[f32], expected: &[f32], what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let magnitude = expected.iter().fold(0.0f32, |m, value| m.max(value.abs()));
    let differences = found.iter().zip(expected).map(|(a, b)| (a - b).abs());
    let largest = differences.fold(0.0f32, |m, d| if d.is_nan() || d > m { d } else { m });
    assert!(largest <= 1e-5 * magnitude, "{what}: off by {:.1e}", largest / magnitude);
}
