//! The arguments that name a pipeline: its model, and where it works.

use std::path::PathBuf;

use clap::Args;
use hart_pipeline::backend::compiled_in;
use hart_pipeline::{HartPipeline, PipelineBuilder, Precision};

use crate::named::{with_model, with_text_encoder};

/// Which model, in which precision, on which device.
#[derive(Debug, Args)]
pub struct PipelineArguments {
    /// Folder of the model, with `llm/` and `tokenizer/` in it, or its name at the Hugging Face hub,
    /// `owner/name` or `owner/name@revision` [default: the small model compiled in].
    #[arg(long, value_name = "DIR|NAME")]
    pub model: Option<PathBuf>,
    /// Folder of the text encoder, a Qwen2 model, or its name at the hub [default: `text` in the
    /// model's folder; for a model from the hub without one, that of the release].
    #[arg(long, value_name = "DIR|NAME", requires = "model")]
    pub text_encoder: Option<PathBuf>,
    /// Element type of the weights: f32, bf16, f16 or int8.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    pub precision: Precision,
    /// Backend to work on, and which GPU, such as flex or cuda:1 [default: the fastest compiled in].
    #[arg(long, value_name = "NAME")]
    pub device: Option<String>,
    /// Decode in strips of this many rows of pixels: large images in less memory.
    #[arg(long, value_name = "N")]
    pub strip_height: Option<usize>,
}

impl PipelineArguments {
    /// The device that was named, or the fastest one.
    pub fn device(&self) -> String {
        self.device.clone().unwrap_or_else(|| compiled_in()[0].to_string())
    }

    /// A builder of the model that was named, or of the one compiled in.
    ///
    /// # Errors
    /// When none was named, and none is compiled in.
    pub fn builder(&self) -> anyhow::Result<PipelineBuilder> {
        let mut builder = match &self.model {
            Some(model) => with_model(HartPipeline::builder(), model),
            #[cfg(feature = "embedded")]
            None => HartPipeline::builder().embedded(),
            #[cfg(not(feature = "embedded"))]
            None => anyhow::bail!("`--model` is needed: this program was built without a model"),
        };
        builder = builder.precision(self.precision);
        if let Some(encoder) = &self.text_encoder {
            builder = with_text_encoder(builder, encoder);
        }
        if let Some(rows) = self.strip_height {
            builder = builder.strip_height(rows);
        }
        Ok(builder)
    }
}
