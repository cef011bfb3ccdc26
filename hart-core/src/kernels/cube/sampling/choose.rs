//! One of the kept entries, by inversion of their cumulative distribution.

use cubecl::prelude::*;

use super::together::Together;

/// The sum of the weights of all units.
#[cube]
pub(super) fn total(
    weights: &Array<f32>,
    sums: &mut Together<f32>,
    #[comptime] held: usize,
) -> f32 {
    let mut own = 0.0f32;
    for place in 0..held {
        own += weights[place];
    }
    sums.sum(own)
}

/// The first entry where the cumulative weight passes `point · total`.
#[cube]
pub(super) fn choose(
    weights: &Array<f32>,
    point: f32,
    sums: &mut Together<f32>,
    counts: &mut Together<u32>,
    #[comptime] held: usize,
) -> u32 {
    let mut own = 0.0f32;
    for place in 0..held {
        own += weights[place];
    }
    let mut cumulative = sums.sum_before(own);
    let passed = point * sums.sum(own);
    let entries = CUBE_DIM * comptime!(held as u32);
    // The vote of a unit: its first entry beyond the point, the more the earlier; if there is none,
    // less than any such vote, its last entry with any weight. Rounding may leave all of them short
    // of the point, then the last entry wins. Where nothing has any weight, since logits are not finite, it is
    // the first entry, which the kernel marks: it must be one that there is.
    let mut vote = 1u32;
    for place in 0..held {
        if weights[place] > 0.0 {
            cumulative += weights[place];
            let entry = UNIT_POS * comptime!(held as u32) + place as u32;
            if vote <= entries {
                vote = entry + 1;
                if cumulative > passed {
                    vote = 2 * entries - entry;
                }
            }
        }
    }
    let vote = counts.largest(vote);
    let mut chosen = vote - 1;
    if vote > entries {
        chosen = 2 * entries - vote;
    }
    chosen
}
