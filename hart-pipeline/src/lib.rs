//! Text to image with HART.
//!
//! ```no_run
//! use hart_pipeline::backend::{DefaultBackend, default_device};
//! use hart_pipeline::{HartPipeline, Precision, Request};
//!
//! let pipeline: HartPipeline<DefaultBackend> = HartPipeline::builder()
//!     .model("models/hart-0.7b-1024px")
//!     .text_encoder("models/Qwen2-VL-1.5B-Instruct")
//!     .precision(Precision::Bf16)
//!     .build(&default_device())?;
//! let images = pipeline.generate(&Request::new("a red heart, flat style").seed(7))?;
//! images[0].save("heart.png")?;
//! # Ok::<(), hart_pipeline::Error>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`HartPipeline`], [`PipelineBuilder`] | the pipeline: text to images |
//! | [`TextToImage`] | the same on a backend that is named at run time |
//! | [`Request`] | prompts, seeds and settings, checked |
//! | [`observer`] | progress, previews, cancellation, outcomes |
//! | [`image`] | images out, with the settings that made them |
//! | [`generation`] | the loop over scales, and the hook that changes it |
//! | [`text`] | the Qwen2 text encoder |
//! | `bulk` | with the feature `bulk` pictures by the million: recipes, shards, workers, engines |
//! | `hub` | with the feature `hub` models by their name at the Hugging Face hub |
//! | [`HartModel`] | tokenizer, transformer and residual head |
//! | [`training`] | their loss; with the feature `train` training and fine-tuning |
//! | [`backend`] | the backends compiled in |
//!
//! Models in folders and images in files are behind the feature `fs`, a default: without it, as in a
//! browser, models come as bytes ([`HartPipeline::from_archive`]) and images go as bytes
//! ([`Image::encode`]).
//!
//! The crates it is made of come along: [`core`], [`tokenizer`], [`ar`], [`diffusion`], and
//! [`burn`] itself. Sections cited are those of [`hart_core::arithmetic`].
#![cfg_attr(docsrs, feature(doc_cfg))]
// What is private to the reading of files is unused without them.
#![cfg_attr(not(feature = "fs"), allow(dead_code))]

#[cfg(feature = "archive")]
#[cfg_attr(docsrs, doc(cfg(feature = "archive")))]
pub mod archive;
pub mod backend;
mod batch;
#[cfg(feature = "fs")]
mod builder;
#[cfg(feature = "bulk")]
#[cfg_attr(docsrs, doc(cfg(feature = "bulk")))]
pub mod bulk;
mod defaults;
#[cfg(feature = "images")]
#[cfg_attr(docsrs, doc(cfg(feature = "images")))]
pub mod edit;
#[cfg(feature = "embedded")]
mod embedded;
mod generate;
pub mod generation;
#[cfg(any(feature = "bulk", feature = "train"))]
mod hash;
#[cfg(feature = "hub")]
pub mod hub;
pub mod image;
mod model;
pub mod observer;
mod pipeline;
mod predicted;
#[cfg(any(feature = "bulk", feature = "train"))]
mod problem;
mod request;
pub mod text;
mod text_to_image;
pub mod training;

pub use burn;
pub use {
    hart_ar as ar, hart_core as core, hart_diffusion as diffusion, hart_tokenizer as tokenizer,
};

#[cfg(feature = "fs")]
pub use builder::PipelineBuilder;
pub use defaults::ModelDefaults;
#[cfg(feature = "embedded")]
pub use embedded::EMBEDDED;
pub use generation::{Effort, GenerationHook, GenerationSettings};
pub use hart_core::{Error, Grid, HartBackend, Precision, Result};
pub use image::{Image, ImageSettings, Pixels};
pub use model::{HartModel, ModelCheckpoints, ModelConfig, TransformerWeights};
pub use observer::{Event, Observer, Outcome, Summary};
pub use pipeline::{HartPipeline, PipelineParts};
pub use request::{Request, RequestItem};
pub use text_to_image::TextToImage;

/// Compiles the code of the workspace's README.
#[cfg(all(doctest, feature = "embedded", feature = "fs"))]
#[doc = include_str!("../../README.md")]
struct Readme;

/// Compiles the code of this crate's README.
#[cfg(all(doctest, feature = "flex", feature = "embedded", feature = "fs"))]
#[doc = include_str!("../README.md")]
struct CrateReadme;
