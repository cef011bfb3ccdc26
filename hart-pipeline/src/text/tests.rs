//! What holds for any text encoder, on a small one with fresh weights and its own tokenizer.

use std::path::Path;

use burn::tensor::backend::Backend;
use hart_core::Error;
use hart_core::config::ConfigReader;
use serde_json::{Value, json};
use tempfile::TempDir;

use super::model::Qwen2;
use super::{
    EncodedPrompts, PaddingSide, PromptTokenizer, SystemPrompt, TextEncoder, TextEncoderConfig,
    TokenizedPrompt,
};
use crate::backend::{DefaultBackend, default_device};

/// Tokens of a context.
const LENGTH: usize = 12;

/// Byte-level BPE over lower-case letters, with one merge.
fn tokenizer_json() -> Value {
    let mut vocabulary: serde_json::Map<String, Value> =
        ('a'..='z').chain(['Ġ']).map(String::from).zip((0..).map(Value::from)).collect();
    vocabulary.insert("re".to_string(), json!(27));
    let special = json!({"id": 28, "content": "<|endoftext|>", "single_word": false,
        "lstrip": false, "rstrip": false, "normalized": false, "special": true});
    let bytes = json!({"type": "ByteLevel", "add_prefix_space": false, "trim_offsets": true,
        "use_regex": false});
    let words = json!({"type": "Split", "pattern": {"Regex": " ?\\p{L}+|\\s+"},
        "behavior": "Isolated", "invert": false});
    json!({
        "version": "1.0", "truncation": null, "padding": null, "added_tokens": [special],
        "normalizer": {"type": "NFC"},
        "pre_tokenizer": {"type": "Sequence", "pretokenizers": [words, bytes]},
        "post_processor": bytes, "decoder": bytes,
        "model": {"type": "BPE", "dropout": null, "unk_token": null,
            "continuing_subword_prefix": null, "end_of_word_suffix": null, "fuse_unk": false,
            "byte_fallback": false, "ignore_merges": false, "vocab": vocabulary,
            "merges": [["r", "e"]]},
    })
}

fn folder_with(tokenizer: &Value) -> TempDir {
    let folder = tempfile::tempdir().expect("a temporary folder");
    write(folder.path(), "tokenizer.json", tokenizer);
    folder
}

fn write(folder: &Path, name: &str, content: &Value) {
    std::fs::write(folder.join(name), content.to_string()).expect("written");
}

fn tokenizer(side: PaddingSide) -> PromptTokenizer {
    PromptTokenizer::open(folder_with(&tokenizer_json()).path(), Some(side)).expect("a tokenizer")
}

fn config(changes: &[(&str, Value)]) -> hart_core::Result<TextEncoderConfig> {
    let mut config = json!({"model_type": "qwen2", "hidden_size": 32, "intermediate_size": 64,
        "num_hidden_layers": 2, "num_attention_heads": 4, "num_key_value_heads": 2,
        "vocab_size": 29});
    for (key, value) in changes {
        config[key] = value.clone();
    }
    TextEncoderConfig::read(&ConfigReader::parse("config.json", config.to_string().as_bytes())?)
}

fn encoder(
    config: &TextEncoderConfig,
    side: PaddingSide,
    system: SystemPrompt,
) -> TextEncoder<DefaultBackend> {
    let device = default_device();
    DefaultBackend::seed(&device, 1);
    let model = Qwen2::init(config, &device);
    TextEncoder::new(tokenizer(side), model, LENGTH, &system).expect("an encoder")
}

fn rows(encoded: &EncodedPrompts<DefaultBackend>, prompt: usize) -> Vec<f32> {
    let row = encoded.text.context.clone().narrow(0, prompt, 1);
    row.into_data().into_vec().expect("32 bits")
}

#[test]
fn an_encoder_is_shared_between_threads() {
    fn shared<T: Send + Sync>() {}
    shared::<TextEncoder<DefaultBackend>>();
    shared::<EncodedPrompts<DefaultBackend>>();
}

#[test]
fn a_context_does_not_depend_on_its_batch() {
    let prompts = ["a red heart", "b", "two astronauts ride horses", "re", "a  z"];
    for side in [PaddingSide::Left, PaddingSide::Right] {
        for system in [SystemPrompt::None, SystemPrompt::Custom("describe".to_string())] {
            let encoder = encoder(&config(&[]).expect("a configuration"), side, system);
            let together = encoder.encode(&prompts).expect("contexts");
            for (i, prompt) in prompts.iter().enumerate() {
                let alone = encoder.encode(&[prompt]).expect("a context");
                assert_eq!(rows(&alone, 0), rows(&together, i), "{prompt} padded {side:?}");
            }
        }
    }
}

