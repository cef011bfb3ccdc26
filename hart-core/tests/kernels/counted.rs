//! Kernels that are run so often that somebody can count their instructions: `scripts/arm-check count` runs
//! each once and twice in an emulator, and takes the difference.

#![allow(clippy::print_stderr)]

use hart_core::kernels::cpu::attention::{Heads, Scores, attend};
use hart_core::kernels::cpu::convolution::{Geometry, PackedKernels};
use hart_core::kernels::cpu::int8::Int8Matrix;
use hart_core::kernels::cpu::matrix::PackedMatrix;

use crate::values;

/// Runs a kernel as often as is asked, and says how many multiply-adds it takes once.
fn repeat(multiply_adds: usize, mut kernel: impl FnMut()) {
    let times = std::env::var("HART_REPEAT").expect("HART_REPEAT says how often");
    for _ in 0..times.parse::<usize>().expect("HART_REPEAT is a number") {
        kernel();
    }
    eprintln!("multiply-adds: {multiply_adds}");
}

const ROWS: usize = 56;
const SIZE: [usize; 2] = [256, 256];

#[test]
#[ignore = "for counting instructions: scripts/arm-check count"]
fn linear() {
    let matrix = PackedMatrix::new(&values(SIZE[0] * SIZE[1], 1), None, SIZE);
    let (rows, mut out) = (values(ROWS * SIZE[0], 2), vec![0.0; ROWS * SIZE[1]]);
    repeat(ROWS * SIZE[0] * SIZE[1], || matrix.multiply(&rows, &mut out));
}

#[test]
#[ignore = "for counting instructions: scripts/arm-check count"]
fn linear_int8() {
    let matrix = Int8Matrix::new(&values(SIZE[0] * SIZE[1], 1), None, SIZE);
    let (rows, mut out) = (values(ROWS * SIZE[0], 2), vec![0.0; ROWS * SIZE[1]]);
    repeat(ROWS * SIZE[0] * SIZE[1], || matrix.multiply(&rows, &mut out));
}

#[test]
#[ignore = "for counting instructions: scripts/arm-check count"]
fn attention() {
    let (queries, keys, width) = (64, 256, 64);
    let (q, k, v) = (values(queries * width, 1), values(keys * width, 2), values(keys * width, 3));
    let scores = Scores { width, scale: 0.125, first: 0.0 };
    let heads = |values, rows| Heads { values, rows, step: rows * width };
    let mut out = vec![0.0; queries * width];
    repeat(2 * queries * keys * width, || {
        attend(heads(&q, queries), heads(&k, keys), heads(&v, keys), scores, &mut out);
    });
}

#[test]
#[ignore = "for counting instructions: scripts/arm-check count"]
fn convolution() {
    let ([inputs, outputs], [height, width]) = ([32, 32], [16, 16]);
    let geometry =
        Geometry { channels: [inputs, outputs], kernel: [3, 3], padding: [1, 1], stride: [1, 1] };
    let kernels = PackedKernels::new(&values(outputs * inputs * 9, 1), &[0.0; 32], geometry);
    let image = values(inputs * height * width, 2);
    let mut out = vec![0.0; outputs * height * width];
    repeat(9 * inputs * outputs * height * width, || {
        kernels.convolve(&image, [height, width], &mut out);
    });
}
