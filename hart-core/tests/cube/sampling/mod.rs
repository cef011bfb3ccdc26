//! Tokens sampled on the device against the rule written out on the host, with the same draws.

mod draws;
mod host;

use burn::tensor::{DType, Tensor, TensorData};
use hart_core::HartBackend;
use hart_core::ops::sampling::{Smoothing, TokenRule, TokenSampling};
use hart_core::random::generator;
use rand::Rng;

use super::Gpu;

const SCALE: usize = 3;
const CHANNELS: usize = 8;
const SEEDS: [u64; 2] = [7, 0x9e37_79b9_7f4a_7c15];

/// Logits of two images, their codebook and where their tokens are.
struct Case {
    entries: usize,
    logits: Vec<f32>,
    codebook: Vec<f32>,
    positions: Vec<Vec<usize>>,
}

impl Case {
    /// Logits in about ±6, in steps of `step` if that is positive.
    fn new(entries: usize, step: f32) -> Self {
        let mut generator = generator(entries as u64, 1000, [0, 0]);
        let mut sum = |terms: usize| -> f32 {
            (0..terms).map(|_| generator.next_u32() as f32 / (1u64 << 31) as f32 - 1.0).sum()
        };
        let round = |x: f32| if step > 0.0 { (x / step).round() * step } else { x };
        let positions = vec![vec![0, 5, 17], vec![2, 3, 900]];
        Self {
            entries,
            logits: (0..6 * entries).map(|_| round(2.0 * sum(4))).collect(),
            codebook: (0..entries * CHANNELS).map(|_| sum(1)).collect(),
            positions,
        }
    }

    /// What the device samples: an index and a vector for each row.
    fn sample(&self, rule: TokenRule) -> Vec<(usize, Vec<f64>)> {
        let data = |values: &Vec<f32>, shape: Vec<usize>| TensorData::new(values.clone(), shape);
        let on = (&Default::default(), DType::F32);
        let logits = data(&self.logits, vec![2, 3, self.entries]);
        let logits = Tensor::<Gpu, 3>::from_data(logits, on);
        let codebook = data(&self.codebook, vec![self.entries, CHANNELS]);
        let codebook = Tensor::<Gpu, 2>::from_data(codebook, on);
        let positions = &self.positions;
        let sampling =
            TokenSampling { rule, codebook, seeds: &SEEDS, noise: None, scale: SCALE, positions };
        let there = Gpu::sample_tokens(&logits, &sampling).expect("GPUs sample by themselves");
        let indices: Vec<i64> = there.indices.into_data().iter().collect();
        let vectors: Vec<f64> = there.vectors.into_data().iter().collect();
        let vectors = vectors.chunks_exact(CHANNELS).map(<[f64]>::to_vec);
        indices.into_iter().map(|index| index as usize).zip(vectors).collect()
    }

    /// Compares all rows but `without` with the host; gives how many could not be told apart from
    /// their neighbours by rounding.
    fn check(&self, rule: TokenRule, without: &[usize]) -> usize {
        let found = self.sample(rule);
        let mut unclear = 0;
        for (row, (index, vector)) in found.iter().enumerate() {
            if without.contains(&row) {
                continue;
            }
            let expected = self.expected(rule, row);
            let what = format!("{} entries, {rule:?}, row {row}", self.entries);
            if expected.is_unclear {
                unclear += 1;
                continue;
            }
            assert_eq!(*index, expected.index, "{what}");
            let tolerance = match rule.smooth {
                None => 0.0,
                Some(Smoothing { temperature, .. }) => 5e-7 / temperature + 2e-6,
            };
            for (found, expected) in vector.iter().zip(&expected.vector) {
                let close = (found - expected).abs() <= tolerance;
                assert!(close, "{what}: {found}, expected {expected}");
            }
        }
        unclear
    }
}

/// The rules that are tried.
fn rules(entries: usize) -> Vec<TokenRule> {
    let smoothings = [
        None,
        Some(Smoothing { factor: 1.0, temperature: 0.27 }),
        Some(Smoothing { factor: 2.0, temperature: 0.0135 }),
    ];
    let mut rules = Vec::new();
    for top_k in [0, 1, 7, 600, entries, usize::MAX] {
        for top_p in [0.0, 0.6, 0.96] {
            rules.extend(smoothings.map(|smooth| TokenRule { top_k, top_p, smooth }));
        }
    }
    rules
}

#[test]
fn tokens_are_those_of_the_host() {
    for entries in [300, 512, 4096] {
        let case = Case::new(entries, 0.0);
        let rules = rules(entries);
        let unclear: usize = rules.iter().map(|&rule| case.check(rule, &[])).sum();
        assert!(unclear * 50 <= rules.len() * 6, "{unclear} rows of {entries} entries");
    }
}

#[test]
fn ties_stay_together() {
    let case = Case::new(512, 0.5);
    let unclear: usize = rules(512).iter().map(|&rule| case.check(rule, &[])).sum();
    assert!(unclear < 20, "{unclear} rows");
}

#[test]
fn codebooks_beyond_the_entries_of_a_workgroup_are_known() {
    let case = Case::new(5000, 0.0);
    for smooth in [None, Some(Smoothing { factor: 1.5, temperature: 0.1 })] {
        for top_k in [0, 2000] {
            case.check(TokenRule { top_k, top_p: 0.0, smooth }, &[]);
        }
    }
}

#[test]
fn rows_that_are_not_finite_give_nan_and_leave_the_others_alone() {
    for smooth in [None, Some(Smoothing { factor: 1.5, temperature: 0.1 })] {
        let mut case = Case::new(512, 0.0);
        for (row, fault) in [(1, f32::NAN), (3, f32::INFINITY), (4, f32::NEG_INFINITY)] {
            case.logits[row * 512 + 511 - row] = fault;
        }
        let rule = TokenRule { top_k: 60, top_p: 0.96, smooth };
        let found = case.sample(rule);
        for row in [1, 3, 4] {
            assert!(found[row].1.iter().all(|value| value.is_nan()), "row {row}");
            assert!(found[row].0 < 512, "row {row}");
        }
        case.check(rule, &[1, 3, 4]);
    }
}

#[test]
fn a_token_does_not_depend_on_the_others() {
    let rule = TokenRule { top_k: 100, top_p: 0.9, smooth: None };
    let case = Case::new(512, 0.0);
    let together = case.sample(rule);
    assert_eq!(together, case.sample(rule), "the same again");
    let mut moved = Case::new(512, 0.0);
    moved.positions[1][2] = 901;
    assert_eq!(together[..5], moved.sample(rule)[..5]);
}
