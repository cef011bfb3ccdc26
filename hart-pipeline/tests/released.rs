//! The model of the released size, without making it.

use std::collections::BTreeMap;
use std::path::Path;

use hart_ar::TransformerConfig;
use hart_core::checkpoint::parameters;
use hart_core::config::ConfigReader;
use hart_diffusion::ResidualHeadConfig;
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::{HartModel, ModelConfig};
use hart_tokenizer::AutoencoderConfig;
use serde_json::Value;

fn manifest() -> Value {
    let fixtures = std::env::var_os("HART_FIXTURES").map_or_else(
        || Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures"),
        std::path::PathBuf::from,
    );
    let json = std::fs::read(fixtures.join("full_manifest.json")).expect("the manifest");
    serde_json::from_slice(&json).expect("valid JSON")
}

/// The parameters of a state dictionary, without buffers and without what begins with `left_out`.
fn recorded(dictionary: &Value, left_out: &str) -> BTreeMap<String, Vec<usize>> {
    let entries = dictionary.as_object().expect("a dictionary").iter();
    let parameters =
        entries.filter(|(name, entry)| entry["kind"] == "parameter" && !name.starts_with(left_out));
    parameters
        .map(|(name, entry)| {
            let shape = entry["shape"].as_array().expect("a shape").iter();
            let shape = shape.map(|side| side.as_u64().expect("a size") as usize);
            (name.clone(), shape.collect())
        })
        .collect()
}

#[test]
fn names_and_shapes_at_the_released_size_are_those_of_the_official_model() {
    let manifest = manifest();
    let read = |part: &str| {
        let json = manifest["config"][part].to_string();
        ConfigReader::parse("full_manifest.json", json.as_bytes()).expect("a configuration")
    };
    let config = ModelConfig::new(
        TransformerConfig::read(&read("llm")).expect("a supported transformer"),
        ResidualHeadConfig::read(&read("llm")).expect("a supported head"),
        AutoencoderConfig::read(&read("tokenizer")).expect("a supported tokenizer"),
    )
    .expect("parts that fit each other");
    let model = HartModel::<DefaultBackend>::init(&config, &default_device()).expect("a model");

    let mut ours = parameters(&model.transformer, &hart_ar::NAMES);
    ours.extend(parameters(&model.residual_head.network, &hart_diffusion::NAMES));
    assert_eq!(ours, recorded(&manifest["llm_state_dict"], "-"));
    let tokenizer = parameters(&model.tokenizer, &hart_tokenizer::NAMES);
    assert_eq!(tokenizer, recorded(&manifest["tokenizer_state_dict"], "disc."));

    let count = |all: &BTreeMap<String, Vec<usize>>| -> u64 {
        all.values().map(|shape| shape.iter().product::<usize>() as u64).sum()
    };
    assert_eq!(count(&ours), manifest["counts"]["llm total parameters"].as_u64().expect("a count"));
}
