//! Whole generations on the toy model.

mod effort;
#[cfg(feature = "embedded")]
mod embedded;
mod hostile;
mod images;
mod int8;
mod memory;
mod seeds;
mod settings;

use std::path::{Path, PathBuf};
use std::sync::LazyLock;

use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::{HartPipeline, Image, PipelineBuilder, Request, Result};

type Pipeline = HartPipeline<DefaultBackend>;

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

fn builder() -> PipelineBuilder {
    HartPipeline::builder().model(fixture("hart-tiny")).text_encoder(fixture("qwen-tiny"))
}

/// Builds a pipeline on the default backend.
fn build(builder: PipelineBuilder) -> Result<Pipeline> {
    builder.build(&default_device())
}

static PIPELINE: LazyLock<Pipeline> = LazyLock::new(|| build(builder()).expect("a pipeline"));

fn heart() -> Request {
    Request::new("a red heart").seed(7)
}

/// The bytes of the first image's file.
fn png(images: Result<Vec<Image>>) -> Vec<u8> {
    images.expect("images")[0].to_png().expect("a file")
}

static HEART: LazyLock<Vec<u8>> = LazyLock::new(|| png(PIPELINE.generate(&heart())));
