//! What 8-bit matrices do to a model.

use burn::tensor::{Tensor, TensorData};
use hart_ar::cache::Keep;
use hart_ar::{Halves, Hidden, ScaleStep, Session, TextCondition};
use hart_core::checkpoint::LoadOptions;
use hart_core::random::{Draws, SeededDraws};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::{HartModel, Precision, TransformerWeights};

use crate::{build, builder, fixture, heart};

/// Guidance of the release.
const GUIDANCE: f64 = 4.5;
/// The least ratio of the logits to their error, in decibels.
const LEAST: f64 = 30.0;

/// Normal values of a seed.
fn values<const D: usize>(seed: u64, shape: [usize; D]) -> Tensor<DefaultBackend, D> {
    let mut values = vec![0.0; shape.iter().product()];
    SeededDraws::new([seed]).diffusion_start(0, 0, &mut values);
    Tensor::from_data(TensorData::new(values, shape), &default_device())
}

/// The guided logits of all scales, each fed with an image so far that follows from a seed.
fn guided_logits(name: &str, precision: Precision) -> Vec<f64> {
    let options = LoadOptions { precision, prepare: true };
    let model = HartModel::<DefaultBackend>::open(
        fixture(name),
        TransformerWeights::Ema,
        options,
        &default_device(),
    );
    let model = model.expect("a model");
    let transformer = &model.transformer;
    let config = transformer.config().clone();
    let (tokens, scales) = (config.context_tokens, &config.scales);
    let text = TextCondition {
        context: values(1, [1, tokens, config.context_width]),
        mask: vec![vec![true; tokens]],
        positions: vec![(0..tokens as i64).collect()],
    };
    let channels = model.tokenizer.quantizer.codebook_shape()[1];
    let session = Session::new(transformer, &text, 0, Halves::Both, &mut ());
    let mut session = session.expect("a session");
    let mut logits = vec![];
    let mut add = |session: &Session<'_, DefaultBackend>, hidden: Hidden<DefaultBackend>| {
        let guided = session.guided_logits(&hidden, GUIDANCE).expect("logits");
        logits.extend(guided.into_data().iter::<f64>());
    };
    let hidden = session.context_step(&mut ()).expect("the first step");
    add(&session, hidden);
    for scale in 1..scales.count() {
        let count = scales.tokens(scale);
        let keep = if scale == scales.last() { Keep::No } else { Keep::Yes };
        let image = values(1 + scale as u64, [1, count, channels]);
        let positions = [(0..count).collect()];
        let step = ScaleStep::whole(scale, &positions, keep, Halves::Both);
        let hidden = session.scale_step(step, image, &mut ()).expect("a step");
        add(&session, hidden);
    }
    logits
}

#[test]
fn guided_logits_stay_near_those_of_floats() {
    for name in ["hart-tiny", "hart-tiny-b", "hart-tiny-c"] {
        let exact = guided_logits(name, Precision::F32);
        let found = guided_logits(name, Precision::Int8);
        let power: f64 = exact.iter().map(|value| value * value).sum();
        let error: f64 = exact.iter().zip(&found).map(|(a, b)| (a - b) * (a - b)).sum();
        let ratio = 10.0 * (power / error).log10();
        assert!(ratio.is_finite(), "{name}: integers and floats cannot be all the same");
        assert!(ratio >= LEAST, "{name}: {ratio:.1} dB, expected at least {LEAST}");
    }
}

#[test]
fn an_image_in_int8_is_the_same_every_time() {
    let pipeline = build(builder().precision(Precision::Int8)).expect("a pipeline");
    let image = || pipeline.generate(&heart()).expect("an image")[0].pixels().clone();
    assert_eq!(image(), image());
}
