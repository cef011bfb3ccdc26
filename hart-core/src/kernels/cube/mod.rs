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
//! | [`sampling`] | from logits to tokens |
//! | `kept` | what was compiled, on the disk |

mod arguments;
pub mod elementwise;
pub mod group_norm;
pub mod heads;
#[cfg(not(target_family = "wasm"))]
pub mod kept;
mod reduce;
pub mod rows;
pub mod sampling;
pub mod softmax;

use std::fmt::Debug;

use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};

/// An operation on tensors of a device.
pub trait CubeOperation: Debug + Send + Sync + 'static {
    /// What it is called where operations are recorded.
    const NAME: &'static str;

    /// The shapes of what comes out, by the shapes of what goes in.
    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape>;

    /// The type of the output at `place`, by that of the first input: the same for most operations.
    fn output_type(&self, _place: usize, first: DType) -> DType {
        first
    }

    /// Has the device compute it.
    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>>;
}
