//! What the Flex backend computes with: loops over slices of 32-bit floats, in the widest vectors
//! the processor has and on all threads of the current `rayon` pool.
//!
//! | module | what |
//! |---|---|
//! | [`matrix`] | linear layers: multiplication by a matrix packed once |
//! | [`int8`] | the same by a matrix of 8-bit integers |
//! | [`attention`] | attention that never holds all scores |
//! | [`stored`] | keys and values in 16 bits |
//! | [`heads`] | from a block's projection to queries, keys and values |
//! | [`norm`], [`elementwise`] | norms, activations and gates |
//! | [`convolution`] | convolutions, those of 3 × 3 over many pixels with a quarter of the products |
//! | [`group_norm`] | GroupNorm with its activation |

pub mod attention;
mod broadcast;
pub mod convolution;
pub mod elementwise;
pub mod group_norm;
pub mod heads;
pub mod int8;
pub mod matrix;
pub(crate) mod memory;
pub mod norm;
mod simd;
pub mod stored;
mod tile;

pub use broadcast::Broadcast;
