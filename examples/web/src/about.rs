//! What JavaScript asks of a model without an image, on every backend.

use hart_pipeline::text::UnknownWord;
use hart_pipeline::{HartBackend, HartPipeline};
use serde_json::{Value, json};

/// `width` and `height` of the images that the model was trained with, and the `words` that it knows, in the
/// order of the alphabet; null when it does not say.
pub(crate) fn about<B: HartBackend>(pipeline: &HartPipeline<B>) -> String {
    let size = pipeline.image_size();
    let words: Option<Vec<&str>> =
        pipeline.text_encoder().known_words().map(|words| words.iter().collect());
    json!({ "width": size.columns, "height": size.rows, "words": words }).to_string()
}

/// The words of a prompt that the model does not know, each with the known one that is `nearest`.
pub(crate) fn unknown<B: HartBackend>(pipeline: &HartPipeline<B>, prompt: &str) -> String {
    unknown_words(&pipeline.text_encoder().unknown_words(prompt)).to_string()
}

/// Unknown words as JSON.
pub(crate) fn unknown_words(words: &[UnknownWord]) -> Value {
    words.iter().map(|word| json!({ "word": word.word, "nearest": word.nearest })).collect()
}
