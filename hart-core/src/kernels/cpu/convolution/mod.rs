//! Convolutions: every product of packed kernels with the patches of an image, or, for kernels of
//! 3 × 3 over many pixels, tile by tile with a quarter of the products.

mod direct;
mod geometry;
mod transforms;
mod winograd;

pub use geometry::Geometry;

use super::memory::{Aligned, zeros};

/// The most pairs of channels whose transformed kernels are kept: they take four times the memory.
/// Larger ones are transformed at every call, which pays from [`MANY_TILES`] on: the work is that of
/// the channels alone, and the more pixels there are, the more it saves.
const KEPT_KERNELS: usize = 64 * 64;
/// See [`KEPT_KERNELS`].
const MANY_TILES: usize = 64;

/// How a convolution is computed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Algorithm {
    /// Every product.
    Direct,
    /// Tiles of 4 × 4 results with a quarter of the products; for kernels of 3 × 3 alone.
    Winograd,
}

/// Kernels in the order in which they are multiplied.
#[derive(Debug, Clone)]
pub struct PackedKernels {
    kernels: direct::Kernels,
    /// The kernels as [`Algorithm::Winograd`] multiplies them, where they are small enough to be kept.
    transformed: Option<Aligned>,
}

impl PackedKernels {
    /// Packs kernels `[out, in, height, width]` and a bias `[out]`.
    ///
    /// # Panics
    /// When one has another length.
    pub fn new(kernels: &[f32], bias: &[f32], geometry: Geometry) -> Self {
        let kernels = direct::Kernels::new(kernels, bias, geometry);
        let [inputs, outputs] = geometry.channels;
        let kept = geometry.is_plain() && inputs * outputs <= KEPT_KERNELS;
        let transformed = kept.then(|| transform(&kernels));
        Self { kernels, transformed }
    }

    /// How the kernels move.
    pub fn geometry(&self) -> &Geometry {
        &self.kernels.geometry
    }

    /// The faster way for images of some height and width. It is the same however many there are,
    /// so that an image does not depend on those beside it.
    pub fn algorithm(&self, size: [usize; 2]) -> Algorithm {
        let many = || winograd::tiles(size) >= MANY_TILES;
        if self.geometry().is_plain() && (self.transformed.is_some() || many()) {
            Algorithm::Winograd
        } else {
            Algorithm::Direct
        }
    }

    /// Convolves images `[batch, in, height, width]` into `out` `[batch, out, height, width]`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn convolve(&self, images: &[f32], size: [usize; 2], out: &mut [f32]) {
        self.convolve_by(self.algorithm(size), images, size, out);
    }

    /// [`Self::convolve`] in a chosen way.
    ///
    /// # Panics
    /// When a length does not fit, or for [`Algorithm::Winograd`] with other kernels than those of
    /// 3 × 3 that keep height and width.
    pub fn convolve_by(
        &self,
        algorithm: Algorithm,
        images: &[f32],
        size: [usize; 2],
        out: &mut [f32],
    ) {
        let [inputs, outputs] = self.geometry().channels;
        let [height, width] = self.geometry().output(size);
        let (image, pixels) = (inputs * size[0] * size[1], height * width);
        let batch = images.len() / image.max(1);
        assert_eq!(images.len(), batch * image, "images of {size:?}");
        assert_eq!(out.len(), batch * outputs * pixels, "room for {height} × {width} pixels");
        match algorithm {
            Algorithm::Direct => self.kernels.convolve(images, size, out),
            Algorithm::Winograd => self.convolve_by_tiles(images, size, out),
        }
    }

    fn convolve_by_tiles(&self, images: &[f32], size: [usize; 2], out: &mut [f32]) {
        assert!(self.geometry().is_plain(), "kernels of {:?}", self.geometry());
        // What is made here is freed again: it may be the largest piece of memory of a generation.
        let made;
        let transformed = match &self.transformed {
            Some(kept) => kept,
            None => {
                made = transform(&self.kernels);
                &made
            }
        };
        let direct::Kernels { geometry, at_once, bias, .. } = &self.kernels;
        let channels = geometry.channels;
        let kernels = winograd::Kernels { channels, transformed, at_once: *at_once, bias };
        winograd::convolve(kernels, images, size, out);
    }
}

/// Packed kernels of 3 × 3 as [`winograd`] multiplies them.
fn transform(kernels: &direct::Kernels) -> Aligned {
    let mut transformed = zeros(transforms::transformed_length(kernels.packed.len()));
    let inputs = kernels.geometry.channels[0];
    transforms::transform_kernels(&kernels.packed, inputs, kernels.at_once, &mut transformed);
    transformed
}
