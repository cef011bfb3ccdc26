//! The CPU kernels against sums written out in double precision, at sizes that do and do not divide evenly.
#![cfg(feature = "flex")]

mod attention;
mod convolution;
mod counted;
mod elementwise;
mod matrix;
mod norms;

/// Values in [-1, 1) that follow from a seed (Knuth's linear congruential generator).
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f32 / (1u64 << 30) as f32) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The largest difference may be `tolerance` of the largest magnitude.
fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let magnitude = expected.iter().fold(1e-3f64, |most, value| most.max(value.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(found) - expected).abs();
        let close = difference <= tolerance * magnitude;
        assert!(close, "{what}, entry {i}: {found}, expected {expected}");
    }
}
