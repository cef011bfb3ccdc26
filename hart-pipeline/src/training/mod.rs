//! Training: what transformer and residual head learn from, and with the feature `train` all that it
//! takes to train a tokenizer, to train a model, or to fine-tune one.
//!
//! Ten steps on a sample of drawings, from the model compiled into the crate:
//!
//! ```
//! # #[cfg(all(feature = "train", feature = "flex", feature = "embedded"))] {
//! use hart_pipeline::Request;
//! use hart_pipeline::backend::Flex;
//! use hart_pipeline::training::data::Records;
//! use hart_pipeline::training::fine_tune::{FineTune, FineTuneSettings, TrainableModel};
//!
//! # std::env::set_current_dir(concat!(env!("CARGO_MANIFEST_DIR"), "/.."))?;
//! let records = Records::open("examples/data/sample/captions.jsonl")?;
//! let model = TrainableModel::<Flex>::embedded(&Default::default())?;
//! let mut settings = FineTuneSettings::new(10);
//! settings.batch = 4;
//! let mut tuning = FineTune::start(model, records, settings, &mut ())?;
//! for _ in 0..10 {
//!     assert!(tuning.step()?.loss.is_finite());
//! }
//! let pipeline = tuning.pipeline()?;
//! let images = pipeline.generate(&Request::new("a robot, 3D style").seed(7))?;
//! assert_eq!(images[0].width(), 64);
//! # }
//! # Ok::<(), Box<dyn std::error::Error>>(())
//! ```
//!
//! | module | what |
//! |---|---|
//! | [`hart_loss`] | the loss of transformer and residual head, plain tensor operations (section 6) |
//! | `fine_tune` | a model in memory, taught more images step by step |
//! | `tokenizer`, `hart` | experiments: a tokenizer, and a model over it, trained in a folder |
//! | `run` | that folder, its metrics and snapshots, and the loop over steps |
//! | `optimizer` | AdamW in two groups, clipping, the running mean of the weights |
//! | `data` | images with captions |
//! | `captions` | captions as people write them, made anew for every step |
//!
//! A run is a folder. It holds the experiment, `metrics.csv`, images made during training, and
//! snapshots from which it is continued exactly: every random draw has an address made of the seed
//! and the step, so a run that was killed gives the losses that an uninterrupted one would have
//! given. A snapshot is whole or not there, and one that was damaged later is passed over; a run whose
//! data or settings have changed is not continued unless that is asked for. Nothing is printed: progress goes to a `TrainingObserver`.

#[cfg(feature = "train")]
pub mod captions;
#[cfg(feature = "train")]
pub mod data;
#[cfg(feature = "train")]
mod devices;
mod draws;
#[cfg(feature = "train")]
mod experiment;
#[cfg(feature = "train")]
pub mod fine_tune;
#[cfg(feature = "train")]
pub mod hart;
mod loss;
#[cfg(feature = "train")]
mod notice;
#[cfg(feature = "train")]
mod observer;
#[cfg(feature = "train")]
pub mod optimizer;
#[cfg(feature = "train")]
mod prepare;
#[cfg(feature = "train")]
pub mod run;
#[cfg(feature = "train")]
mod sheet;
#[cfg(feature = "train")]
pub mod tokenizer;
#[cfg(feature = "train")]
mod values;

pub use draws::StepDraws;
pub use loss::{HartTerms, TokenBatch, hart_loss};
#[cfg(feature = "train")]
pub use notice::Notice;
#[cfg(feature = "train")]
pub use observer::{Measurements, TrainingEvent, TrainingObserver};
