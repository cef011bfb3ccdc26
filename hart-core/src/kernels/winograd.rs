//! Convolution with kernels of 3 × 3 by four times fewer multiplications.
//!
//! A tile of 4 × 4 results needs a patch of 6 × 6 pixels. Patches and kernels are transformed to
//! where a convolution is a product entry by entry, of which each of the 36 is a product of
//! matrices over channels (the algorithm F(4 × 4, 3 × 3) of A. Lavin and S. Gray, "Fast Algorithms
//! for Convolutional Neural Networks", 2015). Transformed kernels take four times the memory, so
//! this is for layers of few channels over many pixels.
#![expect(clippy::needless_range_loop, reason = "rows and columns of small matrices")]

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrix::even;
use super::memory::{Aligned, Shared, with_scratch, zeros};
use super::simd::{dispatch, get, lanes, most_rows, put};
use super::tile::{MAX_ROWS, MAX_WIDTH, Start, Tile};

/// Results of a tile, in a row.
const TILE: usize = 4;
/// Pixels of a patch, in a row.
const PATCH: usize = 6;
/// Entries of a transformed patch.
const ENTRIES: usize = PATCH * PATCH;
/// The transform of kernels, `G`.
const KERNEL: [[f64; 3]; PATCH] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// Transformed kernels.
#[derive(Debug, Clone)]
pub struct TransformedKernels {
    channels: [usize; 2],
    /// Groups of output channels, of each every entry, of each every input channel.
    kernels: Aligned,
    /// Output channels of a group.
    at_once: usize,
    bias: Vec<f32>,
}

impl TransformedKernels {
    /// Transforms kernels `[out, in, 3, 3]` and takes a bias `[out]`.
    ///
    /// # Panics
    /// When one has another length.
    pub fn new(kernels: &[f32], bias: &[f32], [inputs, outputs]: [usize; 2]) -> Self {
        assert_eq!(kernels.len(), outputs * inputs * 9, "kernels of 3 × 3");
        assert_eq!(bias.len(), outputs, "a bias for every output");
        let at_once = even(outputs, most_rows());
        let group = ENTRIES * inputs * at_once;
        let mut transformed = zeros(outputs.div_ceil(at_once) * group);
        let groups = transformed.par_chunks_mut(group.max(1)).enumerate();
        groups.for_each(|(group, values)| {
            for row in 0..at_once.min(outputs - group * at_once) {
                for input in 0..inputs {
                    let at = ((group * at_once + row) * inputs + input) * 9;
                    for (entry, value) in transform(&kernels[at..at + 9]).into_iter().enumerate() {
                        values[(entry * inputs + input) * at_once + row] = value;
                    }
                }
            }
        });
        Self { channels: [inputs, outputs], kernels: transformed, at_once, bias: bias.to_vec() }
    }

    /// Input and output channels.
    pub fn channels(&self) -> [usize; 2] {
        self.channels
    }

    /// Convolves images `[batch, in, height, width]`, one row of zeros around each, into `out`
    /// `[batch, out, height, width]`.
    ///
    /// # Panics
    /// When a length does not fit.
    pub fn convolve(&self, images: &[f32], [height, width]: [usize; 2], out: &mut [f32]) {
        let [inputs, outputs] = self.channels;
        let pixels = height * width;
        let batch = images.len() / (inputs * pixels).max(1);
        assert_eq!(images.len(), batch * inputs * pixels, "images of {height} × {width}");
        assert_eq!(out.len(), batch * outputs * pixels, "as many pixels as before");
        let (across, step) = (width.div_ceil(TILE), 2 * lanes());
        let tiles = height.div_ceil(TILE) * across;
        let blocks = tiles.div_ceil(step);
        let out = Shared::new(out);
        (0..batch * blocks).into_par_iter().for_each(|task| {
            let (item, block) = (task / blocks, task % blocks);
            let length = ENTRIES * (inputs + MAX_ROWS + 1) * MAX_WIDTH + TILE * TILE * MAX_WIDTH;
            with_scratch(length, |room| {
                dispatch(Block {
                    kernels: self,
                    image: &images[item * inputs * pixels..][..inputs * pixels],
                    size: [height, width],
                    tiles: block * step..tiles.min((block + 1) * step),
                    out,
                    first: item * outputs * pixels,
                    room,
                });
            });
        });
    }
}

