//! Convolution with kernels of 3 × 3 by four times fewer multiplications.
//!
//! A tile of 4 × 4 results needs a patch of 6 × 6 pixels. Patches and kernels are transformed to
//! where a convolution is a product entry by entry, of which each of the 36 is a product of
//! matrices over channels (the algorithm F(4 × 4, 3 × 3) of A. Lavin and S. Gray, "Fast Algorithms
//! for Convolutional Neural Networks", 2015). Transformed kernels take four times the memory.
#![expect(clippy::needless_range_loop, reason = "rows and columns of small matrices")]

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::convolution::PackedKernels;
use super::memory::{Shared, with_scratch};
use super::simd::{dispatch, get, lanes, put};
use super::tile::{MAX_ROWS, MAX_WIDTH, Start, Tile};

/// Results of a tile, in a row.
const TILE: usize = 4;
/// Pixels of a patch, in a row.
const PATCH: usize = 6;
/// Entries of a transformed patch.
const ENTRIES: usize = PATCH * PATCH;
/// The transform of kernels, `G`.
const KERNEL: [[f32; 3]; PATCH] = [
    [1.0 / 4.0, 0.0, 0.0],
    [-1.0 / 6.0, -1.0 / 6.0, -1.0 / 6.0],
    [-1.0 / 6.0, 1.0 / 6.0, -1.0 / 6.0],
    [1.0 / 24.0, 1.0 / 12.0, 1.0 / 6.0],
    [1.0 / 24.0, -1.0 / 12.0, 1.0 / 6.0],
    [0.0, 0.0, 1.0],
];

/// How many tiles an image of some height and width has.
pub(super) fn tiles([height, width]: [usize; 2]) -> usize {
    height.div_ceil(TILE) * width.div_ceil(TILE)
}

/// How many floats kernels take when they are transformed that took so many.
pub(super) fn transformed_length(packed: usize) -> usize {
    packed / 9 * ENTRIES
}

/// Transforms packed kernels: groups of `at_once` output channels, of each every input channel, of
/// each the entries of its kernels. In the result input channels follow entries.
pub(super) fn transform_kernels(packed: &[f32], inputs: usize, at_once: usize, out: &mut [f32]) {
    let group = inputs * 9 * at_once;
    let groups = packed.par_chunks_exact(group).zip(out.par_chunks_exact_mut(group / 9 * ENTRIES));
    groups.for_each(|(packed, out)| dispatch(TransformKernels { packed, at_once, out }));
}

/// Convolves images `[batch, in, height, width]`, one row of zeros around each, into `out`
/// `[batch, out, height, width]`, with kernels that [`transform_kernels`] has made of packed ones.
pub(super) fn convolve(
    kernels: &PackedKernels,
    transformed: &[f32],
    images: &[f32],
    size: [usize; 2],
    out: &mut [f32],
) {
    let [inputs, outputs] = kernels.geometry.channels;
    let (pixels, step) = (size[0] * size[1], 2 * lanes());
    let batch = images.len() / (inputs * pixels).max(1);
    let tiles = tiles(size);
    let blocks = tiles.div_ceil(step);
    let out = Shared::new(out);
    (0..batch * blocks).into_par_iter().for_each(|task| {
        let (item, block) = (task / blocks, task % blocks);
        let length = ENTRIES * (inputs + MAX_ROWS + 1) * MAX_WIDTH + TILE * TILE * MAX_WIDTH;
        with_scratch(length, |room| {
            dispatch(Block {
                kernels,
                transformed,
                image: &images[item * inputs * pixels..][..inputs * pixels],
                size,
                tiles: block * step..tiles.min((block + 1) * step),
                out,
                first: item * outputs * pixels,
                room,
            });
        });
    });
}

/// `G·g·Gᵀ` of the kernels of a group.
struct TransformKernels<'a> {
    packed: &'a [f32],
    at_once: usize,
    out: &'a mut [f32],
}

impl WithSimd for TransformKernels<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, _: S) {
        let Self { packed, at_once, out } = self;
        let inputs = packed.len() / (9 * at_once);
        for (input, kernels) in packed.chunks_exact(9 * at_once).enumerate() {
            let mut lines = [[0.0f32; MAX_ROWS]; 9];
            for (line, values) in lines.iter_mut().zip(kernels.chunks_exact(at_once)) {
                line[..at_once].copy_from_slice(values);
            }
            // First down the columns, then along the rows; a line of kernels at a time.
            let half: [[_; 3]; PATCH] = std::array::from_fn(|y| {
                std::array::from_fn(|x| combine(KERNEL[y], [lines[x], lines[3 + x], lines[6 + x]]))
            });
            for entry in 0..ENTRIES {
                let line = combine(KERNEL[entry % PATCH], half[entry / PATCH]);
                let at = (entry * inputs + input) * at_once;
                out[at..at + at_once].copy_from_slice(&line[..at_once]);
            }
        }
    }
}

/// The sum of lines times factors.
#[inline(always)]
fn combine(factors: [f32; 3], lines: [[f32; MAX_ROWS]; 3]) -> [f32; MAX_ROWS] {
    std::array::from_fn(|i| {
        factors[0] * lines[0][i] + factors[1] * lines[1][i] + factors[2] * lines[2][i]
    })
}

/// Some tiles, in the order of rows, of all output channels.
struct Block<'a> {
    kernels: &'a PackedKernels,
    transformed: &'a [f32],
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
        let Self { kernels, transformed, image, size, tiles, out, first, room } = self;
        let PackedKernels { geometry, at_once, bias, .. } = kernels;
        let [inputs, outputs] = geometry.channels;
        let (width, pixels) = (2 * S::F32_LANES, size[0] * size[1]);
        let (patches, room) = room.split_at_mut(ENTRIES * inputs * width);
        let (products, room) = room.split_at_mut(ENTRIES * at_once * width);
        let (raw, results) = room.split_at_mut(ENTRIES * width);
        for (channel, map) in image.chunks_exact(pixels).enumerate() {
            cut_out(map, size, tiles.clone(), width, raw);
            for half in 0..2 {
                transform_patches(simd, raw, half, patches, channel, inputs);
            }
        }
        let groups = transformed.chunks_exact(ENTRIES * inputs * at_once).enumerate();
        for (group, kernels) in groups {
            let channel = group * at_once;
            let rows = *at_once.min(&(outputs - channel));
            for entry in 0..ENTRIES {
                let tile = Tile {
                    rows,
                    depth: inputs,
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
