//! Training a hybrid tokenizer on images (section 6).
//!
//! ```no_run
//! use hart_pipeline::backend::Flex;
//! use hart_pipeline::training::run::RunSettings;
//! use hart_pipeline::training::tokenizer::{DataSettings, TokenizerExperiment, train_tokenizer};
//!
//! let run = RunSettings::new("runs/tokenizer", 600, 16);
//! let data = DataSettings::new("data/train.jsonl", "data/validation.jsonl");
//! let keys = serde_json::json!({
//!     "quantizer_type": "var_hybrid", "ch": 8, "ch_mult": [1, 2, 4], "norm_groups": 4,
//!     "z_channels": 8, "vocab_size": 128, "v_patch_nums": [1, 2, 3, 4, 6, 8],
//! });
//! let mut experiment = TokenizerExperiment::new(run, data, keys.as_object().unwrap().clone());
//! experiment.optimizer.learning_rate = 2e-3;
//! let summary = train_tokenizer::<Flex>(&experiment, &Default::default(), &mut ())?;
//! assert!(summary.is_finished());
//! # Ok::<(), hart_pipeline::Error>(())
//! ```

mod batches;
mod codes;
mod evaluation;
mod experiment;
mod predictor;
mod state;
mod training;

use hart_core::{HartBackend, Result};

pub use experiment::{DataSettings, ExportSettings, LossSettings, TokenizerExperiment};

use super::experiment::in_file;
use super::observer::TrainingObserver;
use super::run::{TrainingSummary, train};
use training::TokenizerTraining;

/// Trains a tokenizer to the end of its run, from the last snapshot in the run's folder if there is
/// one. At every save the folder has the tokenizer in `tokenizer/`, in the released layout.
///
/// # Errors
/// [`Error::Config`](hart_core::Error::Config) for a value out of its range,
/// [`Error::Io`](hart_core::Error::Io) or [`Error::Malformed`](hart_core::Error::Malformed) for data
/// that cannot be read and for a folder that cannot be written, [`Error::Busy`](hart_core::Error::Busy)
/// when another process trains in it, [`Error::Changed`](hart_core::Error::Changed) when its run was
/// begun otherwise, [`Error::Diverged`](hart_core::Error::Diverged) when a step is not finite, and
/// [`Error::Cancelled`](hart_core::Error::Cancelled) when the observer ends it before the first step.
pub fn train_tokenizer<B: HartBackend>(
    experiment: &TokenizerExperiment,
    device: &B::Device,
    observer: &mut dyn TrainingObserver,
) -> Result<TrainingSummary> {
    let trained = experiment.check().and_then(|()| {
        train(TokenizerTraining::<B>::start(experiment, device, observer)?, observer)
    });
    trained.map_err(|error| in_file(&experiment.file, error))
}
