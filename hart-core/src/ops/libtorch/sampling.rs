//! Tokens sampled where the logits are (section 4.4).

use burn::backend::LibTorch;
use tch::{Device, Kind, Tensor};

use super::super::sampling::{SmoothNoise, Smoothing, TokenRule, TokenSampling, TokensThere};
use super::chacha::{Address, words};
use super::{handle, wrap, wrap_int};
use crate::ScaleSchedule;
use crate::random::{Draws, Pick, SeededDraws, Stream};

/// Tokens of `[batch, tokens, V]` logits.
pub(super) fn sample(
    logits: &Tensor,
    sampling: &TokenSampling<'_, LibTorch>,
) -> TokensThere<LibTorch> {
    let size = logits.size();
    let (batch, tokens, entries) = (size[0], size[1], size[2]);
    let logits = logits.reshape([batch * tokens, entries]);
    // Of a row that is not finite nothing is left but the mark of it.
    let mark = (&logits * 0.0).sum_dim_intlist([-1].as_slice(), true, None);
    let kept = filter(&logits, &sampling.rule);
    let indices = choose(&kept, &points(sampling, logits.device()));
    let codebook = handle(sampling.codebook.clone());
    let vectors = match sampling.rule.smooth {
        None => codebook.index_select(0, &indices),
        Some(smoothing) => smooth_weights(&kept, smoothing, sampling).mm(&codebook),
    };
    let channels = vectors.size()[1];
    TokensThere {
        indices: wrap_int(indices.view([batch, tokens])),
        vectors: wrap((vectors + mark).view([batch, tokens, channels])),
    }
}

/// The logits that survive top-k and then top-p; minus infinity in the place of the others.
fn filter(logits: &Tensor, rule: &TokenRule) -> Tensor {
    let entries = logits.size()[1];
    let mut kept = logits.shallow_clone();
    if rule.top_k > 0 && (rule.top_k as i64) < entries {
        let (largest, _) = logits.topk(rule.top_k as i64, -1, true, true);
        let smallest = largest.narrow(1, rule.top_k as i64 - 1, 1);
        kept = kept.masked_fill(&kept.lt_tensor(&smallest), f64::NEG_INFINITY);
    }
    if rule.top_p > 0.0 {
        let (ascending, places) = kept.sort_stable(true, -1, false);
        let sums = ascending.softmax(-1, None).cumsum(-1, None);
        let removed = sums.le(1.0 - rule.top_p);
        // Never all of them.
        let _ = removed.narrow(1, entries - 1, 1).fill_(0);
        let removed = removed.zeros_like().scatter_(1, &places, &removed);
        kept = kept.masked_fill(&removed, f64::NEG_INFINITY);
    }
    kept
}

/// For each row the entry where the cumulative probability passes its point.
fn choose(kept: &Tensor, points: &Tensor) -> Tensor {
    let weights = kept.softmax(-1, None);
    let sums = weights.cumsum(-1, None);
    let total = sums.narrow(1, sums.size()[1] - 1, 1);
    let place =
        sums.le_tensor(&(points * total)).sum_dim_intlist([-1].as_slice(), false, Kind::Int64);
    // Rounding may leave the sum short of the total: then it is the last entry with any weight.
    let places = Tensor::arange(kept.size()[1], (Kind::Int64, kept.device()));
    let last = places.where_scalarother(&weights.gt(0.0), 0).amax([-1].as_slice(), false);
    place.minimum(&last)
}

/// Where the cumulative probability of each row is cut, `[rows, 1]`: made on the host, one value a
/// token.
fn points(sampling: &TokenSampling<'_, LibTorch>, device: Device) -> Tensor {
    let draws = SeededDraws::new(sampling.seeds);
    let point = |(image, position)| match draws.token(image, sampling.scale, position) {
        Pick::At(point) => point,
        Pick::Greedy => 0.0,
    };
    let points: Vec<f32> = addresses(sampling).map(point).collect();
    Tensor::from_slice(&points).view([-1, 1]).to_device(device)
}

/// The image and position of every row.
fn addresses<'a>(
    sampling: &TokenSampling<'a, LibTorch>,
) -> impl Iterator<Item = (usize, usize)> + use<'a> {
    let images = sampling.positions.iter().enumerate();
    images.flat_map(|(image, cells)| cells.iter().map(move |&position| (image, position)))
}

/// The weight of every entry in smooth sampling, `[rows, V]`.
fn smooth_weights(
    kept: &Tensor,
    smoothing: Smoothing,
    sampling: &TokenSampling<'_, LibTorch>,
) -> Tensor {
    let noise = match sampling.noise {
        Some(noise) => handle(noise.at(sampling.scale, sampling.positions)).view_as(kept),
        None => {
            let scale = |(image, position)| (sampling.seeds[image], sampling.scale, position);
            let addresses: Vec<_> = addresses(sampling).map(scale).collect();
            gumbels(&addresses, kept.size()[1] as usize, kept.device())
        }
    };
    let noisy = kept * smoothing.factor + noise;
    (noisy / smoothing.temperature).softmax(-1, None)
}

/// The noise of all positions of all scales: every launch of the generator costs as much for one scale
/// as for all of them.
pub(super) fn smooth_noise(
    seeds: &[u64],
    scales: &ScaleSchedule,
    entries: usize,
    device: Device,
) -> SmoothNoise<LibTorch> {
    let tokens: Vec<usize> = (0..scales.count()).map(|scale| scales.tokens(scale)).collect();
    let mut addresses = vec![];
    for (scale, &tokens) in tokens.iter().enumerate() {
        let rows = |&seed: &u64| (0..tokens).map(move |position| (seed, scale, position));
        addresses.extend(seeds.iter().flat_map(rows));
    }
    let all = gumbels(&addresses, entries, device);
    let mut first = 0;
    let part = |tokens: usize| {
        let rows = seeds.len() * tokens;
        let shape = [seeds.len() as i64, tokens as i64, entries as i64];
        first += rows;
        wrap(all.narrow(0, (first - rows) as i64, rows as i64).reshape(shape))
    };
    SmoothNoise { scales: tokens.into_iter().map(part).collect() }
}

/// Gumbel noise `[addresses, entries]` of the seeds, scales and positions.
fn gumbels(addresses: &[(u64, usize, usize)], entries: usize, device: Device) -> Tensor {
    let address = |&(seed, scale, position): &(u64, usize, usize)| Address {
        seed,
        stream: Stream::SmoothNoise as u64,
        address: [scale as u64, position as u64],
    };
    let addresses: Vec<Address> = addresses.iter().map(address).collect();
    gumbel(&words(&addresses, entries, device))
}

/// Gumbel noise of random words: `-ln(-ln u)`, u in the middle of one of 2²³ cells.
fn gumbel(words: &Tensor) -> Tensor {
    // Shifting right repeats the sign, which the mask takes away.
    let cell = words.bitwise_right_shift_tensor_scalar(9).bitwise_and((1i64 << 23) - 1);
    let mut point = cell.to_kind(Kind::Float);
    let _ = point.g_add_scalar_(0.5).g_mul_scalar_(1.0 / f64::from(1u32 << 23));
    point.log_().neg_().log_().neg_()
}

#[cfg(test)]
mod tests;
