//! The text encoder with its weights.

use std::ops::Range;
#[cfg(feature = "fs")]
use std::path::Path;

use burn::tensor::{Tensor, backend::Backend};
use hart_ar::TextCondition;
use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::{Error, HartBackend, Result};

use super::config::TextEncoderConfig;
use super::model::{Prefix, Qwen2};
#[cfg(feature = "fs")]
use super::names::open_checkpoint;
use super::system_prompt::SystemPrompt;
use super::tokenize::{PromptTokenizer, TokenizedPrompt};
use super::tokenizer_file::PaddingSide;
use super::words::{KnownWords, UnknownWord};

/// How a text encoder is loaded.
#[derive(Debug, Clone, Default)]
pub struct TextEncoderOptions {
    /// How the weights are loaded.
    pub weights: LoadOptions,
    /// Which side of short prompts is padded; `None` for what the folder says.
    pub padding_side: Option<PaddingSide>,
    /// What is put before every prompt.
    pub system_prompt: SystemPrompt,
    /// Whether the weights are loaded for every call of [`TextEncoder::encode`] and freed after it,
    /// instead of being kept.
    pub on_demand: bool,
}

/// Prompts that are encoded at a time.
const AT_ONCE: usize = 16;

/// Qwen2 with its tokenizer and the system prompt, whose keys and values are computed once.
#[derive(Debug)]
pub struct TextEncoder<B: Backend> {
    tokenizer: PromptTokenizer,
    weights: Weights<B>,
    system_prompt: SystemPrompt,
    system_ids: Vec<u32>,
    vocabulary: usize,
    context_tokens: usize,
    width: usize,
    words: Option<KnownWords>,
}

/// Where the weights are.
#[derive(Debug)]
enum Weights<B: Backend> {
    /// In memory.
    Kept(Box<Loaded<B>>),
    /// In a checkpoint, from which every call loads them.
    OnDemand {
        config: Box<TextEncoderConfig>,
        checkpoint: Checkpoint,
        options: LoadOptions,
        device: B::Device,
    },
}

/// What a text encoder consists of.
#[cfg(feature = "train")]
pub(crate) struct EncoderParts<B: Backend> {
    pub(crate) tokenizer: PromptTokenizer,
    pub(crate) model: Qwen2<B>,
    pub(crate) system_prompt: SystemPrompt,
    pub(crate) words: Option<KnownWords>,
}

/// The model, and the system prompt as far as it can be computed without a prompt.
#[derive(Debug)]
struct Loaded<B: Backend> {
    model: Qwen2<B>,
    prefix: Option<Prefix<B>>,
}

