//! The angles of rotary position embedding.
//!
//! Angles are computed on the host in the reference's order of operations and single precision, so
//! that they are the same on every backend.

/// The angles of one-dimensional positions, `[positions, head width]` row by row: frequencies
/// `base^(-2i/d)`, i < d/2, the d/2 angles repeated twice (section 4.2).
pub fn context_angles(positions: &[i64], head_width: usize, base: f64) -> Vec<f32> {
    let frequencies = frequencies(head_width / 2, base);
    let angles = |position: &i64| {
        let angle = *position as f32;
        let half: Vec<f32> = frequencies.iter().map(|frequency| angle * frequency).collect();
        [half.clone(), half].concat()
    };
    positions.iter().flat_map(angles).collect()
}

/// The rotary frequencies `base^(-i/count)`, i < count.
pub fn frequencies(count: usize, base: f64) -> Vec<f32> {
    let exponent = |i: usize| i as f32 / count as f32;
    (0..count).map(|i| 1.0 / (base as f32).powf(exponent(i))).collect()
}
