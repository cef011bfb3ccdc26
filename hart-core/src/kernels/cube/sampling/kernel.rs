//! The kernel: a workgroup samples a token.

use cubecl::prelude::*;

use super::chacha::{Address, point};
use super::choose::{choose, total};
use super::mix::{mean_code, smooth_weights};
use super::select::{KEEP_ALL, NO_ENTRY, NOT_FINITE, key, largest_key, logit, top_k, top_p};
use super::together::Together;

/// How a row of logits is divided, as a kernel is compiled for it: unit u holds the entries from
/// `u · held` on.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(super) struct Division {
    /// Units of a workgroup.
    pub(super) units: usize,
    /// Entries of a unit: whole blocks of the generator.
    pub(super) held: usize,
    /// Channels of a code, at most as many as there are units.
    pub(super) channels: usize,
    /// Whether a compiler must see that all units meet at every barrier, as browsers demand of WGSL: what
    /// is read from shared memory may not decide then how often units meet, though it is the same for all.
    pub(super) in_step: bool,
}

/// How tokens are sampled, in numbers of the device.
#[derive(CubeType, CubeLaunch)]
pub(super) struct Rule {
    /// Largest logits that are kept; 0 keeps all.
    pub(super) top_k: u32,
    /// The probability that top-p removes at most; negative removes nothing.
    pub(super) tail: f32,
    /// Multiplies logits in smooth sampling.
    pub(super) factor: f32,
    /// Divides noisy logits in smooth sampling.
    pub(super) temperature: f32,
    /// The scale, a part of every address.
    pub(super) scale: u32,
}

/// Samples a token for every row of `logits` `[batch, tokens, V]` into `indices` `[batch, tokens]`
/// and `vectors` `[batch, tokens, Z]`; `codebook` is `[V, Z]`.
///
/// `addresses` has the seed of each image in two halves, then the position of each row.
#[cube(launch_unchecked, address_type = "dynamic")]
#[allow(clippy::too_many_arguments)]
pub(super) fn sample_rows<I: Int>(
    logits: &Tensor<f32>,
    codebook: &Tensor<f32>,
    addresses: &Array<u32>,
    indices: &mut Tensor<I>,
    vectors: &mut Tensor<f32>,
    rule: Rule,
    #[comptime] division: Division,
    #[comptime] smooth: bool,
    #[define(I)] _index_type: StorageType,
) {
    let row = CUBE_POS;
    if row >= logits.shape(0) * logits.shape(1) {
        terminate!();
    }
    let (units, held) = comptime!((division.units, division.held));
    let channels = comptime!(division.channels);
    let mut counts = Together::<u32>::new(units);
    let mut sums = Together::<f32>::new(units);
    let unit = UNIT_POS as usize;

    let keys = keys_of(logits, row, held);
    let largest = largest_key(&keys, &mut counts, held);
    let address = address_of(addresses, logits, row, &rule);
    let mut weights = Array::<f32>::new(held);
    let threshold = filter(&mut weights, &keys, largest, &rule, &mut sums, &mut counts, division);
    let chosen = choose(&weights, shared_point(address, &mut sums), &mut sums, &mut counts, held);
    if unit == 0 {
        indices[row] = I::cast_from(chosen);
    }
    if comptime!(smooth) {
        smooth_weights(&mut weights, &keys, threshold, address, &rule, &mut sums, held);
        mean_code(&weights, codebook, vectors, row, &mut sums, &mut counts, division);
    } else if unit < channels {
        let code = chosen as usize * codebook.stride(0);
        vectors[row * channels + unit] = codebook[code + unit];
    }
    // At the end, when every unit has met the others as often as it must.
    if largest == NOT_FINITE {
        mark(indices, vectors, row, largest, channels);
    }
}

/// Leaves NaN in place of the token of a row whose largest key is [`NOT_FINITE`].
#[cube]
fn mark<I: Int>(
    indices: &mut Tensor<I>,
    vectors: &mut Tensor<f32>,
    row: usize,
    key: u32,
    #[comptime] channels: usize,
) {
    let unit = UNIT_POS as usize;
    if unit < channels {
        // The bits of this key are NaN, which WGSL refuses as a constant.
        vectors[row * channels + unit] = f32::reinterpret(key);
    }
    if unit == 0 {
        indices[row] = I::from_int(0);
    }
}

/// The keys of a unit's entries of a row.
#[cube]
fn keys_of(logits: &Tensor<f32>, row: usize, #[comptime] held: usize) -> Array<u32> {
    let tokens = logits.shape(1);
    let start = row / tokens * logits.stride(0) + row % tokens * logits.stride(1);
    let entries = logits.shape(2);
    let first = UNIT_POS as usize * held;
    let mut keys = Array::<u32>::new(held);
    for place in 0..held {
        let mut own = NO_ENTRY.runtime();
        if first + place < entries {
            own = key(logits[start + first + place]);
        }
        keys[place] = own;
    }
    keys
}

/// Where the draws of a row come from.
#[cube]
fn address_of(addresses: &Array<u32>, logits: &Tensor<f32>, row: usize, rule: &Rule) -> Address {
    let image = row / logits.shape(1);
    Address {
        seed_low: addresses[2 * image],
        seed_high: addresses[2 * image + 1],
        scale: rule.scale,
        position: addresses[2 * logits.shape(0) + row],
    }
}

/// The threshold of top-k and top-p; `weights` become those of a softmax but for their sum, 0 below
/// the threshold.
#[cube]
fn filter(
    weights: &mut Array<f32>,
    keys: &Array<u32>,
    largest: u32,
    rule: &Rule,
    sums: &mut Together<f32>,
    counts: &mut Together<u32>,
    #[comptime] division: Division,
) -> u32 {
    let held = comptime!(division.held);
    let mut threshold = KEEP_ALL.runtime();
    if rule.top_k > 0 {
        threshold = top_k(keys, rule.top_k, largest, counts, division);
    }
    for place in 0..held {
        let mut weight = 0.0f32;
        if keys[place] >= threshold {
            weight = (logit(keys[place]) - logit(largest)).exp();
        }
        weights[place] = weight;
    }
    if rule.tail >= 0.0 {
        let limit = rule.tail * total(weights, sums, held);
        threshold = top_p(keys, weights, limit, threshold, largest, sums, division);
        for place in 0..held {
            if keys[place] < threshold {
                weights[place] = 0.0;
            }
        }
    }
    threshold
}

/// The point of an address, computed by one unit.
#[cube]
fn shared_point(address: Address, sums: &mut Together<f32>) -> f32 {
    let mut own = 0.0f32;
    if UNIT_POS == 0 {
        own = point(address);
    }
    sums.sum(own)
}
