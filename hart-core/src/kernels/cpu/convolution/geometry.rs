//! How a kernel moves over an image.

/// How a kernel moves over an image.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Geometry {
    /// Input and output channels.
    pub channels: [usize; 2],
    /// Height and width of the kernel.
    pub kernel: [usize; 2],
    /// Zeros around the image, above and below, left and right.
    pub padding: [usize; 2],
    /// Steps down and to the right.
    pub stride: [usize; 2],
}

impl Geometry {
    /// Height and width of the result for an image.
    ///
    /// # Panics
    /// When the image is smaller than the kernel.
    pub fn output(&self, image: [usize; 2]) -> [usize; 2] {
        [0, 1].map(|i| {
            let padded = image[i] + 2 * self.padding[i];
            assert!(padded >= self.kernel[i], "an image smaller than the kernel");
            (padded - self.kernel[i]) / self.stride[i] + 1
        })
    }

    /// Whether kernels of 3 × 3 look at every pixel and its neighbours.
    pub(super) fn is_plain(&self) -> bool {
        [self.kernel, self.padding, self.stride] == [[3, 3], [1, 1], [1, 1]]
    }

    /// Entries of a patch.
    pub(super) fn patch(&self) -> usize {
        self.channels[0] * self.kernel[0] * self.kernel[1]
    }
}
