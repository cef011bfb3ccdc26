//! Convolution as a product: packed kernels times the patches of an image, which are laid out block
//! by block on the way; or, for kernels of 3 × 3 over many pixels, tile by tile
//! with a quarter of the products.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrix::{even, pack_rows};
use super::memory::{Aligned, Shared, with_scratch, zeros};
use super::simd::{dispatch, lanes, most_rows};
use super::tile::{Start, Tile};
use super::winograd;

/// The most entries of patches that are added up at a time.
const DEPTH: usize = 512;
/// Groups of two vectors of pixels that a task lays out at a time.
const PANELS: usize = 4;
/// The most pairs of channels whose transformed kernels are kept: they take four times the memory.
/// Larger ones are transformed at every call, which pays from [`MANY_TILES`] on.
const KEPT_KERNELS: usize = 64 * 64;
/// See [`KEPT_KERNELS`].
const MANY_TILES: usize = 64;

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
    fn is_plain(&self) -> bool {
        [self.kernel, self.padding, self.stride] == [[3, 3], [1, 1], [1, 1]]
    }

    /// Entries of a patch.
    fn patch(&self) -> usize {
        self.channels[0] * self.kernel[0] * self.kernel[1]
    }
}

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
    pub(super) geometry: Geometry,
    /// Groups of output channels, of each the entries of a patch one behind the other.
    pub(super) kernels: Aligned,
    /// Output channels of a group.
    pub(super) at_once: usize,
    pub(super) bias: Vec<f32>,
    /// The kernels as [`Algorithm::Winograd`] multiplies them, where they are small enough to be kept.
    transformed: Option<Aligned>,
}

impl PackedKernels {
    /// Packs kernels `[out, in, height, width]` and a bias `[out]`.
    ///
    /// # Panics
    /// When one has another length.
    pub fn new(kernels: &[f32], bias: &[f32], geometry: Geometry) -> Self {
        let ([inputs, outputs], patch) = (geometry.channels, geometry.patch());
        assert_eq!(kernels.len(), outputs * patch, "kernels of {geometry:?}");
        assert_eq!(bias.len(), outputs, "a bias for every output");
        let at_once = even(outputs, most_rows());
        let mut packed = zeros(outputs.next_multiple_of(at_once) * patch);
        pack_rows(kernels, patch, 0..patch, at_once, &mut packed);
        let kept = geometry.is_plain() && inputs * outputs <= KEPT_KERNELS;
        let transformed = kept.then(|| {
            let mut transformed = zeros(winograd::transformed_length(packed.len()));
            winograd::transform_kernels(&packed, inputs, at_once, &mut transformed);
            transformed
        });
        Self { geometry, kernels: packed, at_once, bias: bias.to_vec(), transformed }
    }

    /// How the kernels move.
    pub fn geometry(&self) -> &Geometry {
        &self.geometry
    }

    /// The faster way for images of some height and width. It is the same however many there are,
    /// so that an image does not depend on those beside it.
    pub fn algorithm(&self, size: [usize; 2]) -> Algorithm {
        let many = || winograd::tiles(size) >= MANY_TILES;
        match self.geometry.is_plain() && (self.transformed.is_some() || many()) {
            true => Algorithm::Winograd,
            false => Algorithm::Direct,
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
        let [inputs, outputs] = self.geometry.channels;
        let [height, width] = self.geometry.output(size);
        let (image, pixels) = (inputs * size[0] * size[1], height * width);
        let batch = images.len() / image.max(1);
        assert_eq!(images.len(), batch * image, "images of {size:?}");
        assert_eq!(out.len(), batch * outputs * pixels, "room for {height} × {width} pixels");
        match (algorithm, &self.transformed) {
            (Algorithm::Direct, _) => self.convolve_directly(images, size, out),
            _ if !self.geometry.is_plain() => panic!("kernels of {:?}", self.geometry),
            (_, Some(transformed)) => winograd::convolve(self, transformed, images, size, out),
            (_, None) => {
                // Given back afterwards: it may be the largest piece of memory of a generation.
                let mut transformed = zeros(winograd::transformed_length(self.kernels.len()));
                winograd::transform_kernels(&self.kernels, inputs, self.at_once, &mut transformed);
                winograd::convolve(self, &transformed, images, size, out);
            }
        }
    }

    fn convolve_directly(&self, images: &[f32], size: [usize; 2], out: &mut [f32]) {
        let [inputs, outputs] = self.geometry.channels;
        let [height, width] = self.geometry.output(size);
        let (image, pixels) = (inputs * size[0] * size[1], height * width);
        let batch = images.len() / image.max(1);
        let step = PANELS * 2 * lanes();
        let (blocks, groups) = (pixels.div_ceil(step), outputs.div_ceil(self.at_once));
        let tasks = 4 * rayon::current_num_threads();
        let parts = tasks.div_ceil((batch * blocks).max(1)).min(groups).max(1);
        let groups_each = groups.div_ceil(parts);
        let out = Shared::new(out);
        (0..batch * blocks * parts).into_par_iter().for_each(|task| {
            let (item, block, part) = (task / parts / blocks, task / parts % blocks, task % parts);
            with_scratch(DEPTH * step, |patches| {
                dispatch(Convolve {
                    kernels: self,
                    image: &images[item * image..][..image],
                    size,
                    pixels: block * step..pixels.min((block + 1) * step),
                    groups: (part * groups_each).min(groups)..groups.min((part + 1) * groups_each),
                    out,
                    first: item * outputs * pixels,
                    patches,
                });
            });
        });
    }
}

/// Some pixels of some groups of output channels.
struct Convolve<'a> {
    kernels: &'a PackedKernels,
    image: &'a [f32],
    size: [usize; 2],
    pixels: Range<usize>,
    groups: Range<usize>,
    out: Shared<'a>,
    /// Where the image's result begins.
    first: usize,
    /// Room for patches.
    patches: &'a mut [f32],
}