/// `G·g·Gᵀ` of a kernel.
fn transform(kernel: &[f32]) -> [f32; ENTRIES] {
    let mut half = [[0.0; 3]; PATCH];
    for (half, row) in half.iter_mut().zip(&KERNEL) {
        for (x, value) in half.iter_mut().enumerate() {
            *value = (0..3).map(|y| row[y] * f64::from(kernel[y * 3 + x])).sum();
        }
    }
    std::array::from_fn(|entry| {
        let (half, row) = (&half[entry / PATCH], &KERNEL[entry % PATCH]);
        (0..3).map(|x| half[x] * row[x]).sum::<f64>() as f32
    })
}

/// Some tiles, in the order of rows, of all output channels.
struct Block<'a> {
    kernels: &'a TransformedKernels,
    image: &'a [f32],
    size: [usize; 2],
    tiles: Range<usize>,
    out: Shared<'a>,
    /// Where the image's result begins.
    first: usize,
    room: &'a mut [f32],
}

impl WithSimd for Block<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { kernels, image, size, tiles, out, first, room } = self;
        let TransformedKernels { channels: [inputs, outputs], kernels, at_once, bias } = kernels;
        let (width, pixels) = (2 * S::F32_LANES, size[0] * size[1]);
        let (patches, room) = room.split_at_mut(ENTRIES * inputs * width);
        let (products, room) = room.split_at_mut(ENTRIES * at_once * width);
        let (raw, results) = room.split_at_mut(ENTRIES * width);
        for (channel, map) in image.chunks_exact(pixels).enumerate() {
            cut_out(map, size, tiles.clone(), width, raw);
            for half in 0..2 {
                transform_patches(simd, raw, half, patches, channel, *inputs);
            }
        }
        let groups = kernels.chunks_exact(ENTRIES * inputs * at_once).enumerate();
        for (group, kernels) in groups {
            let channel = group * at_once;
            let rows = *at_once.min(&(outputs - channel));
            for entry in 0..ENTRIES {
                let tile = Tile {
                    rows,
                    depth: *inputs,
                    left: &kernels[entry * inputs * at_once..],
                    left_step: *at_once,
                    right: &patches[entry * inputs * width..],
                    right_step: width,
                    start: Start::Zero,
                };
                let products = Shared::new(&mut products[entry * at_once * width..]);
                // SAFETY: the products are ours.
                unsafe { tile.run(simd, products, width) };
            }
            for row in 0..rows {
                for half in 0..2 {
                    let bias = bias[channel + row];
                    transform_back(simd, products, row, *at_once, half, bias, results);
                }
                let map = first + (channel + row) * pixels;
                put_back(results, size, tiles.clone(), width, out, map);
            }
        }
    }
}

/// The segments of a range of tiles that lie in one row of tiles each: row, first column, place
/// among the tiles, count.
fn segments(tiles: Range<usize>, across: usize) -> impl Iterator<Item = [usize; 4]> {
    let first = tiles.start;
    (tiles.start / across..tiles.end.div_ceil(across)).map(move |row| {
        let start = tiles.start.max(row * across);
        let end = tiles.end.min((row + 1) * across);
        [row, start - row * across, start - first, end - start]
    })
}

/// Copies the patches of tiles: entry by entry, the tiles one behind the other.
#[inline(always)]
fn cut_out(
    map: &[f32],
    [height, width]: [usize; 2],
    tiles: Range<usize>,
    step: usize,
    raw: &mut [f32],
) {
    for [row, column, place, count] in segments(tiles, width.div_ceil(TILE)) {
        for y in 0..PATCH {
            let lines = &mut raw[y * PATCH * step..][..PATCH * step];
            let source = (row * TILE + y).wrapping_sub(1);
            if source >= height {
                for line in lines.chunks_exact_mut(step) {
                    line[place..place + count].fill(0.0);
                }
                continue;
            }
            let source = &map[source * width..][..width];
            for (x, line) in lines.chunks_exact_mut(step).enumerate() {
                let first = (column * TILE + x).wrapping_sub(1);
                for (i, value) in line[place..place + count].iter_mut().enumerate() {
                    let at = first.wrapping_add(i * TILE);
                    *value = source.get(at).copied().unwrap_or(0.0);
                }
            }
        }
    }
}

