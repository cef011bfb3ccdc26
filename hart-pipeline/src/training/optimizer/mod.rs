//! AdamW in two groups, clipping by the global norm, and the running mean of the weights.

mod gradients;
mod mean;
mod recorder;
mod settings;
mod trainee;

pub use gradients::Accumulated;
pub use settings::OptimizerSettings;
pub use trainee::Trainee;