#[test]
fn tokens_that_attend_to_nothing_stay_finite() {
    let config = config(&[]).expect("a configuration");
    let encoder = encoder(&config, PaddingSide::Left, SystemPrompt::None);
    let encoded = encoder.encode(&["b"]).expect("a context");
    assert!(!encoded.text.mask[0][0] && encoded.text.positions[0][0] == -1);
    assert!(rows(&encoded, 0).iter().all(|value| value.is_finite()));
}

#[test]
fn heads_may_be_of_another_width_than_the_model_divides_into() {
    let config = config(&[("head_dim", json!(12))]).expect("a configuration");
    let system = SystemPrompt::Custom("describe".to_string());
    let encoded = encoder(&config, PaddingSide::Right, system).encode(&["a heart"]);
    assert_eq!(encoded.expect("a context").text.context.dims(), [1, LENGTH, 32]);
}

#[test]
fn ids_without_an_embedding_are_refused() {
    let small = config(&[("vocab_size", json!(28))]).expect("a configuration");
    let encoder = encoder(&small, PaddingSide::Right, SystemPrompt::None);
    let padded = encoder.encode(&["a"]);
    assert!(matches!(padded, Err(Error::Invalid { .. })), "the pad is id 28");
    let mut prompt: TokenizedPrompt = encoder.tokenize("abcdefghijklm").expect("tokens");
    assert_eq!(prompt.length, 13);
    encoder.encode_tokens(vec![prompt.clone()]).expect("a context");
    prompt.tokens[3] = u32::MAX;
    assert!(matches!(encoder.encode_tokens(vec![prompt]), Err(Error::Invalid { .. })));
}

#[test]
fn prompts_are_padded_or_cut_on_the_end_that_is_asked_for() {
    let (left, right) = (tokenizer(PaddingSide::Left), tokenizer(PaddingSide::Right));
    let short = left.tokenize("are", 4).expect("tokens");
    assert_eq!((short.tokens, short.positions), (vec![28, 28, 0, 27], vec![-1, -1, 0, 1]));
    let short = right.tokenize("are", 4).expect("tokens");
    assert_eq!((short.tokens, short.positions), (vec![0, 27, 28, 28], vec![0, 1, 1, 1]));
    // Cutting keeps the first tokens whatever side is padded.
    assert_eq!(left.tokenize("abcdef", 3).expect("tokens").tokens, [0, 1, 2]);
    for empty in ["", " \t\n"] {
        assert!(matches!(left.tokenize(empty, 4), Err(Error::Invalid { .. })));
    }
    let far = format!("{}are\r\n", " ".repeat(100_000));
    assert_eq!(left.tokenize(&far, 4).expect("tokens"), left.tokenize("are", 4).expect("tokens"));
    let endless = "a red heart ".repeat(10_000);
    let cut = right.tokenize(&endless, 4).expect("tokens");
    assert!(cut.length > 10_000 && cut.tokens == [0, 26, 27, 3]);
}

#[test]
fn the_folder_says_how_to_pad() {
    let folder = folder_with(&tokenizer_json());
    let open = || PromptTokenizer::open(folder.path(), None);
    assert_eq!(open().expect("a tokenizer").padding_side(), PaddingSide::Right);
    write(folder.path(), "tokenizer_config.json", &json!({"padding_side": "left"}));
    assert_eq!(open().expect("a tokenizer").padding_side(), PaddingSide::Left);
    write(folder.path(), "tokenizer_config.json", &json!({"pad_token": {"content": "z"}}));
    assert_eq!(open().expect("a tokenizer").tokenize("a", 2).expect("tokens").tokens, [0, 25]);
    for wrong in [json!({"padding_side": "middle"}), json!({"pad_token": 3})] {
        write(folder.path(), "tokenizer_config.json", &wrong);
        assert!(matches!(open(), Err(Error::Config { .. })));
    }
}

#[test]
fn cutting_and_padding_stored_with_the_tokenizer_are_not_obeyed() {
    let mut json = tokenizer_json();
    json["truncation"] = json!({"direction": "Left", "max_length": 2, "strategy": "LongestFirst",
        "stride": 5});
    json["padding"] = json!({"strategy": {"Fixed": 9}, "direction": "Left",
        "pad_to_multiple_of": null, "pad_id": 0, "pad_type_id": 0, "pad_token": "a"});
    let tokenizer = PromptTokenizer::open(folder_with(&json).path(), None).expect("a tokenizer");
    assert_eq!(tokenizer.ids("abcd").expect("ids"), [0, 1, 2, 3]);
}