/// `Bᵀ·d·B` of a vector of patches.
#[inline(always)]
fn transform_patches<S: Simd>(
    simd: S,
    raw: &[f32],
    half: usize,
    patches: &mut [f32],
    channel: usize,
    channels: usize,
) {
    let mut values = [[simd.splat_f32s(0.0); PATCH]; PATCH];
    for y in 0..PATCH {
        for x in 0..PATCH {
            values[x][y] = get(simd, raw, 2 * (y * PATCH + x) + half);
        }
    }
    // First along columns, then along rows.
    for column in &mut values {
        *column = transform_line(simd, *column);
    }
    for y in 0..PATCH {
        let row = transform_line(simd, std::array::from_fn(|x| values[x][y]));
        for (x, value) in row.into_iter().enumerate() {
            put(simd, patches, 2 * ((y * PATCH + x) * channels + channel) + half, value);
        }
    }
}

/// `Bᵀ·d`.
#[inline(always)]
fn transform_line<S: Simd>(simd: S, d: [S::f32s; PATCH]) -> [S::f32s; PATCH] {
    let times = |a, factor: f32, b| simd.mul_add_e_f32s(a, simd.splat_f32s(factor), b);
    let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
    let [even, odd] = [times(d[2], -4.0, d[4]), times(d[1], -4.0, d[3])];
    let [near, far] = [sub(d[4], d[2]), sub(d[3], d[1])];
    [
        times(d[0], 4.0, times(d[2], -5.0, d[4])),
        add(even, odd),
        sub(even, odd),
        times(far, 2.0, near),
        times(far, -2.0, near),
        times(d[1], 4.0, times(d[3], -5.0, d[5])),
    ]
}

/// `Aᵀ·m·A` of a vector of products, with the bias.
#[inline(always)]
fn transform_back<S: Simd>(
    simd: S,
    products: &[f32],
    row: usize,
    rows: usize,
    half: usize,
    bias: f32,
    results: &mut [f32],
) {
    let mut values = [[simd.splat_f32s(0.0); TILE]; PATCH];
    for x in 0..PATCH {
        let column =
            std::array::from_fn(|y| get(simd, products, 2 * ((y * PATCH + x) * rows + row) + half));
        values[x] = back_line(simd, column);
    }
    for y in 0..TILE {
        let line = back_line(simd, std::array::from_fn(|x| values[x][y]));
        for (x, value) in line.into_iter().enumerate() {
            let value = simd.add_f32s(value, simd.splat_f32s(bias));
            put(simd, results, 2 * (y * TILE + x) + half, value);
        }
    }
}

/// `Aᵀ·m`.
#[inline(always)]
fn back_line<S: Simd>(simd: S, m: [S::f32s; PATCH]) -> [S::f32s; TILE] {
    let times = |a, factor: f32, b| simd.mul_add_e_f32s(a, simd.splat_f32s(factor), b);
    let (add, sub) = (|a, b| simd.add_f32s(a, b), |a, b| simd.sub_f32s(a, b));
    let [near, near_difference] = [add(m[1], m[2]), sub(m[1], m[2])];
    let [far, far_difference] = [add(m[3], m[4]), sub(m[3], m[4])];
    [
        add(m[0], add(near, far)),
        times(far_difference, 2.0, near_difference),
        times(far, 4.0, near),
        add(m[5], times(far_difference, 8.0, near_difference)),
    ]
}

/// Writes the results of tiles where they belong, as far as the image goes.
#[inline(always)]
fn put_back(
    results: &[f32],
    [height, width]: [usize; 2],
    tiles: Range<usize>,
    step: usize,
    out: Shared<'_>,
    map: usize,
) {
    for [row, column, place, count] in segments(tiles, width.div_ceil(TILE)) {
        for y in 0..TILE.min(height - row * TILE) {
            let first = column * TILE;
            let length = (count * TILE).min(width - first);
            // SAFETY: the pixels of a tile are its task's alone.
            let line = unsafe { out.slice(map + (row * TILE + y) * width + first, length) };
            let lines = &results[y * TILE * step..][..TILE * step];
            for (i, pixels) in line.chunks_mut(TILE).enumerate() {
                for (x, pixel) in pixels.iter_mut().enumerate() {
                    *pixel = lines[x * step + place + i];
                }
            }
        }
    }
}
