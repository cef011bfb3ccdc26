//! How weights are rounded to 8 bits, in memory and in files alike.

/// The largest magnitude of a weight. One less than an `i8` can hold, so that signs are alike.
const LARGEST: f32 = 127.0;

/// What a unit is worth among weights of at most this magnitude.
///
/// The largest weight rounds to 127 units, and 127 times this scale gives this scale again: weights
/// that were rounded once are not changed by rounding them again.
pub(crate) fn scale_of(largest: f32) -> f32 {
    largest / LARGEST
}

/// The integer next to a weight in units.
pub(crate) fn round(units: f32) -> i8 {
    // Halves go away from zero. Other than `f32::round` this is no call, even where the processor
    // that the crate is compiled for has no instruction for it.
    (units + 0.5f32.copysign(units)) as i8
}

/// How many units of this scale make 1.
pub(crate) fn unit_of(scale: f32) -> f32 {
    1.0 / scale.max(f32::MIN_POSITIVE)
}
