//! How words are spelled in tokens: in small letters, each with a blank before it and without
//! punctuation, so that `cat`, `a cat` and `CAT!` have the same token.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::path::Path;

use hart_core::{Error, Result};
use serde::Serialize;
use serde_json::{Value, json};
use tokenizers::models::bpe::{BPE, BpeTrainer};
use tokenizers::normalizers::{Lowercase, NFC, Sequence as Normalizers};
use tokenizers::pre_tokenizers::byte_level::ByteLevel;
use tokenizers::pre_tokenizers::sequence::Sequence;
use tokenizers::pre_tokenizers::split::{Split, SplitPattern};
use tokenizers::{AddedToken, SplitDelimiterBehavior, TokenizerBuilder};

use crate::text::PromptTokenizer;

/// What is between words, as a regular expression.
const APART: &str = r"[\p{P}\s]+";
/// What errors call a tokenizer's file.
const FILE: &str = "tokenizer.json";

/// What is done to a text first.
fn normalizer() -> Normalizers {
    Normalizers::new(vec![NFC.into(), Lowercase.into()])
}

/// How a text is cut into words, and those into bytes.
fn pre_tokenizer() -> Result<Sequence, tokenizers::Error> {
    let apart = SplitPattern::Regex(APART.to_string());
    let apart = Split::new(apart, SplitDelimiterBehavior::Removed, false)?;
    Ok(Sequence::new(vec![apart.into(), ByteLevel::new(true, true, false).into()]))
}

/// Byte-level BPE over captions, `vocabulary` tokens at most, `pad` among them: the content of
/// `tokenizer.json`.
///
/// # Errors
/// [`Error::Invalid`] for captions that nothing can be learned from.
pub(super) fn learn(captions: &[String], vocabulary: usize, pad: &str) -> Result<Vec<u8>> {
    let failed = |error: tokenizers::Error| {
        Error::invalid("the captions", error, "text that a tokenizer can be learned from")
    };
    let mut trainer = BpeTrainer::builder()
        .vocab_size(vocabulary)
        .min_frequency(2)
        .special_tokens(vec![AddedToken::from(pad, true)])
        .initial_alphabet(ByteLevel::alphabet().into_iter().collect())
        .show_progress(false)
        .build();
    let mut tokenizer = TokenizerBuilder::new()
        .with_model(BPE::default())
        .with_normalizer(Some(normalizer()))
        .with_pre_tokenizer(Some(pre_tokenizer().map_err(failed)?))
        .with_post_processor(Some(ByteLevel::new(false, false, true)))
        .with_decoder(Some(ByteLevel::new(true, true, false)))
        .build()
        .map_err(failed)?;
    tokenizer.train(&mut trainer, captions.iter()).map_err(failed)?;
    Ok(tokenizer.to_string(false).map_err(failed)?.into_bytes())
}

/// A tokenizer's file with new tokens.
#[derive(Debug)]
pub(super) struct Extended {
    /// The content of `tokenizer.json`.
    pub(super) tokenizer: Vec<u8>,
    /// The two tokens that each new one is made of, in the order of the new ones.
    pub(super) pairs: Vec<[usize; 2]>,
}

/// The tokens of a file, and how they are made of others.
struct Vocabulary {
    ids: BTreeMap<String, usize>,
    texts: BTreeMap<usize, String>,
    merges: Vec<[String; 2]>,
    known: HashSet<[String; 2]>,
}

/// Gives words tokens of their own, which are numbered from `next`, by further merges after those of
/// the file, and cuts texts as [`learn`] does. `config` is the content of `tokenizer_config.json`.
///
/// # Errors
/// [`Error::Malformed`] when the file is not a byte-level BPE tokenizer.
pub(super) fn add_tokens(
    tokenizer: &[u8],
    config: &[u8],
    words: &BTreeSet<String>,
    next: usize,
) -> Result<Extended> {
    let malformed = |problem: &dyn std::fmt::Display| Error::malformed(FILE, problem);
    let mut file: Value = serde_json::from_slice(tokenizer).map_err(|error| malformed(&error))?;
    let mut vocabulary = Vocabulary::of(&file)?;
    file["normalizer"] = value(&normalizer())?;
    file["pre_tokenizer"] = value(&pre_tokenizer().map_err(|error| malformed(&error))?)?;
    let (mut pairs, mut is_changed) = (vec![], true);
    let mut prompts = PromptTokenizer::parse(tokenizer, config)?;
    for word in words {
        if is_changed {
            vocabulary.write(&mut file["model"]);
            prompts = PromptTokenizer::parse(file.to_string().as_bytes(), config)?;
        }
        let ids: Vec<usize> = prompts.ids(word)?.into_iter().map(|id| id as usize).collect();
        is_changed = ids.len() > 1;
        let mut pieces = ids.into_iter();
        let Some(mut one) = pieces.next() else { continue };
        for other in pieces {
            one = vocabulary.join([one, other], next, &mut pairs).ok_or_else(|| {
                malformed(&format!("`{word}` has a token that the vocabulary has not"))
            })?;
        }
    }
    vocabulary.write(&mut file["model"]);
    Ok(Extended { tokenizer: format!("{file:#}").into_bytes(), pairs })
}

