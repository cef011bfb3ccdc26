//! Configurations: what is defaulted, tolerated and refused.

use hart_core::config::{
    AutoencoderConfig, ConfigReader, LevelEmbeddingKind, MlpKind, ModulationKind, PoolingKind,
    QuantizerKind, SharedConvolutions, TransformerConfig,
};
use hart_core::{Error, Result};
use proptest::prelude::*;

fn transformer(json: &str) -> Result<TransformerConfig> {
    TransformerConfig::read(&ConfigReader::parse("llm/config.json", json.as_bytes())?)
}

fn autoencoder(json: &str) -> Result<AutoencoderConfig> {
    AutoencoderConfig::read(&ConfigReader::parse("tokenizer/config.json", json.as_bytes())?)
}

#[test]
fn absent_keys_take_the_official_defaults() {
    let config = transformer(r#"{"attn_type": "llama", "an_unknown_key": [1]}"#).expect("defaults");
    assert_eq!((config.context_tokens, config.context_width), (77, 768));
    assert_eq!((config.depth, config.width, config.heads), (16, 1024, 16));
    assert_eq!((config.mlp, config.mlp_width()), (MlpKind::Gelu, 4096));
    assert_eq!(config.modulation, ModulationKind::PerBlock(PoolingKind::Max));
    assert_eq!(config.level_embedding, LevelEmbeddingKind::Table);
    assert!(!config.normalized_attention && !config.context_norm);
    assert_eq!(config.scales.sides(), [1, 2, 3, 4, 5, 6, 8, 10, 13, 16]);
    assert_eq!((config.residual_head.width, config.residual_head.depth), (1024, 6));
    assert_eq!(config.residual_head.sampling_steps, "8");

    let config = autoencoder("{}").expect("defaults");
    assert_eq!((config.codebook_size, config.latent_channels), (4096, 32));
    assert_eq!(config.base_channels, 160);
    assert_eq!(config.channel_multipliers, [1, 1, 2, 2, 4]);
    assert_eq!(config.quantizer, QuantizerKind::Discrete);
    assert_eq!(config.shared_convolutions, SharedConvolutions::Partly(4));
    assert_eq!((config.downsampling(), config.image_side()), (16, 256));
}

#[test]
fn the_gated_width_is_rounded_up_to_256() {
    let json = r#"{"attn_type": "llama", "mlp_type": "llama", "embed_dim": 1536, "num_heads": 24}"#;
    assert_eq!(transformer(json).expect("the released width").mlp_width(), 4096);
}

#[test]
fn what_is_impossible_or_unsupported_is_refused_by_name() {
    let cases = [
        ("attn_type", r#""gpt2""#),
        ("attn_type", "7"),
        ("use_cross_attn", "true"),
        ("sampler", r#""ddim""#),
        ("model_type", r#""llama""#),
        ("mlp_type", r#""swiglu""#),
        ("sep_aln_pooling_mode", r#""min""#),
        ("patch_nums", "[1, 2, 2]"),
        ("patch_nums", "[2, 3]"),
        ("patch_nums", "[1]"),
        ("patch_nums", "[]"),
        ("patch_nums", "[1, 100000]"),
        ("patch_nums", r#"[1, "2"]"#),
        ("num_heads", "7"),
        ("num_heads", "512"),
        ("num_heads", "0"),
        ("depth", "0"),
        ("depth", "-1"),
        ("depth", "1.5"),
        ("depth", "1e300"),
        ("embed_dim", "18446744073709551615"),
        ("context_token", "0"),
        ("norm_eps", "-1e-6"),
        ("mlp_ratio", "0"),
        ("mlp_ratio", "1e9"),
        ("disable_aln", r#""yes""#),
        ("num_sampling_steps", "[8]"),
        ("diff_width", "0"),
        ("cond_drop_rate", "2"),
    ];
    for (key, value) in cases {
        let attention = if key == "attn_type" { "" } else { r#""attn_type": "llama","# };
        let error = transformer(&format!(r#"{{{attention} "{key}": {value}}}"#)).expect_err(key);
        let named = matches!(&error, Error::Config { key: named, .. } if named == key);
        assert!(named, "{key} = {value}: {error}");
    }
    // The official default fails in the official code.
    assert!(transformer("{}").expect_err("no attn_type").to_string().contains("attn_type"));

    let cases = [
        ("double_decoder", "true"),
        ("quantizer_type", r#""fsq""#),
        ("ch", "100"),
        ("ch", "0"),
        ("ch_mult", "[1, 0]"),
        ("ch_mult", "[1, 1, 1, 1, 1, 1, 1, 1, 1]"),
        ("quant_conv_ks", "2"),
        ("vocab_size", "1"),
        ("vocab_size", "99999999999"),
        ("z_channels", "0"),
        ("share_quant_resi", "-1"),
        ("quant_resi", r#""half""#),
        ("v_patch_nums", "[1, 3, 2]"),
    ];
    for (key, value) in cases {
        let error = autoencoder(&format!(r#"{{"{key}": {value}}}"#)).expect_err(key);
        let named = matches!(&error, Error::Config { key: named, .. } if named == key);
        assert!(named, "{key} = {value}: {error}");
    }
}

#[test]
fn files_that_hold_no_object_are_refused() {
    for json in ["", "[]", "3", "null", "{", "{\"a\": }"] {
        assert!(matches!(transformer(json), Err(Error::Malformed { .. })), "{json:?}");
    }
}

const KEYS: [&str; 22] = [
    "attn_type",
    "context_token",
    "context_dim",
    "depth",
    "embed_dim",
    "num_heads",
    "mlp_ratio",
    "mlp_type",
    "norm_eps",
    "shared_aln",
    "disable_aln",
    "patch_nums",
    "num_sampling_steps",
    "diff_width",
    "vocab_size",
    "z_channels",
    "ch",
    "ch_mult",
    "quant_resi",
    "share_quant_resi",
    "default_qresi_counts",
    "v_patch_nums",
];

/// Any JSON value, two levels deep.
fn value() -> impl Strategy<Value = String> {
    let leaf = prop_oneof![
        any::<i64>().prop_map(|n| n.to_string()),
        any::<f64>().prop_filter("finite", |x| x.is_finite()).prop_map(|x| format!("{x:e}")),
        any::<bool>().prop_map(|flag| flag.to_string()),
        "[a-z0-9,]{0,6}".prop_map(|text| format!("\"{text}\"")),
        Just("null".to_string()),
        (0usize..70).prop_map(|n| n.to_string()),
    ];
    let list = prop::collection::vec(leaf.clone(), 0..6)
        .prop_map(|items| format!("[{}]", items.join(",")));
    prop_oneof![3 => leaf, 1 => list]
}

proptest! {
    #[test]
    fn no_values_make_the_reader_panic(
        entries in prop::collection::vec((0..KEYS.len(), value()), 0..8)
    ) {
        let pairs: Vec<_> =
            entries.iter().map(|(key, value)| format!("\"{}\": {value}", KEYS[*key])).collect();
        let json = format!("{{\"attn_type\": \"llama\", {}}}", pairs.join(", "));
        let json = json.replace(", }", "}");
        // What is accepted must be usable: sizes follow without a panic.
        if let Ok(config) = transformer(&json) {
            prop_assert!(config.head_width() * config.heads == config.width);
            prop_assert!(config.mlp_width() > 0);
        }
        if let Ok(config) = autoencoder(&json) {
            prop_assert!(config.image_side() >= config.scales.latent_side());
        }
    }
}