#[test]
fn a_damaged_tokenizer_is_an_error_and_not_a_panic() {
    let parts = [
        ("normalizer", json!({"type": "Precompiled", "precompiled_charsmap": "AAAA"})),
        ("normalizer", json!({"type": "Replace", "pattern": {"String": ""}, "content": "aa"})),
        ("pre_tokenizer", json!({"type": "FixedLength", "length": 0})),
        (
            "post_processor",
            json!({"type": "TemplateProcessing",
            "single": [{"SpecialToken": {"id": "x", "type_id": 0}}], "pair": [],
            "special_tokens": {}}),
        ),
        ("decoder", json!({"type": "Strip", "content": "a", "start": 9, "stop": 9})),
    ];
    for (place, part) in parts {
        let mut json = tokenizer_json();
        json[place] = part;
        let opened = PromptTokenizer::open(folder_with(&json).path(), None);
        assert!(matches!(opened, Err(Error::Malformed { .. })), "{place}");
    }
    let values = [json!(null), json!(-1), json!(u32::MAX), json!("(("), json!({}), json!([])];
    for path in places(&tokenizer_json(), "") {
        for value in &values {
            let mut json = tokenizer_json();
            *json.pointer_mut(&path).expect("a place that was listed") = value.clone();
            // Some changes are harmless; none may panic, at opening or when text comes.
            if let Ok(tokenizer) = PromptTokenizer::open(folder_with(&json).path(), None) {
                let _ = tokenizer.tokenize("a red <|endoftext|> héart", 4);
                let _ = tokenizer.text(&[0, 27, 28, 29, u32::MAX]);
            }
        }
    }
}

/// The JSON pointers of everything in a value but the vocabulary's further entries.
fn places(value: &Value, path: &str) -> Vec<String> {
    let children: Vec<(String, &Value)> = match value {
        Value::Object(map) => map.iter().take(12).map(|(key, v)| (key.clone(), v)).collect(),
        Value::Array(list) => list.iter().enumerate().map(|(i, v)| (i.to_string(), v)).collect(),
        _ => vec![],
    };
    let below = children.into_iter().flat_map(|(key, child)| {
        let path = format!("{path}/{key}");
        let deeper = places(child, &path);
        std::iter::once(path).chain(deeper)
    });
    below.collect()
}

#[test]
fn the_rotary_base_is_found_where_old_and_new_folders_keep_it() {
    let base = |changes: &[(&str, Value)]| config(changes).map(|config| config.rotary_base);
    assert_eq!(base(&[]).expect("the default"), 1e4);
    assert_eq!(base(&[("rope_theta", json!(1e6))]).expect("its own key"), 1e6);
    let nested = json!({"rope_type": "default", "rope_theta": 5e5});
    assert_eq!(base(&[("rope_parameters", nested)]).expect("the parameters"), 5e5);
    let vision = config(&[("model_type", json!("qwen2_vl"))]).expect("a configuration");
    assert_eq!((vision.rotary_base, vision.norm_epsilon), (1e6, 1e-5));
    let multimodal = json!({"type": "mrope", "mrope_section": [1, 1, 2]});
    base(&[("rope_scaling", multimodal)]).expect("plain for text");
}

#[test]
fn impossible_configurations_are_refused_by_name() {
    let cases = [
        ("model_type", json!("gemma2")),
        ("hidden_act", json!("gelu")),
        ("num_attention_heads", json!(3)),
        ("num_attention_heads", json!(32)),
        ("num_key_value_heads", json!(3)),
        ("head_dim", json!(7)),
        ("use_sliding_window", json!(true)),
        ("rope_scaling", json!({"type": "yarn", "factor": 4.0})),
        ("rope_scaling", json!({"factor": 4.0})),
        ("rope_scaling", json!("mrope")),
        ("rope_parameters", json!({"rope_type": "yarn"})),
        ("rope_parameters", json!({"rope_theta": -1})),
        ("hidden_size", json!(0)),
        ("max_position_embeddings", json!(0)),
    ];
    for (wrong, value) in cases {
        let found = config(&[(wrong, value.clone())]);
        assert!(
            matches!(&found, Err(Error::Config { key, .. }) if key == wrong),
            "{wrong} {value}: {found:?}"
        );
    }
}
