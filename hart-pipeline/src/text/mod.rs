//! The text encoder: prompts to the context that conditions the transformer (section 3).
//!
//! | module | what |
//! |---|---|
//! | [`tokenize`] | text to exactly T tokens, padded or cut |
//! | [`system_prompt`] | the instruction put before every prompt |
//! | [`config`], [`model`] | Qwen2 |
//! | [`TextEncoder`] | all of it, with weights |

pub mod config;
mod encoder;
pub mod model;
mod names;
pub mod system_prompt;
#[cfg(test)]
mod tests;
pub mod tokenize;
mod tokenizer_file;
pub mod words;

pub use config::TextEncoderConfig;
#[cfg(feature = "train")]
pub(crate) use encoder::EncoderParts;
pub use encoder::{EncodedPrompts, TextEncoder, TextEncoderOptions};
pub use model::Qwen2;
pub use names::NAMES;
#[cfg(feature = "fs")]
pub use names::open_checkpoint;
pub use system_prompt::SystemPrompt;
pub use tokenize::{PromptTokenizer, TokenizedPrompt};
pub use tokenizer_file::PaddingSide;
pub use words::{KnownWords, UnknownWord};
