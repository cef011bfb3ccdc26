//! Attention, and the heads it works on.

use half::f16;
use hart_core::kernels::cpu::attention::{Heads, Scores, attend};
use hart_core::kernels::cpu::heads::{Projection, split_heads};
use hart_core::kernels::cpu::stored::Stored;

use crate::{assert_close, values};

/// Attention written out, for caches of `room` rows a head.
struct Trial {
    heads: usize,
    queries: usize,
    keys: usize,
    room: usize,
    scores: Scores,
    copies: usize,
}

impl Trial {
    fn expected(&self, q: &[f32], k: &[f32], v: &[f32]) -> Vec<f64> {
        let width = self.scores.width;
        let mut expected = vec![];
        for head in 0..self.heads {
            let row = |of: &[f32], i: usize| of[(head * self.room + i) * width..][..width].to_vec();
            for query in q[head * self.queries * width..][..self.queries * width].chunks(width) {
                let power = |i: usize| {
                    let terms = query.iter().zip(row(k, i));
                    let dot: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
                    let count = if i == 0 { self.copies as f64 } else { 1.0 };
                    count * (dot * f64::from(self.scores.scale)).exp()
                };
                let powers: Vec<f64> = (0..self.keys).map(power).collect();
                let total: f64 = powers.iter().sum();
                for entry in 0..width {
                    let terms = (0..self.keys).map(|i| powers[i] * f64::from(row(v, i)[entry]));
                    expected.push(terms.sum::<f64>() / total);
                }
            }
        }
        expected
    }

    fn found<T: Stored>(&self, q: &[f32], k: &[T], v: &[T]) -> Vec<f32> {
        let Self { queries, keys, room, scores, .. } = *self;
        let mut found = vec![f32::NAN; q.len()];
        let cached = |values| Heads { values, rows: keys, step: room * scores.width };
        let q = Heads { values: q, rows: queries, step: queries * scores.width };
        attend(q, cached(k), cached(v), scores, &mut found);
        found
    }
}

#[test]
fn attention_is_a_softmax_of_products_whatever_keys_and_values_are_kept_in() {
    for (heads, queries, keys, width, copies) in
        [(1, 1, 1, 4, 1), (3, 37, 500, 64, 1), (2, 1, 301, 32, 40), (1, 100, 7, 48, 3)]
    {
        // More room than rows, as in a cache.
        let room = keys + 3;
        let scores = Scores { width, scale: 0.8, first: (copies as f32).ln() };
        let trial = Trial { heads, queries, keys, room, scores, copies };
        let q = values(heads * queries * width, 1);
        let (k, v) = (values(heads * room * width, 2), values(heads * room * width, 3));
        let what = format!("{heads} × {queries} × {keys} × {width}");
        assert_close(&trial.found(&q, &k, &v), &trial.expected(&q, &k, &v), 1e-5, &what);

        // Computed is with the values as they are kept, in 32 bits.
        let half =
            |values: &[f32]| -> Vec<f16> { values.iter().map(|&x| f16::from_f32(x)).collect() };
        let (k, v) = (half(&k), half(&v));
        let found = trial.found(&q, &k, &v);
        let wide = |values: &[f16]| -> Vec<f32> { values.iter().map(|x| x.to_f32()).collect() };
        let expected = trial.expected(&q, &wide(&k), &wide(&v));
        assert_close(&found, &expected, 1e-5, &format!("{what} in 16 bits"));
    }
}

#[test]
fn attention_survives_scores_that_no_power_can_hold() {
    let (q, k) = ([30.0f32; 8], [[30.0f32; 8], [-30.0; 8]].concat());
    let v = [[1.0f32; 8], [2.0; 8]].concat();
    let mut found = vec![0.0; 8];
    attend(
        Heads { values: &q, rows: 1, step: 8 },
        Heads { values: &k, rows: 2, step: 16 },
        Heads { values: &v, rows: 2, step: 16 },
        Scores { width: 8, scale: 1.0, first: 0.0 },
        &mut found,
    );
    assert_eq!(found, [1.0; 8]);
}

#[test]
fn heads_are_split_brought_to_length_and_rotated() {
    let (batch, tokens, heads, width) = (2, 19, 3, 12);
    let row = heads * width;
    let projected = values(batch * tokens * 3 * row, 1);
    let (query_bias, value_bias) = (values(row, 2), values(row, 3));
    let scale = [1.5f32, 2.0, 4.0];
    let angles: Vec<f32> = values(tokens * width, 4).iter().map(|x| x * 3.0).collect();
    let cos: Vec<f32> = angles.iter().map(|x| x.cos()).collect();
    let sin: Vec<f32> = angles.iter().map(|x| x.sin()).collect();
    for query_scale in [None, Some(&scale[..])] {
        let mut found: [Vec<f32>; 3] =
            std::array::from_fn(|_| vec![f32::NAN; batch * tokens * row]);
        let [q, k, v] = &mut found;
        split_heads(
            &Projection {
                values: &projected,
                heads,
                width,
                tokens,
                query_bias: &query_bias,
                value_bias: &value_bias,
                query_scale,
                cos: &cos,
                sin: &sin,
            },
            [q, k, v],
        );
        for (part, found) in found.iter().enumerate() {
            let mut expected = vec![];
            for (item, head, token) in (0..batch).flat_map(|item| {
                (0..heads).flat_map(move |head| (0..tokens).map(move |token| (item, head, token)))
            }) {
                let at = (item * tokens + token) * 3 * row + part * row + head * width;
                let bias = |i: usize| match part {
                    0 => f64::from(query_bias[head * width + i]),
                    2 => f64::from(value_bias[head * width + i]),
                    _ => 0.0,
                };
                let mut x: Vec<f64> =
                    (0..width).map(|i| f64::from(projected[at + i]) + bias(i)).collect();
                if part < 2 {
                    if let Some(scale) = query_scale {
                        let length = x.iter().map(|x| x * x).sum::<f64>().sqrt();
                        let wanted = if part == 0 { f64::from(scale[head]) } else { 1.0 };
                        x.iter_mut().for_each(|x| *x *= wanted / length);
                    }
                    let half = width / 2;
                    let turned = |i: usize| if i < half { -x[i + half] } else { x[i - half] };
                    let rotated = (0..width).map(|i| {
                        let at = token * width + i;
                        x[i] * f64::from(cos[at]) + turned(i) * f64::from(sin[at])
                    });
                    x = rotated.collect();
                }
                expected.extend(x);
            }
            assert_close(found, &expected, 1e-5, &format!("part {part}"));
        }
    }
}
