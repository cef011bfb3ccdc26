//! Vectors of whatever width the processor has, chosen when the program runs.

use std::sync::LazyLock;

use pulp::{Arch, Simd, WithSimd};

/// The widest instructions of this processor: AVX-512, AVX2, NEON, or none.
static ARCH: LazyLock<Arch> = LazyLock::new(Arch::new);

/// 1.5·2²³: adding it leaves a rounded number in the lowest bits, also for negative numbers.
pub(crate) const ROUND: f32 = 12_582_912.0;

/// Runs `op` compiled for this processor.
#[inline]
pub(crate) fn dispatch<Op: WithSimd>(op: Op) -> Op::Output {
    ARCH.dispatch(op)
}

/// The entries of one vector of 32-bit floats on this processor.
pub(crate) fn lanes() -> usize {
    struct Lanes;
    impl WithSimd for Lanes {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            S::F32_LANES
        }
    }
    dispatch(Lanes)
}

/// The rows of a [`Tile`](super::tile::Tile) on this processor.
pub(crate) fn most_rows() -> usize {
    struct Rows;
    impl WithSimd for Rows {
        type Output = usize;
        fn with_simd<S: Simd>(self, _: S) -> usize {
            super::tile::rows_at_once::<S>()
        }
    }
    dispatch(Rows)
}

/// `eˣ` in every entry, to 2 units in the last place; below -87 it gives `e⁻⁸⁷` ≈ 0, above 88
/// `e⁸⁸`. A NaN stays one.
///
/// `x = n·ln 2 + r` with |r| ≤ ln 2 / 2: a polynomial gives `eʳ`, and `n` goes into the exponent.
#[inline(always)]
#[expect(clippy::excessive_precision, reason = "ln 2 in two parts, the first one exact")]
pub(crate) fn exp<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    /// 1/k! for k from 7 down to 2.
    const SERIES: [f32; 6] =
        [1.984_126_98e-4, 1.388_888_89e-3, 8.333_333_3e-3, 4.166_666_67e-2, 0.166_666_667, 0.5];
    let splat = |value| simd.splat_f32s(value);
    let x = simd.max_f32s(simd.min_f32s(x, splat(88.0)), splat(-87.0));
    // The sum with 1.5·2²³ has no bits left for fractions: the addition itself rounds.
    let shifted = simd.mul_add_e_f32s(x, splat(std::f32::consts::LOG2_E), splat(ROUND));
    let n = simd.sub_f32s(shifted, splat(ROUND));
    // The first part of ln 2 has few bits, so that its product with n is exact.
    let r = simd.mul_add_e_f32s(n, splat(-0.693_359_375), x);
    let r = simd.mul_add_e_f32s(n, splat(2.121_944_4e-4), r);
    let mut sum = splat(SERIES[0]);
    for factor in &SERIES[1..] {
        sum = simd.mul_add_e_f32s(sum, r, splat(*factor));
    }
    sum = simd.mul_add_e_f32s(sum, simd.mul_f32s(r, r), simd.add_f32s(r, splat(1.0)));
    // The lowest bits of `shifted` are n in two's complement; moved up they add to the exponent.
    let exponent =
        simd.wrapping_dyn_shl_u32s(simd.transmute_u32s_f32s(shifted), simd.splat_u32s(23));
    let bits = simd.add_u32s(simd.transmute_u32s_f32s(sum), exponent);
    simd.transmute_f32s_u32s(bits)
}

/// `x / (1 + e⁻ˣ)` in every entry.
#[inline(always)]
pub(crate) fn silu<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    let one = simd.splat_f32s(1.0);
    simd.div_f32s(x, simd.add_f32s(one, exp(simd, simd.neg_f32s(x))))
}

/// The tanh form of GELU in every entry: `x / (1 + e^(-2u))` with
/// `u = √(2/π)·(x + 0.044715·x³)`.
#[inline(always)]
pub(crate) fn gelu_tanh<S: Simd>(simd: S, x: S::f32s) -> S::f32s {
    const FACTOR: f32 = 0.797_884_6;
    let one = simd.splat_f32s(1.0);
    let square = simd.mul_f32s(x, x);
    let inner = simd.mul_add_e_f32s(square, simd.splat_f32s(0.044_715), one);
    let twice = simd.mul_f32s(simd.mul_f32s(x, inner), simd.splat_f32s(-2.0 * FACTOR));
    simd.div_f32s(x, simd.add_f32s(one, exp(simd, twice)))
}

/// How many vectors a slice fills; the last one may not be full.
#[inline(always)]
pub(crate) fn vectors<S: Simd>(slice: &[f32]) -> usize {
    slice.len().div_ceil(S::F32_LANES)
}

/// The vector at an index of a slice, filled up with zeros.
#[inline(always)]
pub(crate) fn get<S: Simd>(simd: S, slice: &[f32], index: usize) -> S::f32s {
    let start = index * S::F32_LANES;
    match slice.get(start..start + S::F32_LANES) {
        Some(full) => S::as_simd_f32s(full).0[0],
        None => simd.partial_load_f32s(&slice[start..]),
    }
}

/// Puts a vector to an index of a slice, or as much of it as there is room for.
#[inline(always)]
pub(crate) fn put<S: Simd>(simd: S, slice: &mut [f32], index: usize, value: S::f32s) {
    let start = index * S::F32_LANES;
    match slice.get_mut(start..start + S::F32_LANES) {
        Some(full) => S::as_mut_simd_f32s(full).0[0] = value,
        None => simd.partial_store_f32s(&mut slice[start..], value),
    }
}

/// The sum of all entries.
#[inline(always)]
pub(crate) fn sum<S: Simd>(simd: S, slice: &[f32]) -> f32 {
    // Four sums at a time: one alone would wait for the latency of every addition.
    let mut sums = [simd.splat_f32s(0.0); 4];
    for i in 0..vectors::<S>(slice) {
        sums[i % 4] = simd.add_f32s(sums[i % 4], get(simd, slice, i));
    }
    sum_of_vectors(simd, sums)
}

/// The sum of all squared distances from a centre.
#[inline(always)]
pub(crate) fn sum_of_squares<S: Simd>(simd: S, slice: &[f32], centre: f32) -> f32 {
    let mut sums = [simd.splat_f32s(0.0); 4];
    let whole = slice.len() / S::F32_LANES;
    for i in 0..whole {
        let value = simd.sub_f32s(get(simd, slice, i), simd.splat_f32s(centre));
        sums[i % 4] = simd.mul_add_e_f32s(value, value, sums[i % 4]);
    }
    // What does not fill a vector: there the centre must not be taken from zeros.
    let rest = slice[whole * S::F32_LANES..].iter().map(|x| (x - centre) * (x - centre));
    sum_of_vectors(simd, sums) + rest.sum::<f32>()
}

/// The sum of all entries of four vectors.
#[inline(always)]
pub(crate) fn sum_of_vectors<S: Simd>(simd: S, [a, b, c, d]: [S::f32s; 4]) -> f32 {
    simd.reduce_sum_f32s(simd.add_f32s(simd.add_f32s(a, b), simd.add_f32s(c, d)))
}