impl<B: HartBackend> Loaded<B> {
    fn new(model: Qwen2<B>, system_ids: &[u32]) -> Self {
        let prefix = (!system_ids.is_empty()).then(|| model.prefix(system_ids));
        Self { model, prefix }
    }
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
    #[cfg(feature = "fs")]
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
        let ids = system_ids(&tokenizer, &options.system_prompt, context_tokens)?;
        check_ids(&ids, config.vocabulary)?;
        let checkpoint = open_checkpoint(folder)?;
        let words = KnownWords::open(folder)?;
        let (vocabulary, width) = (config.vocabulary, config.width);
        let weights = if options.on_demand {
            let (options, device) = (options.weights, device.clone());
            Weights::OnDemand { config: Box::new(config), checkpoint, options, device }
        } else {
            let model = Qwen2::init(&config, device).load(&checkpoint, options.weights)?;
            Weights::Kept(Box::new(Loaded::new(model, &ids)))
        };
        Ok(Self {
            tokenizer,
            weights,
            system_prompt: options.system_prompt.clone(),
            system_ids: ids,
            vocabulary,
            context_tokens,
            width,
            words,
        })
    }

    /// Puts the parts together.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a context without tokens, or when the system prompt cannot be
    /// tokenized or has tokens that the model does not know.
    pub fn new(
        tokenizer: PromptTokenizer,
        model: Qwen2<B>,
        context_tokens: usize,
        system_prompt: &SystemPrompt,
    ) -> Result<Self> {
        let ids = system_ids(&tokenizer, system_prompt, context_tokens)?;
        let (vocabulary, width) = (model.vocabulary(), model.width());
        check_ids(&ids, vocabulary)?;
        Ok(Self {
            tokenizer,
            weights: Weights::Kept(Box::new(Loaded::new(model, &ids))),
            system_prompt: system_prompt.clone(),
            system_ids: ids,
            vocabulary,
            context_tokens,
            width,
            words: None,
        })
    }

    /// The same encoder, which knows no words but these.
    pub fn with_known_words(self, words: KnownWords) -> Self {
        Self { words: Some(words), ..self }
    }

    /// The words it knows; `None` when it does not say, like the released one.
    pub fn known_words(&self) -> Option<&KnownWords> {
        self.words.as_ref()
    }

    /// The words of a prompt that the model has never seen, each with the known one that is nearest;
    /// none when it does not say which it has seen.
    pub fn unknown_words(&self, prompt: &str) -> Vec<UnknownWord> {
        self.words.as_ref().map_or_else(Vec::new, |words| words.unknown(prompt))
    }

    /// Whether the weights stay in memory between calls.
    pub fn is_kept(&self) -> bool {
        matches!(self.weights, Weights::Kept(_))
    }

    /// Tokens of a context, T.
    pub fn context_tokens(&self) -> usize {
        self.context_tokens
    }

    /// Width of the context.
    pub fn width(&self) -> usize {
        self.width
    }

    /// What is put before every prompt.
    pub fn system_prompt(&self) -> &SystemPrompt {
        &self.system_prompt
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

    /// The contexts of a batch of prompts, a few computed at a time.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no prompts or an empty one, and [`Error::Weights`] when weights that
    /// are not kept turn out not to fit.
    pub fn encode(&self, prompts: &[impl AsRef<str>]) -> Result<EncodedPrompts<B>> {
        let prompts: Result<Vec<_>> = prompts.iter().map(|p| self.tokenize(p.as_ref())).collect();
        self.encode_tokens(prompts?)
    }

    /// The contexts of tokenized prompts.
    ///
    /// # Errors
    /// [`Error::Invalid`] for no prompts, prompts of other lengths than the context, or ids that
    /// the model does not know, and [`Error::Weights`] as for [`Self::encode`].
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
            check_ids(&prompt.tokens, self.vocabulary)?;
        }
        let context = self.with_weights(|loaded| {
            let parts = prompts.chunks(AT_ONCE).map(|prompts| {
                let tokens: Vec<_> = prompts.iter().map(|prompt| prompt.tokens.clone()).collect();
                let mask: Vec<_> = prompts.iter().map(|prompt| prompt.mask.clone()).collect();
                loaded.model.forward(&tokens, &mask, loaded.prefix.as_ref(), &mut ())
            });
            Tensor::cat(parts.collect(), 0)
        })?;
        let mask = prompts.iter().map(|prompt| prompt.mask.clone()).collect();
        let lengths = prompts.iter().map(|prompt| prompt.length).collect();
        let positions = prompts.into_iter().map(|prompt| prompt.positions).collect();
        Ok(EncodedPrompts { text: TextCondition { context, mask, positions }, lengths })
    }

    /// The parts it consists of; weights that were not kept are loaded.
    ///
    /// # Errors
    /// [`Error::Weights`] as for [`Self::encode`].
    #[cfg(feature = "train")]
    pub(crate) fn into_parts(self) -> Result<EncoderParts<B>> {
        let model = self.with_weights(|loaded| loaded.model.clone())?;
        let Self { tokenizer, system_prompt, words, .. } = self;
        Ok(EncoderParts { tokenizer, model, system_prompt, words })
    }

    /// Computes something with the weights, which are loaded for it if they are not kept.
    fn with_weights<T>(&self, compute: impl FnOnce(&Loaded<B>) -> T) -> Result<T> {
        match &self.weights {
            Weights::Kept(loaded) => Ok(compute(loaded)),
            Weights::OnDemand { config, checkpoint, options, device } => {
                let model = Qwen2::init(config, device).load(checkpoint, *options)?;
                let loaded = Loaded::new(model, &self.system_ids);
                let result = compute(&loaded);
                drop(loaded);
                B::memory_cleanup(device);
                Ok(result)
            }
        }
    }
}

impl<B: HartBackend> EncodedPrompts<B> {
    /// Some of the prompts.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn part(&self, prompts: Range<usize>) -> Self {
        let TextCondition { context, mask, positions } = &self.text;
        let text = TextCondition {
            context: context.clone().narrow(0, prompts.start, prompts.len()),
            mask: mask[prompts.clone()].to_vec(),
            positions: positions[prompts.clone()].to_vec(),
        };
        Self { text, lengths: self.lengths[prompts].to_vec() }
    }
}

/// The tokens of the system prompt.
fn system_ids(
    tokenizer: &PromptTokenizer,
    prompt: &SystemPrompt,
    context_tokens: usize,
) -> Result<Vec<u32>> {
    if context_tokens == 0 {
        return Err(Error::invalid("the tokens of a context", 0, "at least 1"));
    }
    match prompt.text() {
        Some(text) => tokenizer.system_ids(text, context_tokens),
        None => Ok(vec![]),
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
