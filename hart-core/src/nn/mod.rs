//! Small layers that several parts share.

mod convolution;
mod linear;
mod prepared;
mod rms_norm;
mod rotary;
mod sinusoid;

pub use convolution::{Convolution, ConvolutionConfig};
pub use linear::Linear;
pub use prepared::{Prepare, Prepared};
pub use rms_norm::{RmsNorm, RmsNormConfig};
pub use rotary::{Angles, context_angles, visual_angles, visual_positions};
pub use sinusoid::{SinusoidalEmbedding, SinusoidalEmbeddingConfig, sinusoid};
