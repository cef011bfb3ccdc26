//! The most 32-bit operations that this machine does in a second.

use std::hint::black_box;
use std::time::{Duration, Instant};

use pulp::{Arch, Simd, WithSimd};

/// How long one attempt takes, about.
const ATTEMPT: Duration = Duration::from_millis(150);
/// Attempts, the best of which counts.
const ATTEMPTS: usize = 5;

/// Fused multiply-adds of registers alone, in GFLOP/s (two operations each): all threads at once,
/// in the widest vectors of this processor. Takes about a second.
pub fn measure() -> f64 {
    let mut rounds = 1 << 16;
    while attempt(rounds).0 < ATTEMPT {
        rounds *= 2;
    }
    let rates = (0..ATTEMPTS).map(|_| {
        let (time, operations) = attempt(rounds);
        operations / time.as_secs_f64() / 1e9
    });
    rates.fold(0.0, f64::max)
}

/// The time that `rounds` rounds take on every thread, and the operations of all threads together.
fn attempt(rounds: usize) -> (Duration, f64) {
    let start = Instant::now();
    let operations = rayon::broadcast(|_| Arch::new().dispatch(MultiplyAdd { rounds }));
    (start.elapsed(), operations.iter().sum())
}

/// `rounds` multiply-adds of every accumulator; returns the number of operations.
struct MultiplyAdd {
    rounds: usize,
}

impl WithSimd for MultiplyAdd {
    type Output = f64;

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) -> f64 {
        // As many accumulators as leave room for the two factors: more than any processor has
        // multiply-adds on their way.
        match S::REGISTER_COUNT {
            32.. => multiply_add::<S, 24>(simd, self.rounds),
            _ => multiply_add::<S, 12>(simd, self.rounds),
        }
    }
}

#[inline(always)]
fn multiply_add<S: Simd, const N: usize>(simd: S, rounds: usize) -> f64 {
    // The sums go to 2: never so small or large that the processor slows down.
    let (factor, addend) = (simd.splat_f32s(black_box(0.5f32)), simd.splat_f32s(black_box(1.0f32)));
    // Unlike starts, or the compiler sees that all are the same.
    let mut sums: [S::f32s; N] = std::array::from_fn(|i| simd.splat_f32s(i as f32));
    for _ in 0..rounds {
        for sum in &mut sums {
            *sum = simd.mul_add_e_f32s(*sum, factor, addend);
        }
    }
    black_box(sums.map(|sum| simd.reduce_sum_f32s(sum)));
    (2 * N * S::F32_LANES * rounds) as f64
}
