//! Prepared layers compute what plain ones do, and return an error when they are asked for weights
//! that they no longer have.
#![cfg(feature = "flex")]

use burn::backend::Flex;
use burn::module::Module;
use burn::tensor::backend::Backend;
use burn::tensor::{Distribution, Tensor};
use hart_core::checkpoint::{LoadOptions, NameTable, cast, tensors};
use hart_core::initialize::{Start, initialize};
use hart_core::nn::{Convolution, ConvolutionConfig, Linear, Prepare};
use hart_core::{Error, Precision, Result, walk};

#[derive(Module, Debug)]
struct Layers<B: Backend> {
    words: Linear<B>,
    map: Convolution<B>,
}

const NAMES: NameTable = NameTable {
    part: "the module",
    scope: "",
    rows: &[],
    ignored: &[],
    full_precision: &[],
    rounded: &[],
};

fn plain() -> Layers<Flex> {
    let device = Default::default();
    let map = ConvolutionConfig { channels: [2, 3], kernel: 3, padding: [0, 0, 1, 1], stride: 2 };
    let layers = Layers { words: Linear::init(5, 4, &device), map: map.init(&device) };
    initialize(layers, 1, &|_, _| Start::Normal(1.0)).expect("plain weights")
}

fn prepared() -> Layers<Flex> {
    let mut layers = plain();
    layers.words.prepare(Precision::F32);
    layers.map.prepare(Precision::F32);
    layers
}

fn assert_prepared<T>(result: Result<T>, what: &str) {
    let error = result.map(drop).expect_err(what);
    assert!(matches!(error, Error::Invalid { .. }), "{what}: {error}");
    assert!(error.to_string().contains("prepared"), "{what}: {error}");
}

#[test]
fn preparing_changes_no_result() {
    let device = Default::default();
    let (plain, prepared) = (plain(), prepared());
    let rows = Tensor::<Flex, 3>::random([2, 7, 5], Distribution::Default, &device);
    let difference = plain.words.forward(rows.clone()) - prepared.words.forward(rows);
    assert!(difference.abs().max().into_scalar() < 1e-5);
    let maps = Tensor::<Flex, 4>::random([2, 2, 6, 8], Distribution::Default, &device);
    let difference = plain.map.forward(maps.clone()) - prepared.map.forward(maps);
    assert!(difference.abs().max().into_scalar() < 1e-5);
}

#[test]
fn parameters_are_found_at_the_paths_of_their_fields() {
    let found = walk::parameters(&plain()).into_iter();
    let found: Vec<_> =
        found.map(|p| (p.place.path(), p.place.container().to_string(), p.shape)).collect();
    let expected = [
        ("words.weight", "Struct:Linear", vec![5, 4]),
        ("words.bias", "Struct:Linear", vec![4]),
        ("map.weight", "Struct:Convolution", vec![3, 2, 3, 3]),
        ("map.bias", "Struct:Convolution", vec![3]),
    ]
    .map(|(path, container, shape)| (path.to_string(), container.to_string(), shape));
    assert_eq!(found, expected);
}

#[test]
fn prepared_layers_give_errors_and_no_half_of_their_weights() {
    let options = LoadOptions { precision: Precision::Bf16, prepare: false };
    assert_prepared(prepared().words.weight(), "weights of a linear layer");
    assert_prepared(prepared().map.weight(), "weights of a convolution");
    assert_prepared(prepared().words.map_weight(|weight| weight * 2.0), "other weights");
    assert_prepared(prepared().map.scale(2.0, 1.0), "scaled weights");
    assert_prepared(tensors(&prepared(), &NAMES), "tensors to be saved");
    assert_prepared(cast(prepared(), &NAMES, options), "another type");
    assert_prepared(initialize(prepared(), 1, &|_, _| Start::Constant(0.0)), "fresh weights");
    let error = tensors(&prepared(), &NAMES).expect_err("no weights").to_string();
    assert!(error.contains("`words.weight`"), "{error}");
}

#[test]
fn a_record_brings_the_weights_of_a_prepared_layer_back() {
    let weight = plain().words.weight().expect("plain weights").into_data();
    let restored = prepared().load_record(plain().into_record());
    assert_eq!(restored.words.weight().expect("plain weights").into_data(), weight);
    // The record of a prepared layer holds no weights; it takes none away.
    let kept = plain().load_record(prepared().into_record());
    assert_eq!(kept.words.weight().expect("plain weights").into_data(), weight);
}
