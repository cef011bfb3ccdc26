//! What is generated, and how: the arguments that the programs share.

use clap::Args;
use hart_core::Precision;
use hart_pipeline::Effort;
use hart_pipeline::backend::compiled_in;

use crate::released::Case;

/// The case, precision and effort, and the backend to work on.
#[derive(Debug, Clone, Args)]
pub struct Setup {
    /// What is generated.
    #[command(flatten)]
    pub case: Case,
    /// Element type of the weights: f32, bf16, f16 or int8.
    #[arg(long, default_value = "f32")]
    pub precision: Precision,
    /// How much is computed: exact, fast or faster.
    #[arg(long, default_value = "exact")]
    pub effort: Effort,
    /// Backend to work on, and which GPU [default: the fastest compiled in].
    #[arg(long)]
    device: Option<String>,
}

impl Setup {
    /// The backend that was named, or the fastest one.
    pub fn device(&self) -> String {
        self.device.clone().unwrap_or_else(|| compiled_in()[0].to_string())
    }
}
