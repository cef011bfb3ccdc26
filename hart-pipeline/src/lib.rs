//! Text to image with HART.
//!
//! ```no_run
//! use hart_pipeline::backend::{DefaultBackend, default_device};
//! use hart_pipeline::{HartPipeline, Precision, Request};
//!
//! let pipeline = HartPipeline::<DefaultBackend>::builder()
//!     .model("models/hart-0.7b-1024px")
//!     .text_encoder("models/Qwen2-VL-1.5B-Instruct")
//!     .device(default_device())
//!     .precision(Precision::Bf16)
//!     .build()?;
//! let images = pipeline.generate(&Request::new("a red heart, flat style").seed(7))?;
//! images[0].save("heart.png")?;
//! # Ok::<(), hart_pipeline::Error>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`HartPipeline`], [`PipelineBuilder`] | the pipeline: text to pictures |
//! | [`Request`] | prompts, seeds and settings, checked |
//! | [`observer`] | progress, previews, cancellation |
//! | [`image`] | pictures out, with the settings that made them |
//! | [`text`] | the Qwen2 text encoder |
//! | [`HartModel`] | the lower door: tokenizer, transformer and residual head |
//! | [`backend`] | the backends compiled in |
//!
//! Sections cited are those of [`hart_core::arithmetic`].
#![cfg_attr(docsrs, feature(doc_cfg))]

pub mod backend;
mod builder;
mod defaults;
#[cfg(feature = "embedded")]
mod embedded;
pub mod generate;
pub mod image;
mod lazy;
mod model;
pub mod observer;
mod pipeline;
mod request;
pub mod text;
pub mod training;

pub use builder::PipelineBuilder;
pub use defaults::ModelDefaults;
pub use hart_core::{Error, HartBackend, Precision, Result};
pub use image::{Image, ImageSettings};
pub use model::{HartModel, ModelCheckpoints, ModelConfig, TransformerWeights};
pub use observer::{Event, Observer};
pub use pipeline::HartPipeline;
pub use request::{GenerationSettings, Request, RequestItem};

/// Compiles the code of the workspace's README.
#[cfg(all(doctest, feature = "embedded"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the code of this crate's README.
#[cfg(all(doctest, feature = "flex", feature = "embedded"))]
#[doc = include_str!("../README.md")]
struct CrateReadme;