impl WithSimd for Convolve<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernels, image, size, pixels, groups, out, first, patches } = self;
        let PackedKernels { geometry, kernels: packed, at_once, bias, .. } = kernels;
        let ([_, outputs], patch) = (geometry.channels, geometry.patch());
        let [height, width] = geometry.output(size);
        let lanes = 2 * S::F32_LANES;
        for start in (0..patch).step_by(DEPTH) {
            let depth = start..patch.min(start + DEPTH);
            lay_out(geometry, image, size, pixels.clone(), depth.clone(), lanes, patches);
            for group in groups.clone() {
                let channel = group * at_once;
                let rows = *at_once.min(&(outputs - channel));
                let left = &packed[channel * patch + start * at_once..];
                let panels = pixels.clone().step_by(lanes).zip(patches.chunks(depth.len() * lanes));
                for (pixel, right) in panels {
                    let columns = lanes.min(pixels.end - pixel);
                    let at = first + channel * height * width + pixel;
                    let tile = Tile {
                        rows,
                        depth: depth.len(),
                        left,
                        left_step: *at_once,
                        right,
                        right_step: lanes,
                        start: Start::Present,
                    };
                    if start == 0 {
                        for (i, &bias) in bias[channel..channel + rows].iter().enumerate() {
                            // SAFETY: these pixels of these channels are this task's alone.
                            unsafe { out.slice(at + i * height * width, columns) }.fill(bias);
                        }
                    }
                    // SAFETY: as above.
                    unsafe { tile.run_narrow(simd, columns, out.from(at), height * width) };
                }
            }
        }
    }
}

/// Lays out some entries of the patches around some pixels: panels of `lanes` pixels, entry by
/// entry.
#[inline(always)]
fn lay_out(
    geometry: &Geometry,
    image: &[f32],
    size: [usize; 2],
    pixels: Range<usize>,
    depth: Range<usize>,
    lanes: usize,
    patches: &mut [f32],
) {
    let width = geometry.output(size)[1];
    let [kernel_height, kernel_width] = geometry.kernel;
    let panels = pixels.clone().step_by(lanes).zip(patches.chunks_mut(depth.len() * lanes));
    for (first, panel) in panels {
        let last = pixels.end.min(first + lanes);
        for (entry, line) in depth.clone().zip(panel.chunks_exact_mut(lanes)) {
            let (channel, rest) =
                (entry / (kernel_height * kernel_width), entry % (kernel_height * kernel_width));
            let (down, right) = (rest / kernel_width, rest % kernel_width);
            let map = &image[channel * size[0] * size[1]..][..size[0] * size[1]];
            let mut pixel = first;
            // Pixels of one row of the result at a time.
            while pixel < last {
                let (row, column) = (pixel / width, pixel % width);
                let end = last.min((row + 1) * width);
                let line = &mut line[pixel - first..end - first];
                let source = (row * geometry.stride[0] + down).wrapping_sub(geometry.padding[0]);
                match map.get(source.wrapping_mul(size[1])..).filter(|_| source < size[0]) {
                    None => line.fill(0.0),
                    Some(source) => {
                        let source = &source[..size[1]];
                        copy_row(source, column, right, geometry, line);
                    }
                }
                pixel = end;
            }
            line[last - first..].fill(0.0);
        }
    }
}

/// Copies what one entry of the patches sees of a row of the image.
#[inline(always)]
fn copy_row(row: &[f32], column: usize, right: usize, geometry: &Geometry, line: &mut [f32]) {
    let (stride, padding) = (geometry.stride[1], geometry.padding[1]);
    let first = column * stride + right;
    if stride == 1 {
        // Entry i of the line shows pixel first + i - padding.
        let before = padding.saturating_sub(first).min(line.len());
        let shown = (row.len() + padding).saturating_sub(first).clamp(before, line.len());
        line[..before].fill(0.0);
        line[shown..].fill(0.0);
        if before < shown {
            let from = first + before - padding;
            line[before..shown].copy_from_slice(&row[from..from + shown - before]);
        }
        return;
    }
    for (i, value) in line.iter_mut().enumerate() {
        let at = (first + i * stride).wrapping_sub(padding);
        *value = row.get(at).copied().unwrap_or(0.0);
    }
}
