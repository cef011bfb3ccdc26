//! Convolution as a product: packed kernels times the patches of an image, which are laid out block
//! by block on the way.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::geometry::Geometry;
use crate::kernels::cpu::matrix::{even, pack_rows};
use crate::kernels::cpu::memory::{Aligned, Shared, with_scratch, zeros};
use crate::kernels::cpu::simd::{dispatch, lanes, most_rows};
use crate::kernels::cpu::tile::{Start, Tile};

/// The most entries of patches that are added up at a time: a panel of them, two vectors wide, and
/// the kernels of a group for them share the first cache levels.
const DEPTH: usize = 512;
/// Groups of two vectors of pixels that a task lays out at a time.
const PANELS: usize = 4;

/// Kernels in the order in which they are multiplied.
#[derive(Debug, Clone)]
pub(super) struct Kernels {
    pub(super) geometry: Geometry,
    /// Groups of output channels, of each the entries of a patch one behind the other.
    pub(super) packed: Aligned,
    /// Output channels of a group.
    pub(super) at_once: usize,
    pub(super) bias: Vec<f32>,
}

impl Kernels {
    /// Packs kernels `[out, in, height, width]` and a bias `[out]`.
    ///
    /// # Panics
    /// When one has another length.
    pub(super) fn new(kernels: &[f32], bias: &[f32], geometry: Geometry) -> Self {
        let (outputs, patch) = (geometry.channels[1], geometry.patch());
        assert_eq!(kernels.len(), outputs * patch, "kernels of {geometry:?}");
        assert_eq!(bias.len(), outputs, "a bias for every output");
        let at_once = even(outputs, most_rows());
        let mut packed = zeros(outputs.next_multiple_of(at_once) * patch);
        pack_rows(kernels, patch, 0..patch, at_once, &mut packed);
        Self { geometry, packed, at_once, bias: bias.to_vec() }
    }

    /// Convolves images `[batch, in, height, width]` into `out` `[batch, out, height, width]`, whose
    /// lengths fit.
    pub(super) fn convolve(&self, images: &[f32], size: [usize; 2], out: &mut [f32]) {
        let [inputs, outputs] = self.geometry.channels;
        let [height, width] = self.geometry.output(size);
        let (image, pixels) = (inputs * size[0] * size[1], height * width);
        let batch = images.len() / image.max(1);
        let step = PANELS * 2 * lanes();
        let (blocks, groups) = (pixels.div_ceil(step), outputs.div_ceil(self.at_once));
        // Small maps have too few blocks of pixels for all threads: then the output channels are
        // divided as well, and each task lays the patches out for itself.
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
    kernels: &'a Kernels,
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
        let Kernels { geometry, packed, at_once, bias } = kernels;
        let ([_, outputs], patch) = (geometry.channels, geometry.patch());
        let [height, width] = geometry.output(size);
        let lanes = 2 * S::F32_LANES;
        for start in (0..patch).step_by(DEPTH) {
            let depth = start..patch.min(start + DEPTH);
            // Laid out once, then read from the cache by every group of output channels.
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
                    // Sums begin with the bias in the result itself, so that all depths are alike.
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
                // Above the image this wraps around to a row beyond it: both are padding.
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
            // The rest of the last panel is computed as well, and thrown away.
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