impl Vocabulary {
    fn of(file: &Value) -> Result<Self> {
        let malformed = || Error::malformed(FILE, "expected a byte-level BPE model");
        let model = file.get("model").ok_or_else(malformed)?;
        let ids = model["vocab"].as_object().ok_or_else(malformed)?.iter().map(|(token, id)| {
            let id = id.as_u64().ok_or_else(malformed)?;
            Ok((token.clone(), id as usize))
        });
        let ids = ids.collect::<Result<BTreeMap<String, usize>>>()?;
        // How such a vocabulary writes a blank.
        if !ids.contains_key("Ġ") {
            return Err(malformed());
        }
        let merge = |merge: &Value| match merge {
            Value::String(text) => {
                text.split_once(' ').map(|(one, other)| [one.to_string(), other.to_string()])
            }
            pair => serde_json::from_value(pair.clone()).ok(),
        };
        let merges = model["merges"].as_array().ok_or_else(malformed)?;
        let merges: Vec<[String; 2]> =
            merges.iter().map(|value| merge(value).ok_or_else(malformed)).collect::<Result<_>>()?;
        let texts = ids.iter().map(|(text, id)| (*id, text.clone())).collect();
        let known = merges.iter().cloned().collect();
        Ok(Self { ids, texts, merges, known })
    }

    /// The token of two tokens that follow each other, a new one if there is none yet. `None` when
    /// one of the two is not in the vocabulary.
    fn join(
        &mut self,
        pair: [usize; 2],
        next: usize,
        pairs: &mut Vec<[usize; 2]>,
    ) -> Option<usize> {
        let [one, other] = pair.map(|id| self.texts.get(&id).cloned());
        let merge = [one?, other?];
        let text = merge.concat();
        if self.known.insert(merge.clone()) {
            self.merges.push(merge);
        }
        if let Some(id) = self.ids.get(&text) {
            return Some(*id);
        }
        let id = next + pairs.len();
        pairs.push(pair);
        self.ids.insert(text.clone(), id);
        self.texts.insert(id, text);
        Some(id)
    }

    fn write(&self, model: &mut Value) {
        model["vocab"] = json!(self.ids);
        model["merges"] = json!(self.merges);
    }
}

fn value(part: &impl Serialize) -> Result<Value> {
    serde_json::to_value(part).map_err(|error| Error::malformed(Path::new(FILE), error))
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use super::{add_tokens, learn};
    use crate::text::PromptTokenizer;

    const CONFIG: &[u8] = br#"{"pad_token": "<pad>"}"#;

    fn ids(file: &[u8], text: &str) -> Vec<u32> {
        PromptTokenizer::parse(file, CONFIG).expect("a tokenizer").ids(text).expect("ids")
    }

    #[test]
    fn words_get_tokens_of_their_own_and_the_others_keep_theirs() {
        let captions = ["a cat", "a car", "a hat", "cat", "car", "hat"].map(String::from);
        let file = learn(&captions, 265, "<pad>").expect("a tokenizer");
        let next = PromptTokenizer::parse(&file, CONFIG).expect("a tokenizer").vocabulary();
        let words = ["carpet", "cartoon", "hat", "petal", "äpfel", "Ökologie", "a"];
        let lower: BTreeSet<String> = words.iter().map(|word| word.to_lowercase()).collect();
        let extended = add_tokens(&file, CONFIG, &lower, next).expect("a tokenizer");
        for word in words {
            assert_eq!(ids(&extended.tokenizer, word).len(), 1, "{word}");
            let found = ids(&extended.tokenizer, &format!("A {word}, {}!", word.to_uppercase()));
            assert_eq!(found[1], ids(&extended.tokenizer, word)[0], "{word}");
        }
        for word in ["a", "hat", "car", "cat"] {
            assert_eq!(ids(&extended.tokenizer, word), ids(&file, word), "{word}");
        }
        let prompts = PromptTokenizer::parse(&extended.tokenizer, CONFIG).expect("a tokenizer");
        assert_eq!(prompts.vocabulary(), next + extended.pairs.len());
        // A new token is written like the two it is made of.
        for (place, pair) in extended.pairs.iter().enumerate() {
            let text = |id: usize| prompts.text(&[id as u32]).expect("a token");
            let both = prompts.text(&pair.map(|id| id as u32)).expect("two tokens");
            assert!(pair.iter().all(|id| *id < next + place));
            assert_eq!(text(next + place), both);
        }
        // With tokens of their own already, nothing changes.
        let again = add_tokens(&extended.tokenizer, CONFIG, &lower, 9999).expect("a tokenizer");
        assert!(again.pairs.is_empty() && again.tokenizer == extended.tokenizer);
    }

    #[test]
    fn what_is_no_such_tokenizer_is_refused() {
        for file in ["{}", "[]", r#"{"model": {"vocab": {"a": "b"}, "merges": []}}"#] {
            assert!(add_tokens(file.as_bytes(), CONFIG, &BTreeSet::new(), 9).is_err(), "{file}");
        }
    }
}
