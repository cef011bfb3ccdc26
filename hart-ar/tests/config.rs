//! The transformer's configuration: what is defaulted, tolerated and refused.

use hart_ar::{LevelEmbeddingKind, MlpKind, ModulationKind, PoolingKind, TransformerConfig};
use hart_core::config::ConfigReader;
use hart_core::{Error, Grid, Result};
use proptest::prelude::*;

fn transformer(json: &str) -> Result<TransformerConfig> {
    TransformerConfig::read(&ConfigReader::parse("llm/config.json", json.as_bytes())?)
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
    let sides: Vec<usize> = config.scales.grids().iter().map(|grid| grid.rows).collect();
    assert_eq!(sides, [1, 2, 3, 4, 5, 6, 8, 10, 13, 16]);
    assert!(config.scales.grids().iter().all(|grid| grid.is_square()));
}

#[test]
fn the_gated_width_is_rounded_up_to_256() {
    let json = r#"{"attn_type": "llama", "mlp_type": "llama", "embed_dim": 1536, "num_heads": 24}"#;
    assert_eq!(transformer(json).expect("the released width").mlp_width(), 4096);
}

#[test]
fn scales_may_be_rectangles() {
    let json = r#"{"attn_type": "llama", "patch_nums": [1, [1, 2], 2, [3, 5]]}"#;
    let scales = transformer(json).expect("rectangles").scales;
    assert_eq!((scales.grid(1), scales.latent()), (Grid::new(1, 2), Grid::new(3, 5)));
    assert_eq!(scales.total_tokens(), 1 + 2 + 4 + 15);
}

#[test]
fn what_is_impossible_or_unsupported_is_refused_by_name() {
    let cases = [
        ("attn_type", r#""gpt2""#),
        ("attn_type", "7"),
        ("use_cross_attn", "true"),
        ("model_type", r#""llama""#),
        ("mlp_type", r#""swiglu""#),
        ("sep_aln_pooling_mode", r#""min""#),
        ("patch_nums", "[1, 2, 2]"),
        ("patch_nums", "[2, 3]"),
        ("patch_nums", "[1]"),
        ("patch_nums", "[]"),
        ("patch_nums", "[1, 100000]"),
        ("patch_nums", "[1, [2, 3], [3, 2]]"),
        ("patch_nums", "[1, [2, 3, 4]]"),
        ("patch_nums", "[1, [2, 2000]]"),
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
}

#[test]
fn files_that_hold_no_object_are_refused() {
    for json in ["", "[]", "3", "null", "{", "{\"a\": }"] {
        assert!(matches!(transformer(json), Err(Error::Malformed { .. })), "{json:?}");
    }
}

const KEYS: [&str; 12] = [
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
    }
}
