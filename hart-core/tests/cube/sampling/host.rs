//! The rule of sampling written out, in 64 bits where the device rounds.

use hart_core::ops::sampling::{Smoothing, TokenRule};
use hart_core::random::{Draws, Pick, SeededDraws};

use super::{CHANNELS, Case, SCALE, SEEDS};

/// Rounding may decide about what is closer than this to a limit, as a probability.
const UNCLEAR: f64 = 2e-6;

/// What a row should give.
pub(super) struct Expected {
    pub(super) index: usize,
    pub(super) vector: Vec<f64>,
    /// A sum of probabilities was as close to its limit as 32 bits can tell.
    pub(super) is_unclear: bool,
}

impl Case {
    pub(super) fn expected(&self, rule: TokenRule, row: usize) -> Expected {
        let logits = &self.logits[row * self.entries..][..self.entries];
        let (image, position) = (row / 3, self.positions[row / 3][row % 3]);
        let draws = SeededDraws::new(SEEDS);
        let Pick::At(point) = draws.token(image, SCALE, position) else {
            panic!("seeded draws are never greedy")
        };

        let (kept, unclear_tail) = filter(logits, rule);
        let (index, unclear_index) = choose(&kept, f64::from(point));
        let vector = match rule.smooth {
            None => self.code(index).collect(),
            Some(smoothing) => {
                let mut noise = vec![0.0; self.entries];
                draws.smooth_noise(image, SCALE, position, &mut noise);
                self.mean(&kept, smoothing, &noise)
            }
        };
        Expected { index, vector, is_unclear: unclear_tail || unclear_index }
    }

    fn code(&self, index: usize) -> impl Iterator<Item = f64> {
        self.codebook[index * CHANNELS..][..CHANNELS].iter().map(|&value| f64::from(value))
    }

    fn mean(&self, kept: &[(usize, f64)], smoothing: Smoothing, noise: &[f32]) -> Vec<f64> {
        let noisy = |&(index, logit): &(usize, f64)| {
            (logit * smoothing.factor + f64::from(noise[index])) / smoothing.temperature
        };
        let weights = softmax(&kept.iter().map(noisy).collect::<Vec<_>>());
        let mut mean = vec![0.0; CHANNELS];
        for (&(index, _), weight) in kept.iter().zip(weights) {
            mean.iter_mut().zip(self.code(index)).for_each(|(sum, value)| *sum += weight * value);
        }
        mean
    }
}

/// The entries that survive, and whether rounding may decide about one.
fn filter(logits: &[f32], rule: TokenRule) -> (Vec<(usize, f64)>, bool) {
    let mut sorted = logits.to_vec();
    sorted.sort_by(|a, b| b.total_cmp(a));
    let all = rule.top_k == 0 || rule.top_k >= logits.len();
    let threshold = if all { f32::NEG_INFINITY } else { sorted[rule.top_k - 1] };
    let entries = logits.iter().enumerate();
    let mut kept: Vec<(usize, f64)> = entries
        .filter(|&(_, &logit)| logit >= threshold)
        .map(|(index, &logit)| (index, f64::from(logit)))
        .collect();
    let mut unclear = false;
    if rule.top_p > 0.0 {
        let weights = softmax(&kept.iter().map(|entry| entry.1).collect::<Vec<_>>());
        let limit = 1.0 - rule.top_p;
        // Everything that is at most as likely, with all ties.
        let up_to = |logit: f64| -> f64 {
            kept.iter().zip(&weights).filter(|(other, _)| other.1 <= logit).map(|(_, w)| w).sum()
        };
        let largest = f64::from(sorted[0]);
        let sums: Vec<f64> = kept.iter().map(|entry| up_to(entry.1)).collect();
        unclear = sums.iter().any(|sum| (sum - limit).abs() < UNCLEAR);
        let mut sums = sums.into_iter();
        kept.retain(|entry| sums.next().unwrap() > limit || entry.1 == largest);
    }
    (kept, unclear)
}

/// The chosen entry, and whether rounding may decide about it.
fn choose(kept: &[(usize, f64)], point: f64) -> (usize, bool) {
    let weights = softmax(&kept.iter().map(|entry| entry.1).collect::<Vec<_>>());
    let mut sum = 0.0;
    let mut cumulative = weights.iter().map(|weight| {
        sum += weight;
        sum
    });
    let place = cumulative.position(|sum| sum > point).unwrap_or(kept.len() - 1);
    let before: f64 = weights[..place].iter().sum();
    let after = before + weights[place];
    let near = |sum: f64| (sum - point).abs() < UNCLEAR;
    (kept[place].0, place > 0 && near(before) || place + 1 < kept.len() && near(after))
}

fn softmax(values: &[f64]) -> Vec<f64> {
    let largest = values.iter().copied().fold(f64::NEG_INFINITY, f64::max);
    let weights: Vec<f64> = values.iter().map(|value| (value - largest).exp()).collect();
    let total: f64 = weights.iter().sum();
    weights.into_iter().map(|weight| weight / total).collect()
}
