//! What a generation asks of a GPU beside arithmetic: launches, waits and the bus.

use std::ops::{Add, Sub};

use hart_core::transfer::{self, Traffic};
use serde::{Deserialize, Serialize};

/// What was counted.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Serialize, Deserialize)]
pub struct Counts {
    /// Kernels that were launched; 0 where nobody counts them: see `launches`.
    pub launches: u64,
    /// Times that the host waited for values.
    pub waits: u64,
    /// Bytes from the device.
    pub downloaded: u64,
    /// Tensors to the device.
    pub uploads: u64,
    /// Their bytes.
    pub uploaded: u64,
}

impl Counts {
    /// Everything so far. The device has to be in step with the host.
    pub fn so_far() -> Self {
        let Traffic { uploads, uploaded, waits, downloaded } = transfer::so_far();
        #[cfg(feature = "cube")]
        let launches = crate::launches::so_far();
        #[cfg(not(feature = "cube"))]
        let launches = 0;
        Self { launches, waits, downloaded, uploads, uploaded }
    }

    fn zip(self, other: Self, f: impl Fn(u64, u64) -> u64) -> Self {
        Self {
            launches: f(self.launches, other.launches),
            waits: f(self.waits, other.waits),
            downloaded: f(self.downloaded, other.downloaded),
            uploads: f(self.uploads, other.uploads),
            uploaded: f(self.uploaded, other.uploaded),
        }
    }
}

impl Add for Counts {
    type Output = Self;

    fn add(self, other: Self) -> Self {
        self.zip(other, |a, b| a + b)
    }
}

impl Sub for Counts {
    type Output = Self;

    fn sub(self, earlier: Self) -> Self {
        self.zip(earlier, |a, b| a - b)
    }
}

impl std::fmt::Display for Counts {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { launches, waits, downloaded, uploads, uploaded } = self;
        write!(f, "{launches} launches, {waits} waits for {downloaded} bytes, ")?;
        write!(f, "{uploads} uploads of {uploaded} bytes")
    }
}
