//! The text encoder with its weights.

use std::path::Path;

use burn::tensor::backend::Backend;
use hart_ar::TextCondition;
use hart_core::checkpoint::LoadOptions;
use hart_core::{Error, HartBackend, Result};

use super::config::TextEncoderConfig;
use super::model::{Prefix, Qwen2};
use super::names::open_checkpoint;
use super::system_prompt::SystemPrompt;
use super::tokenize::{PaddingSide, PromptTokenizer, TokenizedPrompt};
use super::words::KnownWords;

/// How a text encoder is loaded.
#[derive(Debug, Clone, Default)]
pub struct TextEncoderOptions {
    /// How the weights are loaded.
    pub weights: LoadOptions,
    /// Which side of short prompts is padded; `None` for what the folder says.
    pub padding_side: Option<PaddingSide>,
    /// What is put before every prompt.
    pub system_prompt: SystemPrompt,
}

/// Qwen2 with its tokenizer and the system prompt, whose keys and values are computed once.
#[derive(Debug)]
pub struct TextEncoder<B: Backend> {
    tokenizer: PromptTokenizer,
    model: Qwen2<B>,
    prefix: Option<Prefix<B>>,
    context_tokens: usize,
    width: usize,
    words: Option<KnownWords>,
}

/// Encoded prompts, ready for the transformer.
#[derive(Debug, Clone)]
pub struct EncodedPrompts<B: Backend> {
    /// The context with its mask and positions.
    pub text: TextCondition<B>,
    /// For each prompt how many tokens it had before it was cut to the context.
    pub lengths: Vec<usize>,
}

impl<B: HartBackend> TextEncoder<B> {
    /// Loads a text encoder's folder for contexts of `context_tokens` tokens (T).
    ///
    /// # Errors
    /// [`Error::Io`], [`Error::Malformed`], [`Error::Config`] or [`Error::Weights`], each naming
    /// the file, when something is missing, damaged or does not fit; [`Error::Invalid`] for a
    /// context that the model has no positions for.
    pub fn open(
        folder: impl AsRef<Path>,
        context_tokens: usize,
        options: &TextEncoderOptions,
        device: &B::Device,
    ) -> Result<Self> {
        let folder = folder.as_ref();
        let tokenizer = PromptTokenizer::open(folder, options.padding_side)?;
        let path = folder.join("config.json");
        let config = TextEncoderConfig::open(&path)?;
        if tokenizer.vocabulary() > config.vocabulary {
            return Err(Error::Config {
                path,
                key: "vocab_size".to_string(),
                found: config.vocabulary.to_string(),
                expected: format!("at least {}, the tokenizer's entries", tokenizer.vocabulary()),
            });
        }
        if context_tokens > config.max_positions {
            let expected =
                format!("at most {}, the positions of the text model", config.max_positions);
            return Err(Error::invalid("the tokens of a context", context_tokens, expected));
        }
        let model = Qwen2::init(&config, device);
        let model = model.load(&open_checkpoint(folder)?, options.weights)?;
        let prompt = &options.system_prompt;
        let encoder = Self::new(tokenizer, model, config.width, context_tokens, prompt)?;
        Ok(Self { words: KnownWords::open(folder)?, ..encoder })
    }

    /// Puts the parts together.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a context without tokens, or when the system prompt cannot be
    /// tokenized or has tokens that the model does not know.
    pub fn new(
        tokenizer: PromptTokenizer,
        model: Qwen2<B>,
        width: usize,
        context_tokens: usize,
        system_prompt: &SystemPrompt,
    ) -> Result<Self> {
        if context_tokens == 0 {
            return Err(Error::invalid("the tokens of a context", 0, "at least 1"));
        }
        let ids = match system_prompt.text() {
            Some(text) => tokenizer.system_ids(text, context_tokens)?,
            None => vec![],
        };
        check_ids(&ids, model.vocabulary())?;
        let prefix = (!ids.is_empty()).then(|| model.prefix(&ids));
        Ok(Self { tokenizer, model, prefix, context_tokens, width, words: None })
    }

    /// The same encoder, which knows no words but these.
    pub fn with_known_words(self, words: KnownWords) -> Self {
        Self { words: Some(words), ..self }
    }

    /// The words of a prompt that the model has never seen; none when it does not say which it has
    /// seen, like the released one.
    pub fn unknown_words(&self, prompt: &str) -> Vec<String> {
        self.words.as_ref().map_or_else(Vec::new, |words| words.unknown(prompt))
    }

    /// Tokens of a context, T.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Width of the context.
    pub fn width(&self) -> usize {
        self.width
    }

    /// The tokenizer.
    pub fn tokenizer(&self) -> &PromptTokenizer {
        &self.tokenizer
    }

    /// A prompt as the tokens of its context.
    ///
    /// # Errors
    /// [`Error::Invalid`] for an empty prompt.
    pub fn tokenize(&self, prompt: &str) -> Result<TokenizedPrompt> {
        self.tokenizer.tokenize(prompt, self.context_tokens)
    }

    /// The contexts of a batch of prompts.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no prompts or an empty one.
    pub fn encode(&self, prompts: &[impl AsRef<str>]) -> Result<EncodedPrompts<B>> {
        let prompts: Result<Vec<_>> = prompts.iter().map(|p| self.tokenize(p.as_ref())).collect();
        self.encode_tokens(prompts?)
    }

    /// The contexts of tokenized prompts.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no prompts, prompts of other lengths than the context, or ids that
    /// the model does not know.
    pub fn encode_tokens(&self, prompts: Vec<TokenizedPrompt>) -> Result<EncodedPrompts<B>> {
        let fits = |prompt: &TokenizedPrompt| {
            [prompt.tokens.len(), prompt.mask.len(), prompt.positions.len()]
                == [self.context_tokens; 3]
        };
        if prompts.is_empty() || !prompts.iter().all(fits) {
            let expected = format!("at least one, each of {} tokens", self.context_tokens);
            return Err(Error::invalid("the batch of prompts", prompts.len(), expected));
        }
        for prompt in &prompts {
            check_ids(&prompt.tokens, self.model.vocabulary())?;
        }
        let tokens: Vec<_> = prompts.iter().map(|prompt| prompt.tokens.clone()).collect();
        let mask: Vec<_> = prompts.iter().map(|prompt| prompt.mask.clone()).collect();
        let context = self.model.forward(&tokens, &mask, self.prefix.as_ref(), &mut ());
        let lengths = prompts.iter().map(|prompt| prompt.length).collect();
        let positions = prompts.into_iter().map(|prompt| prompt.positions).collect();
        Ok(EncodedPrompts { text: TextCondition { context, mask, positions }, lengths })
    }
}

/// Checks that every id has a row in the embedding.
fn check_ids(ids: &[u32], vocabulary: usize) -> Result<()> {
    match ids.iter().find(|&&id| id as usize >= vocabulary) {
        Some(id) => {
            let expected = format!("less than {vocabulary}, the entries of the embedding");
            Err(Error::invalid("a token id", id, expected))
        }
        None => Ok(()),
    }
}
