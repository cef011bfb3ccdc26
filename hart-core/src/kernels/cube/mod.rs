//! What the GPU backends compute with: kernels in CubeCL, for every runtime that it has.
//!
//! Kernels read 32- or 16-bit floats, compute in 32 bits and write the type of their first input. Where
//! the plain operations round to that type in between, so do they: results differ by the order of sums.
//!
//! | module | what |
//! |---|---|
//! | [`rows`] | norms of rows, modulated or not |
//! | [`heads`] | from a block's projection to queries, keys and values |
//! | [`softmax`] | from the scores of attention to weights, in place |
//! | [`elementwise`] | gates |
//! | [`group_norm`] | GroupNorm with its activation |

mod arguments;
pub mod elementwise;
pub mod group_norm;
pub mod heads;
mod reduce;
pub mod rows;
pub mod softmax;

use std::fmt::Debug;

use burn::tensor::Shape;
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

/// An operation on tensors of a device. All that comes out has the type of the first input.
pub trait CubeOperation: Debug + Send + Sync + 'static {
    /// What it is called where operations are recorded.
    const NAME: &'static str;

    /// The shapes of what comes out, by the shapes of what goes in.
    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape>;

    /// Has the device compute it.
    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>>;
}
