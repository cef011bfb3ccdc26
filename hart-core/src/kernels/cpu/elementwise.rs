//! Activations and gates, in place.

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::broadcast::Broadcast;
use super::simd::{dispatch, gelu_tanh, get, put, silu, vectors};

/// Entries of a task: enough to outweigh what a task costs.
const ENTRIES: usize = 1 << 14;

/// What is done to every entry.
#[derive(Debug, Clone, Copy)]
enum Operation<'a> {
    Silu,
    GeluTanh,
    /// SiLU, times another entry.
    GatedSilu(&'a [f32]),
}

/// `x / (1 + e⁻ˣ)`.
pub fn silu_in_place(x: &mut [f32]) {
    x.par_chunks_mut(ENTRIES).for_each(|x| dispatch(Elements { x, operation: Operation::Silu }));
}

/// The tanh form of GELU.
pub fn gelu_tanh_in_place(x: &mut [f32]) {
    x.par_chunks_mut(ENTRIES)
        .for_each(|x| dispatch(Elements { x, operation: Operation::GeluTanh }));
}

/// `SiLU(gate) · up`, in the place of `gate`.
///
/// # Panics
/// When the lengths differ.
pub fn gated_silu_in_place(gate: &mut [f32], up: &[f32]) {
    assert_eq!(gate.len(), up.len(), "a factor for every gate");
    gate.par_chunks_mut(ENTRIES)
        .zip(up.par_chunks(ENTRIES))
        .for_each(|(x, up)| dispatch(Elements { x, operation: Operation::GatedSilu(up) }));
}

struct Elements<'a> {
    x: &'a mut [f32],
    operation: Operation<'a>,
}

impl WithSimd for Elements<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, operation } = self;
        for i in 0..vectors::<S>(x) {
            let value = get(simd, x, i);
            let value = match operation {
                Operation::Silu => silu(simd, value),
                Operation::GeluTanh => gelu_tanh(simd, value),
                Operation::GatedSilu(up) => simd.mul_f32s(silu(simd, value), get(simd, up, i)),
            };
            put(simd, x, i, value);
        }
    }
}

/// `x + y · gate` in the place of `x`, row by row of `width` entries.
///
/// # Panics
/// When lengths do not fit.
pub fn add_gated(x: &mut [f32], y: &[f32], gate: Broadcast<'_>, width: usize) {
    assert_eq!(x.len(), y.len(), "one entry to add for each");
    gate.check(x.len() / width.max(1), width);
    // Whole rows, so that a task reads each row of the gate from its beginning.
    let each = (ENTRIES / width).max(1);
    let tasks = x.par_chunks_mut(each * width).zip(y.par_chunks(each * width)).enumerate();
    tasks.for_each(|(task, (x, y))| dispatch(Gated { x, y, gate, width, first: task * each }));
}

struct Gated<'a> {
    x: &'a mut [f32],
    y: &'a [f32],
    gate: Broadcast<'a>,
    width: usize,
    first: usize,
}

impl WithSimd for Gated<'_> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { x, y, gate, width, first } = self;
        let pairs = x.chunks_exact_mut(width).zip(y.chunks_exact(width));
        for (i, (x, y)) in pairs.enumerate() {
            let gate = gate.row(first + i, width);
            for j in 0..vectors::<S>(y) {
                let sum = simd.mul_add_e_f32s(get(simd, y, j), get(simd, gate, j), get(simd, x, j));
                put(simd, x, j, sum);
            }
        }
    }
}
