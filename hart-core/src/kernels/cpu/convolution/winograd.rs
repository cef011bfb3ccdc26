//! Convolution with kernels of 3 × 3 by four times fewer multiplications.
//!
//! A tile of 4 × 4 results needs a patch of 6 × 6 pixels. Patches and kernels are transformed to
//! where a convolution is a product entry by entry, of which each of the 36 is a product of
//! matrices over channels (the algorithm F(4 × 4, 3 × 3) of A. Lavin and S. Gray, "Fast Algorithms
//! for Convolutional Neural Networks", 2015). Transformed kernels take four times the memory.

use std::ops::Range;

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::transforms::{ENTRIES, PATCH, TILE, transform_back, transform_patches};
use crate::kernels::cpu::memory::{Shared, with_scratch};
use crate::kernels::cpu::simd::{dispatch, lanes};
use crate::kernels::cpu::tile::{MAX_ROWS, MAX_WIDTH, Start, Tile};

/// What is read of kernels.
#[derive(Debug, Clone, Copy)]
pub(super) struct Kernels<'a> {
    /// Input and output channels.
    pub(super) channels: [usize; 2],
    /// What [`transform_kernels`](super::transforms::transform_kernels) made of them.
    pub(super) transformed: &'a [f32],
    /// Output channels of a group.
    pub(super) at_once: usize,
    /// `[out]`
    pub(super) bias: &'a [f32],
}

/// How many tiles an image of some height and width has.
pub(super) fn tiles([height, width]: [usize; 2]) -> usize {
    height.div_ceil(TILE) * width.div_ceil(TILE)
}

/// Convolves images `[batch, in, height, width]`, one row of zeros around each, into `out`
/// `[batch, out, height, width]`.
pub(super) fn convolve(kernels: Kernels<'_>, images: &[f32], size: [usize; 2], out: &mut [f32]) {
    let [inputs, outputs] = kernels.channels;
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

/// Some tiles, in the order of rows, of all output channels.
struct Block<'a> {
    kernels: Kernels<'a>,
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
        let Kernels { channels: [inputs, outputs], transformed, at_once, bias } = kernels;
        let (width, pixels) = (2 * S::F32_LANES, size[0] * size[1]);
        let (patches, room) = room.split_at_mut(ENTRIES * inputs * width);
        let (products, room) = room.split_at_mut(ENTRIES * at_once * width);
        let (raw, results) = room.split_at_mut(ENTRIES * width);
        // Every patch is transformed once and then multiplied with all output channels.
        for (channel, map) in image.chunks_exact(pixels).enumerate() {
            cut_out(map, size, tiles.clone(), width, raw);
            for half in 0..2 {
                transform_patches(simd, raw, half, patches, channel, inputs);
            }
        }
        let groups = transformed.chunks_exact(ENTRIES * inputs * at_once).enumerate();
        for (group, kernels) in groups {
            let channel = group * at_once;
            let rows = at_once.min(outputs - channel);
            // What was a convolution is 36 products of matrices, kernels by patches, over channels.
            for entry in 0..ENTRIES {
                let tile = Tile {
                    rows,
                    depth: inputs,
                    left: &kernels[entry * inputs * at_once..],
                    left_step: at_once,
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
                    transform_back(simd, products, row, at_once, half, bias, results);
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
            // One row of zeros around the image: above it the index wraps around to beyond it.
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
