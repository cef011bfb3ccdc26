//! Which files of a repository are read.

use std::collections::BTreeSet;

use crate::model::TransformerWeights;
use crate::text::words::{SYNONYMS, WORDS};

/// The weights that a folder has in shards are listed in this file.
const INDEX: &str = "model.safetensors.index.json";

/// Files to fetch. Small ones come first: a mistake in them should not wait for gigabytes.
#[derive(Debug, Default, PartialEq, Eq)]
pub(super) struct Wanted {
    /// Configurations, vocabularies and indices of shards.
    pub(super) small: Vec<String>,
    /// Those of them that are indices, whose shards are wanted too.
    pub(super) indices: Vec<String>,
    /// Weights.
    pub(super) large: Vec<String>,
}

/// Files of a repository by their names; a name that is needed and not there is the error.
struct Picker<'a> {
    listed: &'a BTreeSet<String>,
    wanted: Wanted,
}

/// What a model needs; with its own text encoder, if it has one and `with_text` is set.
pub(super) fn of_model(
    listed: &BTreeSet<String>,
    weights: TransformerWeights,
    with_text: bool,
) -> Result<Wanted, String> {
    let mut picker = Picker { listed, wanted: Wanted::default() };
    picker.needs("llm/config.json")?;
    picker.needs("tokenizer/config.json")?;
    picker.takes("generation.json");
    let mean = "llm/ema_model.bin".to_string();
    let takes_mean = match weights {
        TransformerWeights::Auto => listed.contains(&mean),
        weights => weights == TransformerWeights::Ema,
    };
    if !takes_mean {
        picker.weights("llm/")?;
    } else if listed.contains(&mean) {
        picker.wanted.large.push(mean);
    } else {
        return Err(mean);
    }
    picker.weights("tokenizer/")?;
    if with_text && has_text(listed) {
        picker.text("text/")?;
    }
    Ok(picker.wanted)
}

/// What a text encoder needs.
pub(super) fn of_text_encoder(listed: &BTreeSet<String>) -> Result<Wanted, String> {
    let mut picker = Picker { listed, wanted: Wanted::default() };
    picker.text("")?;
    Ok(picker.wanted)
}

/// Whether a model brings its own text encoder.
pub(super) fn has_text(listed: &BTreeSet<String>) -> bool {
    listed.contains("text/config.json")
}

impl Picker<'_> {
    fn needs(&mut self, name: &str) -> Result<(), String> {
        if self.takes(name) { Ok(()) } else { Err(name.to_string()) }
    }

    fn takes(&mut self, name: &str) -> bool {
        let is_there = self.listed.contains(name);
        if is_there {
            self.wanted.small.push(name.to_string());
        }
        is_there
    }

    fn text(&mut self, folder: &str) -> Result<(), String> {
        self.needs(&format!("{folder}config.json"))?;
        self.needs(&format!("{folder}tokenizer.json"))?;
        self.takes(&format!("{folder}tokenizer_config.json"));
        self.takes(&format!("{folder}{WORDS}"));
        self.takes(&format!("{folder}{SYNONYMS}"));
        self.weights(folder)
    }

    /// The weights in a folder, as `Checkpoint::open_folder` looks for them.
    fn weights(&mut self, folder: &str) -> Result<(), String> {
        let index = format!("{folder}{INDEX}");
        if self.takes(&index) {
            self.wanted.indices.push(index);
            return Ok(());
        }
        let whole = format!("{folder}model.safetensors");
        if !self.listed.contains(&whole) {
            return Err(whole);
        }
        self.wanted.large.push(whole);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn listed(names: &str) -> BTreeSet<String> {
        names.split_whitespace().map(str::to_string).collect()
    }

    const RELEASED: &str = "README.md llm/config.json llm/ema_model.bin llm/model.safetensors \
                            tokenizer/config.json tokenizer/model.safetensors";

    #[test]
    fn one_of_two_weight_files_is_fetched() {
        let large = |weights| {
            of_model(&listed(RELEASED), weights, true).map(|wanted| wanted.large[0].clone())
        };
        assert_eq!(large(TransformerWeights::Auto), Ok("llm/ema_model.bin".to_string()));
        assert_eq!(large(TransformerWeights::Ema), Ok("llm/ema_model.bin".to_string()));
        assert_eq!(large(TransformerWeights::Raw), Ok("llm/model.safetensors".to_string()));
    }

    #[test]
    fn a_model_may_bring_its_text_encoder_in_shards() {
        let text = "text/config.json text/tokenizer.json text/words.txt text/synonyms.json \
                    text/model.safetensors.index.json text/model-00001-of-00002.safetensors";
        let listed = listed(&format!("{RELEASED} {text} generation.json"));
        let wanted = of_model(&listed, TransformerWeights::Auto, true).expect("all is there");
        assert_eq!(wanted.indices, ["text/model.safetensors.index.json"]);
        for name in ["text/words.txt", "text/synonyms.json"] {
            assert!(wanted.small.contains(&name.to_string()), "{name}");
        }
        let alone = of_model(&listed, TransformerWeights::Auto, false).expect("all is there");
        assert_eq!(alone.small.iter().filter(|name| name.starts_with("text/")).count(), 0);
        assert!(alone.small.contains(&"generation.json".to_string()));
    }

    #[test]
    fn what_is_missing_is_named() {
        let missing = |names: &str, weights| of_model(&listed(names), weights, true).unwrap_err();
        let auto = TransformerWeights::Auto;
        assert_eq!(missing("config.json", auto), "llm/config.json");
        let raw = RELEASED.replace("llm/ema_model.bin", "");
        assert_eq!(missing(&raw, TransformerWeights::Ema), "llm/ema_model.bin");
        assert_eq!(missing(&raw.replace("llm/model", "llm/m"), auto), "llm/model.safetensors");
        assert_eq!(of_text_encoder(&listed("config.json")).unwrap_err(), "tokenizer.json");
    }
}
