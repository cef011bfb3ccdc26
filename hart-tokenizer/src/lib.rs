//! HART's hybrid tokenizer: an image as coarse-to-fine discrete tokens and a continuous residual.
//!
//! | module | box of the paper's figure |
//! |---|---|
//! | [`config`] | `tokenizer/config.json` |
//! | [`encoder`] | pixels to a latent |
//! | [`quantizer`] | the latent as indices of every scale, and what they leave over |
//! | [`decoder`] | a latent to pixels |
//! | [`resize`] | between the scales: area and bicubic resizing |
//! | [`HybridTokenizer`] | the three together |
//! | [`loss`], [`discriminator`] | what they are trained with |
//! | [`finer`] | a trained tokenizer as the beginning of one for twice the pixels |
//!
//! Sections cited are those of [`hart_core::arithmetic`].
//!
//! ```
//! use burn::tensor::Tensor;
//! use hart_core::config::ConfigReader;
//! use hart_tokenizer::{AutoencoderConfig, HybridTokenizer};
//! # #[cfg(feature = "flex")] {
//! # type Backend = burn::backend::Flex;
//!
//! let json = br#"{"ch": 32, "ch_mult": [1, 1], "z_channels": 4, "vocab_size": 16,
//!                 "v_patch_nums": [1, 2, 4], "quantizer_type": "var_hybrid"}"#;
//! let config = AutoencoderConfig::read(&ConfigReader::parse("config.json", json)?)?;
//! let tokenizer = HybridTokenizer::<Backend>::init(&config, &Default::default());
//!
//! let image = Tensor::<Backend, 4>::ones([1, 3, 8, 8], &Default::default()) * 0.5;
//! let tokens = tokenizer.encode(image)?;
//! assert_eq!(tokens.indices[2].dims(), [1, 16]); // the tokens of the last scale
//! assert_eq!(tokenizer.decode(&tokens)?.dims(), [1, 3, 8, 8]);
//! # }
//! # Ok::<(), hart_core::Error>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod blocks;
pub mod config;
pub mod decoder;
pub mod discriminator;
pub mod encoder;
pub mod finer;
pub mod loss;
mod names;
pub mod quantizer;
pub mod resize;
mod strips;
mod tokenizer;

pub use config::{AutoencoderConfig, QuantizerKind, SharedConvolutions};
pub use discriminator::PatchDiscriminator;
pub use loss::{DecoderInput, PerceptualLoss, QuantizedLatent, Reconstruction};
pub use names::{DISCRIMINATOR_NAMES, NAMES};
pub use quantizer::{HybridTokens, Quantizer};
pub use tokenizer::{HybridTokenizer, to_pixels};

/// Compiles the code of the README.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../README.md")]
struct Readme;
