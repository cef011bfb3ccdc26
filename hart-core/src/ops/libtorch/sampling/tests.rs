//! Against the rule written out for one row, in double precision.

use burn::backend::LibTorch;
use burn::tensor::{Tensor, TensorData};

use super::super::handle;
use super::sample;
use crate::ops::sampling::{Smoothing, TokenRule, TokenSampling};
use crate::random::{Draws, Pick, SeededDraws};

const ENTRIES: usize = 50;
const CHANNELS: usize = 3;
const SCALE: usize = 4;
const SEEDS: [u64; 2] = [7, u64::MAX - 3];

fn tensor<const D: usize>(values: &[f32], shape: [usize; D]) -> Tensor<LibTorch, D> {
    Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
}

/// Standard normal values.
fn values(count: usize) -> Vec<f32> {
    let mut values = vec![0.0; count];
    SeededDraws::new([3]).diffusion_start(0, count, &mut values);
    values
}

/// The entries that are kept, with their logits.
fn kept(logits: &[f32], rule: &TokenRule) -> Vec<(usize, f64)> {
    let mut order: Vec<(usize, f64)> =
        logits.iter().map(|&logit| f64::from(logit)).enumerate().collect();
    order.sort_by(|a, b| b.1.total_cmp(&a.1));
    if rule.top_k > 0 && rule.top_k < order.len() {
        let smallest = order[rule.top_k - 1].1;
        order.retain(|entry| entry.1 >= smallest);
    }
    if rule.top_p > 0.0 {
        let total: f64 = order.iter().map(|entry| entry.1.exp()).sum();
        let mut left = 1.0 - rule.top_p;
        while order.len() > 1 && order[order.len() - 1].1.exp() / total <= left {
            left -= order.pop().expect("entries").1.exp() / total;
        }
    }
    order.sort_by_key(|entry| entry.0);
    order
}

/// The index and the vector of one row.
fn expected(
    logits: &[f32],
    codebook: &[f32],
    rule: &TokenRule,
    image: usize,
    position: usize,
) -> (usize, Vec<f64>) {
    let (draws, kept) = (SeededDraws::new(SEEDS), kept(logits, rule));
    let total: f64 = kept.iter().map(|entry| entry.1.exp()).sum();
    let Pick::At(point) = draws.token(image, SCALE, position) else { panic!("drawn") };
    let mut sum = 0.0;
    let passes = |entry: &&(usize, f64)| {
        sum += entry.1.exp() / total;
        sum > f64::from(point)
    };
    let index = kept.iter().find(passes).expect("a point below 1").0;
    let weight: Vec<f64> = match rule.smooth {
        None => kept.iter().map(|entry| f64::from(u8::from(entry.0 == index))).collect(),
        Some(Smoothing { factor, temperature }) => {
            let mut noise = vec![0.0; ENTRIES];
            draws.smooth_noise(image, SCALE, position, &mut noise);
            let noisy = |entry: &(usize, f64)| {
                ((entry.1 * factor + f64::from(noise[entry.0])) / temperature).exp()
            };
            let total: f64 = kept.iter().map(noisy).sum();
            kept.iter().map(|entry| noisy(entry) / total).collect()
        }
    };
    let channel = |channel| {
        let codes = kept.iter().map(|entry| f64::from(codebook[entry.0 * CHANNELS + channel]));
        codes.zip(&weight).map(|(code, weight)| code * weight).sum()
    };
    (index, (0..CHANNELS).map(channel).collect())
}

fn check(rule: TokenRule) {
    let positions = [vec![0, 3, 9], vec![1, 2, 15]];
    let (logits, codebook) = (values(6 * ENTRIES), values(ENTRIES * CHANNELS));
    let sampling = TokenSampling {
        rule,
        codebook: tensor(&codebook, [ENTRIES, CHANNELS]),
        seeds: &SEEDS,
        noise: None,
        scale: SCALE,
        positions: &positions,
    };
    let found = sample(&handle(tensor(&logits, [2, 3, ENTRIES])), &sampling);
    let indices: Vec<i64> = found.indices.into_data().iter().collect();
    let vectors: Vec<f32> = found.vectors.into_data().iter().collect();
    for row in 0..6 {
        let (image, position) = (row / 3, positions[row / 3][row % 3]);
        let logits = &logits[row * ENTRIES..][..ENTRIES];
        let (index, vector) = expected(logits, &codebook, &rule, image, position);
        assert_eq!(indices[row], index as i64, "row {row}, {rule:?}");
        for (found, expected) in vectors[row * CHANNELS..].iter().zip(vector) {
            assert!((f64::from(*found) - expected).abs() < 2e-5, "row {row}, {rule:?}");
        }
    }
}

#[test]
fn tokens_are_sampled_by_the_rule() {
    let smoothing = Some(Smoothing { factor: 1.5, temperature: 0.2 });
    for top_k in [0, 1, 7, ENTRIES] {
        for top_p in [0.0, 0.6, 0.96] {
            for smooth in [None, smoothing] {
                check(TokenRule { top_k, top_p, smooth });
            }
        }
    }
}

#[test]
fn a_logit_that_is_not_finite_leaves_its_mark() {
    for wrong in [f32::NAN, f32::INFINITY, f32::NEG_INFINITY] {
        let mut logits = values(2 * ENTRIES);
        logits[ENTRIES + 7] = wrong;
        let sampling = TokenSampling {
            rule: TokenRule { top_k: 5, top_p: 0.0, smooth: None },
            codebook: tensor(&values(ENTRIES * CHANNELS), [ENTRIES, CHANNELS]),
            seeds: &SEEDS,
            noise: None,
            scale: SCALE,
            positions: &[vec![0, 1]],
        };
        let found = sample(&handle(tensor(&logits, [1, 2, ENTRIES])), &sampling);
        let vectors: Vec<f32> = found.vectors.into_data().iter().collect();
        assert!(vectors[..CHANNELS].iter().all(|value| value.is_finite()));
        assert!(vectors[CHANNELS..].iter().all(|value| value.is_nan()), "{wrong}");
    }
}
