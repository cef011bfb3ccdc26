//! HART's transformer over scales.
//!
//! The transformer reads the text context, then predicts all tokens of a scale at once from the
//! image so far, scale after scale. Keys and values of earlier steps are kept in a cache that
//! belongs to the generation, not to the model, so that one model can run several generations at
//! once.
//!
//! | module | box of the paper's figure |
//! |---|---|
//! | [`config`] | the transformer's keys in `llm/config.json` |
//! | [`embedding`] | context, words and levels |
//! | [`block`], [`attention`], [`mlp`], [`modulation`] | a transformer block |
//! | [`rotary`] | the positions of visual tokens |
//! | [`head`] | vocabulary logits |
//! | [`transformer`] | all of it, with the released weights |
//! | [`condition`] | the encoded prompts |
//! | [`session`] | one generation: cache, guidance, step after step |
//! | [`sampling`] | logits to tokens, on the host |
//! | [`teacher_forcing`] | training: all scales at once, and the loss |
//! | [`mask_passes`] | the order in which the last scale is revealed |
//!
//! Sections cited are those of [`hart_core::arithmetic`].
//!
//! ```
//! use burn::tensor::Tensor;
//! use hart_ar::{
//!     Halves, ScaleStep, Session, TextCondition, Transformer, TransformerConfig, TransformerSize,
//! };
//! use hart_ar::cache::Keep;
//! use hart_core::config::ConfigReader;
//! # #[cfg(feature = "flex")] {
//! # type Backend = burn::backend::Flex;
//! # let device = Default::default();
//!
//! let json = br#"{"attn_type": "llama", "embed_dim": 32, "num_heads": 2, "depth": 2,
//!                 "context_token": 4, "context_dim": 8, "patch_nums": [1, 2, 4]}"#;
//! let config = TransformerConfig::read(&ConfigReader::parse("config.json", json)?)?;
//! let size = TransformerSize { codebook_size: 16, latent_channels: 3 };
//! let transformer = Transformer::<Backend>::init(&config, size, &device);
//!
//! let text = TextCondition {
//!     context: Tensor::zeros([1, 4, 8], &device),
//!     mask: vec![vec![true; 4]],
//!     positions: vec![vec![0, 1, 2, 3]],
//! };
//! let mut session = Session::new(&transformer, &text, 0, Halves::Both, &mut ())?;
//! let hidden = session.context_step(&mut ())?;
//! assert_eq!(session.guided_logits(&hidden, 0.0)?.dims(), [1, 1, 16]); // scale 0: one token
//!
//! let positions = [vec![0, 1, 2, 3]];
//! let step =
//!     ScaleStep::whole(1, &positions, Keep::Yes, Halves::Both);
//! let image_so_far = Tensor::zeros([1, 4, 3], &device);
//! let hidden = session.scale_step(step, image_so_far, &mut ())?;
//! assert_eq!(session.guided_logits(&hidden, 4.5)?.dims(), [1, 4, 16]); // scale 1: four tokens
//! # }
//! # Ok::<(), hart_core::Error>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod attention;
pub mod block;
pub mod cache;
pub mod condition;
pub mod config;
pub mod embedding;
pub mod head;
pub mod mask_passes;
pub mod mlp;
pub mod modulation;
mod names;
pub mod pruning;
pub mod rotary;
pub mod sampling;
pub mod session;
pub mod teacher_forcing;
pub mod transformer;

pub use condition::TextCondition;
pub use config::{LevelEmbeddingKind, MlpKind, ModulationKind, PoolingKind, TransformerConfig};
pub use names::NAMES;
pub use pruning::Computed;
pub use session::{HalfLogits, Halves, Hidden, ScaleStep, Session};
pub use teacher_forcing::{Predictions, cross_entropy, kept_tokens, scale_weights};
pub use transformer::{Transformer, TransformerSize};

/// Compiles the code of the README.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../README.md")]
struct Readme;
