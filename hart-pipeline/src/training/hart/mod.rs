//! Training text encoder, transformer and residual head on images that a tokenizer has turned into
//! tokens (section 6).
//!
//! ```no_run
//! use hart_pipeline::backend::Flex;
//! use hart_pipeline::training::hart::{DataSettings, HartExperiment, train_hart};
//! use hart_pipeline::training::run::RunSettings;
//!
//! let run = RunSettings::new("runs/hart", 600, 16);
//! let tokenizer = "runs/tokenizer/tokenizer";
//! let data = DataSettings::new("data/train.jsonl", "data/validation.jsonl", tokenizer);
//! let hart = serde_json::json!({
//!     "context_token": 16, "depth": 2, "embed_dim": 96, "num_heads": 3, "mlp_type": "llama",
//!     "attn_l2_norm": true, "disable_aln": true, "shared_aln": true, "use_timestep_embed": true,
//!     "use_context_norm": true, "diff_width": 64, "diff_depth": 2, "num_sampling_steps": "8",
//! });
//! let text = serde_json::json!({
//!     "hidden_size": 64, "intermediate_size": 128, "num_hidden_layers": 1,
//!     "num_attention_heads": 2, "num_key_value_heads": 1, "max_position_embeddings": 32,
//! });
//! let keys = |json: serde_json::Value| json.as_object().unwrap().clone();
//! let mut experiment = HartExperiment::new(run, data, keys(hart), keys(text));
//! experiment.samples.prompts = vec!["a red heart, flat style".to_string()];
//! let summary = train_hart::<Flex>(&experiment, &Default::default(), &mut ())?;
//! assert!(summary.is_finished());
//! # Ok::<(), hart_pipeline::Error>(())
//! ```

mod add_words;
mod batch;
mod batches;
mod configs;
mod data;
mod experiment;
mod export;
mod learner;
mod part;
mod spelling;
mod token_files;
mod tokens;
mod training;
mod words;

use hart_core::{HartBackend, Result};

pub use add_words::add_words;
pub(super) use batches::{Batches, DataSet, Rates, Shape};
pub use experiment::{
    DataSettings, HartExperiment, LearnerPart, LossSettings, ResidualFrom, SampleSettings,
};
pub(super) use learner::Learner;
pub(super) use part::{Learned, Part};
pub(super) use tokens::TokenCache;

use super::experiment::in_file;
use super::observer::TrainingObserver;
use super::run::{TrainingSummary, train};
use training::HartTraining;

/// Trains a model to the end of its run, from the last snapshot in the run's folder if there is
/// one. At every save the folder has the model in `model/`, in the released layout, which
/// [`PipelineBuilder::model`](crate::PipelineBuilder::model) takes.
///
/// # Errors
/// [`Error::Config`](hart_core::Error::Config) for a value out of its range,
/// [`Error::Io`](hart_core::Error::Io), [`Error::Malformed`](hart_core::Error::Malformed) or
/// [`Error::Weights`](hart_core::Error::Weights) for data and weights that cannot be read and for a
/// folder that cannot be written, [`Error::Busy`](hart_core::Error::Busy) when another process trains
/// in it, [`Error::Changed`](hart_core::Error::Changed) when its run was begun otherwise,
/// [`Error::Diverged`](hart_core::Error::Diverged) when a step is not finite, and
/// [`Error::Cancelled`](hart_core::Error::Cancelled) when the observer ends it before the images are
/// encoded.
pub fn train_hart<B: HartBackend>(
    experiment: &HartExperiment,
    device: &B::Device,
    observer: &mut dyn TrainingObserver,
) -> Result<TrainingSummary> {
    let trained = experiment
        .check()
        .and_then(|()| train(HartTraining::<B>::start(experiment, device, observer)?, observer));
    trained.map_err(|error| in_file(&experiment.file, error))
}
