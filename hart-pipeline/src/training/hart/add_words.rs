//! A trained text encoder with whole tokens for more words.

use std::collections::BTreeSet;
use std::path::Path;

use hart_core::checkpoint::{LoadOptions, save_safetensors, tensors};
use hart_core::{Error, HartBackend, Result, write_atomically};
use serde_json::Value;

use super::spelling::add_tokens;
use super::words::TextFiles;
use crate::text::{NAMES, Qwen2, TextEncoderConfig, open_checkpoint};

/// Writes the text encoder in the folder `text` into the folder `to`, with a token of its own for
/// each of some words, so that a training which starts from it ([`DataSettings::start_from`]) reads
/// short prompts and learns new words faster. A new token begins as the mean of the two that it is
/// made of. Texts are cut into words as vocabularies are that [`train_hart`] learns: in small letters
/// and without punctuation. Gives how many tokens are new.
///
/// [`DataSettings::start_from`]: super::DataSettings::start_from
/// [`train_hart`]: super::train_hart
///
/// # Errors
/// [`Error::Io`], [`Error::Malformed`], [`Error::Config`] or [`Error::Weights`] when a file of the
/// text encoder is missing or damaged, or the folder cannot be written.
pub fn add_words<B: HartBackend>(
    text: &Path,
    words: &BTreeSet<String>,
    to: &Path,
    device: &B::Device,
) -> Result<usize> {
    let path = text.join("config.json");
    let config = TextEncoderConfig::open(&path)?;
    let files = TextFiles::open(text)?;
    let extended = add_tokens(&files.tokenizer, &files.config, words, config.vocabulary)?;
    let model = Qwen2::<B>::init(&config, device);
    let model = model.load(&open_checkpoint(text)?, LoadOptions::default())?;
    let model = model.with_tokens(&extended.pairs);

    let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
    let mut json: Value =
        serde_json::from_slice(&bytes).map_err(|error| Error::malformed(&path, error))?;
    json["vocab_size"] = model.vocabulary().into();
    std::fs::create_dir_all(to).map_err(|error| Error::io(to, error))?;
    write_atomically(to.join("config.json"), format!("{json:#}").as_bytes())?;
    save_safetensors(to.join("model.safetensors"), &tensors(&model, &NAMES)?)?;
    TextFiles { tokenizer: extended.tokenizer, ..files }.write(to)?;
    Ok(extended.pairs.len())
}
