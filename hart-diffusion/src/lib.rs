//! HART's residual diffusion head: what discrete tokens cannot hold.
//!
//! A small network predicts, token by token, the continuous residual of the last scale from the
//! transformer's output. It is sampled in few steps of ancestral diffusion.
//!
//! | module | what |
//! |---|---|
//! | [`config`] | its keys in `llm/config.json` |
//! | [`schedule`] | the cosine noise schedule and its respacing |
//! | [`network`] | the network |
//! | [`sampler`] | ancestral sampling with guidance and temperature |
//! | [`loss`] | what the network is trained with |
//!
//! Sections cited are those of [`hart_core::arithmetic`].
//!
//! ```
//! use burn::tensor::{Distribution, Tensor};
//! use hart_diffusion::{ResidualHead, ResidualHeadSize, SamplerSettings};
//! # #[cfg(feature = "flex")] {
//! # type Backend = burn::backend::Flex;
//! # let device = Default::default();
//!
//! let size = ResidualHeadSize { channels: 4, condition_width: 16, width: 32, depth: 2 };
//! let head = ResidualHead::<Backend>::init(&size, "8", &device)?;
//!
//! // One image, nine tokens: the conditional rows, then the unconditional ones.
//! let condition = Tensor::zeros([2, 9, 16], &device);
//! let start = Tensor::random([1, 9, 4], Distribution::Normal(0.0, 1.0), &device);
//! let noise = |_step| Tensor::random([1, 9, 4], Distribution::Normal(0.0, 1.0), &device);
//! let settings = SamplerSettings::new(3.4, 1.0);
//! let residual = head.sample(head.schedule(), condition, start, noise, &settings, &mut ())?;
//! assert_eq!(residual.dims(), [1, 9, 4]);
//! # }
//! # Ok::<(), hart_core::Error>(())
//! ```
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod config;
pub mod loss;
mod names;
pub mod network;
pub mod sampler;
pub mod schedule;

pub use config::ResidualHeadConfig;
pub use loss::{DiffusionDraws, DiffusionLoss, DiffusionTerms};
pub use names::NAMES;
pub use network::{ResidualHeadSize, ResidualNetwork};
pub use sampler::{Denoised, ResidualHead, SamplerSettings};
pub use schedule::{NoiseSchedule, NoiseStep};

/// Compiles the code of the README.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../README.md")]
struct Readme;
