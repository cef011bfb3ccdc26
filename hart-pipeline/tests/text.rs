//! The text encoder's folder: what is read, what is refused, what padding does.

use std::path::{Path, PathBuf};

use hart_core::config::ConfigReader;
use hart_core::{Error, Result};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::text::{
    PaddingSide, PromptTokenizer, SystemPrompt, TextEncoder, TextEncoderConfig, TextEncoderOptions,
};
use proptest::prelude::*;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn encoder(folder: &Path, options: &TextEncoderOptions) -> Result<TextEncoder<DefaultBackend>> {
    TextEncoder::open(folder, 12, options, &default_device())
}

/// A copy of the text encoder's folder that can be damaged.
fn copy() -> tempfile::TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    for entry in std::fs::read_dir(fixture("qwen-tiny")).expect("a folder").flatten() {
        std::fs::copy(entry.path(), folder.path().join(entry.file_name())).expect("a copy");
    }
    folder
}

#[test]
fn the_padding_side_and_the_system_prompt_change_the_context() {
    let context = |options: TextEncoderOptions| {
        let encoder = encoder(&fixture("qwen-tiny"), &options).expect("an encoder");
        encoder.encode(&["hi"]).expect("a context").text.context.into_data()
    };
    let plain = context(Default::default());
    let left = TextEncoderOptions { padding_side: Some(PaddingSide::Left), ..Default::default() };
    assert_ne!(context(left), plain);
    let custom = SystemPrompt::Custom("Paint:".to_string());
    assert_ne!(context(TextEncoderOptions { system_prompt: custom, ..Default::default() }), plain);
}

#[test]
fn a_missing_shard_or_file_is_named() {
    for file in ["config.json", "tokenizer.json", "model-00002-of-00002.safetensors"] {
        let folder = copy();
        std::fs::remove_file(folder.path().join(file)).expect("a file to remove");
        let error = encoder(folder.path(), &Default::default()).map(|_| ()).expect_err(file);
        assert!(error.to_string().contains(file), "{error}");
    }
}

#[test]
fn a_vocabulary_larger_than_the_embedding_is_refused() {
    let folder = copy();
    let path = folder.path().join("config.json");
    let config = std::fs::read_to_string(&path).expect("a configuration");
    std::fs::write(&path, config.replace("\"vocab_size\": 428", "\"vocab_size\": 400"))
        .expect("written");
    let error = encoder(folder.path(), &Default::default()).map(|_| ()).expect_err("too few rows");
    assert!(matches!(&error, Error::Config { key, .. } if key == "vocab_size"), "{error}");
}

#[test]
fn the_multimodal_model_is_read_as_a_language_model() {
    let json = br#"{"model_type": "qwen2_vl", "hidden_size": 1536, "num_attention_heads": 12,
        "num_key_value_heads": 2, "num_hidden_layers": 28, "intermediate_size": 8960,
        "rope_theta": 1000000.0, "rope_scaling": {"type": "mrope", "mrope_section": [16, 24, 24]},
        "use_sliding_window": false, "vision_config": {"depth": 32}}"#;
    let file = ConfigReader::parse("config.json", json).expect("JSON");
    let config = TextEncoderConfig::read(&file).expect("a supported configuration");
    assert_eq!((config.head_width, config.depth, config.key_value_heads), (128, 28, 2));
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    #[test]
    fn every_text_with_a_visible_character_has_as_many_tokens_as_asked(
        text in "\\PC{1,80}", length in 1usize..40, left in any::<bool>()
    ) {
        prop_assume!(!text.trim().is_empty());
        let side = if left { PaddingSide::Left } else { PaddingSide::Right };
        let tokenizer = PromptTokenizer::open(fixture("qwen-tiny"), Some(side)).expect("a tokenizer");
        let prompt = tokenizer.tokenize(&text, length).expect("tokens");
        prop_assert_eq!(prompt.tokens.len(), length);
        let valid = prompt.mask.iter().filter(|valid| **valid).count() as i64;
        prop_assert_eq!(*prompt.positions.last().expect("a position"), valid - 1);
    }
}
