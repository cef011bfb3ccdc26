//! Values that are kept in fewer bits than they are computed in.

use half::slice::HalfFloatSliceExt;
use half::{bf16, f16};

/// How many values are made smaller at once.
const AT_ONCE: usize = 64;

/// The type that the matrix of a layer, or the keys and values of a cache, are kept in: computed is in
/// 32 bits. The default is zero.
pub trait Stored: Copy + Default + Send + Sync {
    /// 32-bit values of room for each value that is [widened](Self::widen).
    const ROOM: usize;

    /// The values in 32 bits, in `room` of as many values if they are not.
    ///
    /// # Panics
    /// When there is less room.
    fn widen<'a>(values: &'a [Self], room: &'a mut [f32]) -> &'a [f32];

    /// 32-bit values in this type; those beyond its range become its largest.
    ///
    /// # Panics
    /// When there are not as many places.
    fn narrow(values: &[f32], places: &mut [Self]);
}

impl Stored for f32 {
    const ROOM: usize = 0;

    #[inline(always)]
    fn widen<'a>(values: &'a [Self], _: &'a mut [f32]) -> &'a [f32] {
        values
    }

    fn narrow(values: &[f32], places: &mut [Self]) {
        places.copy_from_slice(values);
    }
}

impl Stored for f16 {
    const ROOM: usize = 1;

    #[inline(always)]
    fn widen<'a>(values: &'a [Self], room: &'a mut [f32]) -> &'a [f32] {
        let room = &mut room[..values.len()];
        values.convert_to_f32_slice(room);
        room
    }

    fn narrow(values: &[f32], places: &mut [Self]) {
        assert_eq!(values.len(), places.len(), "a place for every value");
        let largest = Self::MAX.to_f32();
        for (values, places) in values.chunks(AT_ONCE).zip(places.chunks_mut(AT_ONCE)) {
            let mut within = [0.0; AT_ONCE];
            let within = &mut within[..values.len()];
            for (within, value) in within.iter_mut().zip(values) {
                *within = value.clamp(-largest, largest);
            }
            places.convert_from_f32_slice(within);
        }
    }
}

impl Stored for bf16 {
    const ROOM: usize = 1;

    #[inline(always)]
    fn widen<'a>(values: &'a [Self], room: &'a mut [f32]) -> &'a [f32] {
        let room = &mut room[..values.len()];
        // The upper half of a 32-bit float, which vectors make of it in two instructions.
        for (wide, value) in room.iter_mut().zip(values) {
            *wide = f32::from_bits(u32::from(value.to_bits()) << 16);
        }
        room
    }

    fn narrow(values: &[f32], places: &mut [Self]) {
        places.convert_from_f32_slice(values);
    }
}

#[cfg(test)]
mod tests {
    use half::{bf16, f16};

    use super::Stored;

    #[test]
    fn values_of_16_bits_are_the_nearest_within_their_range() {
        let values: Vec<f32> =
            (0..200).map(|i| (i as f32 - 90.0) * 0.37).chain([1e9, -1e9]).collect();
        let mut kept = vec![f16::ZERO; values.len()];
        f16::narrow(&values, &mut kept);
        let mut room = vec![0.0; values.len()];
        let found = f16::widen(&kept, &mut room);
        for (found, value) in found.iter().zip(&values[..200]) {
            assert!((found - value).abs() <= value.abs() / 2048.0, "{value} became {found}");
        }
        assert_eq!(found[200..], [65504.0, -65504.0]);
        let mut kept_wide = vec![bf16::ZERO; values.len()];
        bf16::narrow(&values, &mut kept_wide);
        for (found, value) in
            bf16::widen(&kept_wide, &mut vec![0.0; values.len()]).iter().zip(&values)
        {
            assert!((found - value).abs() <= value.abs() / 256.0, "{value} became {found}");
        }
        f16::narrow(&[f32::NAN], &mut kept[..1]);
        assert!(kept[0].is_nan(), "what is no number stays none");
    }
}
