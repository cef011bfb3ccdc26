//! How weights are rounded to 8 bits, both in memory and in files.

/// The largest magnitude of a rounded weight. An `i8` also holds -128; leaving it out makes the range
/// symmetric.
const LARGEST: f32 = 127.0;

/// The scale, the value of the integer 1, for weights of at most this magnitude.
///
/// The largest weight rounds to 127 units, and 127 times this scale gives this scale again: weights
/// that were rounded once are not changed by rounding them again.
pub(crate) fn scale_of(largest: f32) -> f32 {
    largest / LARGEST
}

/// The integer nearest to a weight that was divided by its scale.
pub(crate) fn round(units: f32) -> i8 {
    // Halves are rounded away from zero. Unlike `f32::round` this compiles to no function call on
    // processors that have no instruction for it.
    (units + 0.5f32.copysign(units)) as i8
}

/// What a weight is multiplied by to be divided by its scale; finite for rows of zeros too.
pub(crate) fn unit_of(scale: f32) -> f32 {
    1.0 / scale.max(f32::MIN_POSITIVE)
}
