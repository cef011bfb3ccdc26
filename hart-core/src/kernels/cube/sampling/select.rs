//! Which entries survive top-k and top-p: those whose key is at least a threshold.
//!
//! Logits are looked at as keys, integers in the same order, so that a threshold is found by
//! bisection of 32 bits whatever the logits are. Every unit holds the keys of entries that follow
//! each other.

use cubecl::prelude::*;

use super::kernel::Division;
use super::together::Together;

/// The key of what is NaN or infinite, above all others.
pub(super) const NOT_FINITE: u32 = u32::MAX;

/// The key of places beyond the last entry, below all others.
pub(super) const NO_ENTRY: u32 = 0;

/// The threshold that all entries reach.
pub(super) const KEEP_ALL: u32 = NO_ENTRY + 1;

/// As many halvings as find a threshold among all keys. Beyond the one that has found it nothing changes.
const HALVINGS: u32 = u32::BITS;

/// An integer in the order of finite floats, with one zero, between [`NO_ENTRY`] and
/// [`NOT_FINITE`].
#[cube]
pub(super) fn key(logit: f32) -> u32 {
    let bits = u32::reinterpret(logit);
    let magnitude = bits & 0x7fff_ffff;
    let mut key = !bits;
    if bits == magnitude || magnitude == 0 {
        key = magnitude | 0x8000_0000u32;
    }
    if magnitude >= 0x7f80_0000 {
        key = NOT_FINITE;
    }
    key
}

/// The logit of a key.
#[cube]
pub(super) fn logit(key: u32) -> f32 {
    let mut bits = !key;
    if key >= 0x8000_0000u32 {
        bits = key & 0x7fff_ffff;
    }
    f32::reinterpret(bits)
}

/// The largest key of the workgroup.
#[cube]
pub(super) fn largest_key(
    keys: &Array<u32>,
    counts: &mut Together<u32>,
    #[comptime] held: usize,
) -> u32 {
    let mut largest = keys[0];
    for place in 1..held {
        largest = max(largest, keys[place]);
    }
    counts.largest(largest)
}

/// A threshold that keeps the `top_k` largest keys with all ties of the smallest of them; there are
/// more than `top_k` entries.
#[cube]
pub(super) fn top_k(
    keys: &Array<u32>,
    top_k: u32,
    largest: u32,
    counts: &mut Together<u32>,
    #[comptime] division: Division,
) -> u32 {
    let held = comptime!(division.held);
    // At least `top_k` keys reach `low`, fewer reach `high`.
    let mut low = KEEP_ALL.runtime();
    let mut high = largest + 1;
    let mut left = HALVINGS.runtime();
    while left > 0 {
        let middle = low + (high - low) / 2;
        let mut own = 0u32;
        for place in 0..held {
            if keys[place] >= middle {
                own += 1;
            }
        }
        let count = counts.sum(own);
        if count >= top_k {
            low = middle;
        } else {
            high = middle;
        }
        // Thresholds between the last kept key and the next are all the same.
        if count == top_k {
            high = middle + 1;
        }
        left = left_after(left, high - low, division);
    }
    low
}

/// The largest threshold below which the weights sum to at most `limit`: top-p of the entries that
/// reach `threshold`, others having no weight. At least the largest key stays, and all ties of the
/// smallest kept one.
#[cube]
pub(super) fn top_p(
    keys: &Array<u32>,
    weights: &Array<f32>,
    limit: f32,
    threshold: u32,
    largest: u32,
    sums: &mut Together<f32>,
    #[comptime] division: Division,
) -> u32 {
    let held = comptime!(division.held);
    let mut low = threshold;
    let mut high = largest + 1;
    let mut left = HALVINGS.runtime();
    while left > 0 {
        let middle = low + (high - low) / 2;
        let mut own = 0.0f32;
        for place in 0..held {
            if keys[place] < middle {
                own += weights[place];
            }
        }
        if sums.sum(own) <= limit {
            low = middle;
        } else {
            high = middle;
        }
        left = left_after(left, high - low, division);
    }
    low
}

/// How many halvings are left after one that left `width` thresholds: where units need not be seen to be in
/// step, none after the one that has found it. (A `break` instead gave other tokens as SPIR-V.)
#[cube]
#[allow(clippy::collapsible_if)] // The outer one is decided when the kernel is compiled.
fn left_after(left: u32, width: u32, #[comptime] division: Division) -> u32 {
    let mut after = left - 1;
    if comptime!(!division.in_step) {
        if width <= 1 {
            after = 0u32;
        }
    }
    after
}
