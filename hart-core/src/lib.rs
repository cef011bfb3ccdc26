//! What every part of HART shares.
//!
//! HART ([arXiv 2410.10812]) makes an image scale after scale: a transformer predicts coarse tokens
//! first, then finer ones, and a small diffusion head adds what tokens cannot hold. This crate holds
//! what the tokenizer, the transformer, the diffusion head and the pipeline have in common:
//!
//! | module | what |
//! |---|---|
//! | [`config`] | typed, range-checked reading of `config.json` files |
//! | [`ScaleSchedule`], [`Grid`] | the token maps, coarse to fine |
//! | [`checkpoint`] | safetensors (also sharded) and PyTorch state dictionaries into modules |
//! | [`write_atomically`], [`StagedFolder`] | files and folders that are whole or not there |
//! | [`initialize`] | fresh weights from a seed |
//! | [`random`] | one seed an image, named streams of draws |
//! | [`walk`] | the parameters of a module with the place of each |
//! | [`nn`] | linear layers and convolutions that a backend may prepare, RMSNorm, rotary and sinusoidal embeddings |
//! | [`transfer`] | what crosses between host and device, counted |
//! | [`ops`] | the operations a backend may speed up ([`HartBackend`]) |
//! | [`arithmetic`] | what the model computes; the sections that all HART crates cite |
//!
//! ```
//! use hart_core::ScaleSchedule;
//!
//! let sides = [1, 2, 3, 4, 5, 7, 9, 12, 16, 21, 27, 36, 48, 64];
//! let scales = ScaleSchedule::squares(&sides)?;
//! assert_eq!(scales.total_tokens(), 9451);
//! // The last step reuses the guidance ratio of the step before it (section 4.4).
//! assert_eq!(scales.ratio(13), scales.ratio(12));
//! # Ok::<(), hart_core::Error>(())
//! ```
//!
//! [arXiv 2410.10812]: https://arxiv.org/abs/2410.10812
#![cfg_attr(docsrs, feature(doc_cfg))]

#[doc = include_str!("arithmetic.md")]
pub mod arithmetic {}
pub mod checkpoint;
pub mod config;
mod error;
#[cfg(feature = "fs")]
mod folder;
mod grid;
pub mod initialize;
mod int8;
pub mod kernels;
pub mod nn;
pub mod ops;
mod precision;
pub mod random;
mod schedule;
#[cfg(feature = "fs")]
mod staged;
mod stand_in;
pub mod tap;
pub mod transfer;
pub mod walk;
mod weight_problems;

#[cfg(feature = "fs")]
pub use checkpoint::Spool;
pub use error::{Error, Result};
#[cfg(feature = "fs")]
pub use folder::{check_writable, write_atomically};
pub use grid::Grid;
pub use ops::HartBackend;
pub use precision::Precision;
pub use schedule::ScaleSchedule;
#[cfg(feature = "fs")]
pub use staged::StagedFolder;
pub use stand_in::stand_in;
pub use weight_problems::WeightProblems;

/// Compiles the code of the README.
#[cfg(all(doctest, feature = "flex"))]
#[doc = include_str!("../README.md")]
struct Readme;
