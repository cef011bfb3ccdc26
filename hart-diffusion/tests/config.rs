//! The residual head's configuration: what is defaulted and refused.

use hart_core::config::ConfigReader;
use hart_core::{Error, Result};
use hart_diffusion::ResidualHeadConfig;

fn head(json: &str) -> Result<ResidualHeadConfig> {
    ResidualHeadConfig::read(&ConfigReader::parse("llm/config.json", json.as_bytes())?)
}

#[test]
fn absent_keys_take_the_official_defaults() {
    let config = head("{}").expect("defaults");
    assert_eq!((config.width, config.depth, config.training_repeats), (1024, 6, 4));
    assert_eq!(config.sampling_steps, "8");
    assert_eq!(head(r#"{"num_sampling_steps": 5}"#).expect("a number").sampling_steps, "5");
}

#[test]
fn what_is_impossible_or_unsupported_is_refused_by_name() {
    let cases = [
        ("sampler", r#""ddim""#),
        ("num_sampling_steps", "[8]"),
        ("diff_width", "0"),
        ("diff_depth", "-1"),
        ("diffusion_batch_mul", "1.5"),
    ];
    for (key, value) in cases {
        let error = head(&format!(r#"{{"{key}": {value}}}"#)).expect_err(key);
        let named = matches!(&error, Error::Config { key: named, .. } if named == key);
        assert!(named, "{key} = {value}: {error}");
    }
}
