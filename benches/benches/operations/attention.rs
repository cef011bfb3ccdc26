//! Attention of one half of guidance, and the way to its queries, keys and values.

use burn::tensor::Tensor;
use criterion::Criterion;
use hart_ar::rotary::{extent, visual_angles};
use hart_core::ops::{Angles, Projection};
use hart_core::{Grid, HartBackend};
use hart_pipeline::backend::default_device;

use crate::plain;
use crate::timing::{Backend, Group, operations, random, values};

const HEADS: usize = 24;
const HEAD_WIDTH: usize = 64;
/// Queries and keys: the last scale of 256 pixels, and late ones of 1024.
const SHAPES: [[usize; 2]; 3] = [[256, 1000], [1296, 3500], [4096, 5700]];
/// Sides of scales whose projections are split.
const SIDES: [usize; 2] = [16, 64];

pub(crate) fn measure(criterion: &mut Criterion) {
    attend(criterion);
    split_heads(criterion);
}

fn attend(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "attention");
    for (i, [queries, keys]) in SHAPES.into_iter().enumerate() {
        let part = |rows| random([1, HEADS, rows, HEAD_WIDTH]);
        let (q, k, v) = (part(queries), part(keys), part(keys));
        let inputs = || (q.clone(), k.clone(), v.clone());
        let work = || operations(4 * queries * keys * HEADS * HEAD_WIDTH);
        let name = format!("{queries} queries, {keys} keys");
        group.time(&name, work(), inputs, |(q, k, v)| Backend::attend_repeated(q, k, v, 1, 1.0));
        if i == 0 {
            let name = format!("{name}, plain");
            group.time(name, work(), inputs, |(q, k, v)| plain::attend(q, k, v, 1.0));
        }
    }
}

fn split_heads(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "heads and rotation");
    let width = HEADS * HEAD_WIDTH;
    for (i, side) in SIDES.into_iter().enumerate() {
        let tokens = side * side;
        let projection = projection(side);
        let qkv: Tensor<Backend, 3> = random([2, tokens, 3 * width]);
        let inputs = || qkv.clone();
        let work = || values(2 * 2 * tokens * 3 * width);
        let name = format!("{tokens} tokens");
        group.time(&name, work(), inputs, |qkv| Backend::split_heads(qkv, &projection));
        if i == 0 {
            let name = format!("{name}, plain");
            group.time(name, work(), inputs, |qkv| plain::split_heads(qkv, &projection));
        }
    }
}

/// What is done to the projection of a scale of `side`², the last one.
fn projection(side: usize) -> Projection<Backend> {
    let grid = Grid::square(side);
    let tokens = grid.cells();
    let cells: Vec<usize> = (0..tokens).collect();
    let angles = visual_angles(&cells, grid, extent(grid, grid), 300, HEAD_WIDTH).repeat(2);
    Projection {
        heads: HEADS,
        query_bias: random([HEADS * HEAD_WIDTH]),
        value_bias: random([HEADS * HEAD_WIDTH]),
        query_scale: Some(random([1, HEADS, 1, 1])),
        angles: Angles::new(&angles, [2, tokens, HEAD_WIDTH], &default_device()),
    }
}
