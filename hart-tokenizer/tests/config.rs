//! The tokenizer's configuration: what is defaulted and refused.

use hart_core::config::ConfigReader;
use hart_core::{Error, Grid, Result};
use hart_tokenizer::{AutoencoderConfig, QuantizerKind, SharedConvolutions};
use proptest::prelude::*;

fn autoencoder(json: &str) -> Result<AutoencoderConfig> {
    AutoencoderConfig::read(&ConfigReader::parse("tokenizer/config.json", json.as_bytes())?)
}

#[test]
fn absent_keys_take_the_official_defaults() {
    let config = autoencoder("{}").expect("defaults");
    assert_eq!((config.codebook_size, config.latent_channels), (4096, 32));
    assert_eq!(config.base_channels, 160);
    assert_eq!(config.channel_multipliers, [1, 1, 2, 2, 4]);
    assert_eq!(config.quantizer, QuantizerKind::Discrete);
    assert_eq!(config.shared_convolutions, SharedConvolutions::Partly(4));
    assert_eq!((config.downsampling(), config.image_size()), (16, Grid::square(256)));
}

#[test]
fn what_is_impossible_or_unsupported_is_refused_by_name() {
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

const KEYS: [&str; 8] = [
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
        if let Ok(config) = autoencoder(&format!("{{{}}}", pairs.join(", "))) {
            prop_assert!(config.image_size().rows >= config.scales.latent().rows);
        }
    }
}
