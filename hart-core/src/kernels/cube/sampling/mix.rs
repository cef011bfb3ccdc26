//! Smooth sampling: the mean of the kept codes under noisy weights.

use cubecl::prelude::*;

use super::chacha::{Address, STREAMS, WORDS, block, gumbel};
use super::kernel::{Division, Rule};
use super::select::logit;
use super::together::Together;

/// Entries listed at a time.
const LISTED: usize = 1024;

/// Replaces the weights of the kept entries, those whose key reaches `threshold`, by
/// `exp((factor·logit + noise) / temperature)` over the largest of these.
#[cube]
pub(super) fn smooth_weights(
    weights: &mut Array<f32>,
    keys: &Array<u32>,
    threshold: u32,
    address: Address,
    rule: &Rule,
    sums: &mut Together<f32>,
    #[comptime] held: usize,
) {
    // Below every value of a kept entry.
    let mut largest = f32::min_value();
    let mut words = Array::<u32>::new(WORDS);
    for part in 0..comptime!(held / WORDS) {
        let mut needed = false;
        for word in 0..WORDS {
            if keys[part * WORDS + word] >= threshold {
                needed = true;
            }
        }
        if needed {
            let counter = UNIT_POS * comptime!((held / WORDS) as u32) + part as u32;
            block(&mut words, address, comptime!(STREAMS[1]), counter);
            for word in 0..WORDS {
                let place = part * WORDS + word;
                if keys[place] >= threshold {
                    let noisy = logit(keys[place]) * rule.factor + gumbel(words[word]);
                    weights[place] = noisy / rule.temperature;
                    largest = max(largest, weights[place]);
                }
            }
        }
    }
    let largest = sums.largest(largest);
    for place in 0..held {
        if keys[place] >= threshold {
            weights[place] = (weights[place] - largest).exp();
        }
    }
}

/// Where the entries with any weight are listed, a part of them at a time.
#[derive(CubeType)]
struct List {
    weights: SharedMemory<f32>,
    entries: SharedMemory<u32>,
}

/// Writes the mean of the codes under `weights` to a row of `vectors`.
///
/// Units share the channels of a code; those with the same channel take turns with the entries.
#[cube]
pub(super) fn mean_code(
    weights: &Array<f32>,
    codebook: &Tensor<f32>,
    vectors: &mut Tensor<f32>,
    row: usize,
    sums: &mut Together<f32>,
    counts: &mut Together<u32>,
    #[comptime] division: Division,
) {
    let (units, held) = comptime!((division.units, division.held));
    let channels = comptime!(division.channels);
    let turns = comptime!(units / channels);
    let unit = UNIT_POS as usize;
    let (channel, turn) = (unit % channels, unit / channels);
    let mut list = List { weights: SharedMemory::new(LISTED), entries: SharedMemory::new(LISTED) };
    let mut partial = SharedMemory::<f32>::new(units);

    let mut own = 0u32;
    let mut weight = 0.0f32;
    for place in 0..held {
        if weights[place] > 0.0 {
            own += 1;
        }
        weight += weights[place];
    }
    let before = counts.sum_before(own) as usize;
    let count = counts.sum(own) as usize;
    let total = sums.sum(weight);

    let mut sum = 0.0f32;
    let mut start = 0usize;
    let mut end = comptime!(units * held).runtime();
    if comptime!(!division.in_step) {
        end = count;
    }
    while start < end {
        list_entries(&mut list, weights, before, start, held);
        sync_cube();
        let listed = min(count - min(start, count), LISTED);
        if turn < turns {
            let mut place = turn;
            while place < listed {
                let code = list.entries[place] as usize * codebook.stride(0);
                sum += list.weights[place] * codebook[code + channel];
                place += turns;
            }
        }
        sync_cube();
        start += LISTED;
    }

    partial[unit] = sum;
    sync_cube();
    if unit < channels {
        let mut sum = 0.0f32;
        for turn in 0..turns {
            sum += partial[turn * channels + unit];
        }
        vectors[row * channels + unit] = sum / total;
    }
}

/// Lists those of a unit's entries whose place among all is in the part that starts at `start`.
#[cube]
fn list_entries(
    list: &mut List,
    weights: &Array<f32>,
    before: usize,
    start: usize,
    #[comptime] held: usize,
) {
    let mut next = before;
    for place in 0..held {
        if weights[place] > 0.0 {
            if next >= start && next < start + LISTED {
                list.weights[next - start] = weights[place];
                list.entries[next - start] = UNIT_POS * comptime!(held as u32) + place as u32;
            }
            next += 1;
        }
    }
}
