//! Small layers that several parts share.

mod rms_norm;
mod rotary;
mod sinusoid;

pub use rms_norm::{RmsNorm, RmsNormConfig};
pub use rotary::{Angles, context_angles, visual_angles, visual_positions};
pub use sinusoid::{SinusoidalEmbedding, SinusoidalEmbeddingConfig, sinusoid};
