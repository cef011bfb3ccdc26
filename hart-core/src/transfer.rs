//! What crosses between the host and a device, and how often the host waits for the device.
//!
//! A GPU is fed by the host: while it computes, the host prepares what comes next. Values that go up cost
//! the time of the bus; those that come down cost more, since the host has to wait until they are there, and
//! the GPU, once it has caught up, for the host. Everything that is moved in a generation goes through this
//! module, which counts it for the thread that asks, so that a test can say how often a picture waits.
//!
//! ```
//! use burn::backend::Flex;
//! use burn::tensor::{Float, TensorData};
//! use hart_core::transfer::{self, Traffic};
//!
//! let (tensor, traffic) = transfer::counted(|| {
//!     let data = TensorData::new(vec![0.0_f32; 6], [2, 3]);
//!     transfer::upload::<Flex, 2, Float>(data, &Default::default())
//! });
//! assert_eq!(tensor.dims(), [2, 3]);
//! assert_eq!(traffic, Traffic { uploads: 1, uploaded: 24, waits: 0, downloaded: 0 });
//! ```
//!
//! Weights are not counted, and neither are the arguments of kernels, a few bytes each.

use std::cell::Cell;
use std::ops::Sub;

use burn::tensor::backend::Backend;
use burn::tensor::{BasicOps, Tensor, TensorCreationOptions, TensorData};

use crate::{Error, Result};

/// What a thread has moved.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Traffic {
    /// Tensors that went to the device.
    pub uploads: u64,
    /// Their bytes.
    pub uploaded: u64,
    /// Tensors that were read from the device: as often the host waits for it.
    pub waits: u64,
    /// Their bytes.
    pub downloaded: u64,
}

impl Sub for Traffic {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        Self {
            uploads: self.uploads - earlier.uploads,
            uploaded: self.uploaded - earlier.uploaded,
            waits: self.waits - earlier.waits,
            downloaded: self.downloaded - earlier.downloaded,
        }
    }
}

thread_local! {
    static MOVED: Cell<Traffic> = const { Cell::new(Traffic { uploads: 0, uploaded: 0, waits: 0, downloaded: 0 }) };
}

/// Everything that this thread has moved so far.
pub fn so_far() -> Traffic {
    MOVED.get()
}

/// Does some work, and says what this thread has moved for it.
pub fn counted<T>(work: impl FnOnce() -> T) -> (T, Traffic) {
    let before = so_far();
    let result = work();
    (result, so_far() - before)
}

/// Values on the device, in the type of `options` or else that of the device.
pub fn upload<B: Backend, const D: usize, K: BasicOps<B>>(
    data: impl Into<TensorData>,
    options: impl Into<TensorCreationOptions<B>>,
) -> Tensor<B, D, K> {
    let tensor = Tensor::from_data(data, options);
    count_upload(tensor.shape().num_elements() * tensor.dtype().size());
    tensor
}

/// The values of a tensor on the host.
///
/// # Errors
/// [`Error::System`] when the device fails.
pub async fn download<B: Backend, const D: usize, K: BasicOps<B>>(
    tensor: Tensor<B, D, K>,
) -> Result<TensorData> {
    let bytes = tensor.shape().num_elements() * tensor.dtype().size();
    let moved = MOVED.get();
    MOVED.set(Traffic {
        waits: moved.waits + 1,
        downloaded: moved.downloaded + bytes as u64,
        ..moved
    });
    tensor.into_data_async().await.map_err(|error| Error::System {
        what: "read what the device computed".to_string(),
        source: std::io::Error::other(error.to_string()),
    })
}

/// Counts what a kernel is given beside its tensors.
#[cfg_attr(not(feature = "cube"), allow(dead_code))]
pub(crate) fn count_upload(bytes: usize) {
    let moved = MOVED.get();
    MOVED.set(Traffic {
        uploads: moved.uploads + 1,
        uploaded: moved.uploaded + bytes as u64,
        ..moved
    });
}
