//! Small layers that several parts share.

mod convolution;
mod linear;
mod prepare;
mod rms_norm;
mod rotary;
mod sinusoid;
mod weight;

pub use convolution::{Convolution, ConvolutionConfig};
pub use linear::Linear;
pub use prepare::Prepare;
pub use rms_norm::{RmsNorm, RmsNormConfig};
pub use rotary::{context_angles, frequencies};
pub use sinusoid::{SinusoidalEmbedding, SinusoidalEmbeddingConfig, sinusoid};
pub use weight::Weight;
