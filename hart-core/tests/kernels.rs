//! The CPU kernels against sums written out in double precision, at sizes that do and do not divide evenly.
#![cfg(feature = "flex")]

use hart_core::kernels::cpu::Broadcast;
use hart_core::kernels::cpu::attention::{Heads, Scores, attend};
use hart_core::kernels::cpu::convolution::{Algorithm, Geometry, PackedKernels};
use hart_core::kernels::cpu::elementwise::{
    add_gated, gated_silu_in_place, gelu_tanh_in_place, silu_in_place,
};
use hart_core::kernels::cpu::group_norm::{GroupNorm, group_norm};
use hart_core::kernels::cpu::heads::{Projection, split_heads};
use hart_core::kernels::cpu::int8::Int8Matrix;
use hart_core::kernels::cpu::matrix::PackedMatrix;
use hart_core::kernels::cpu::norm::{Modulation, Norm, normalize};

/// Values in [-1, 1) that follow from a seed (Knuth's linear congruential generator).
fn values(count: usize, seed: u64) -> Vec<f32> {
    let mut state = seed;
    let mut next = || {
        state =
            state.wrapping_mul(6_364_136_223_846_793_005).wrapping_add(1_442_695_040_888_963_407);
        ((state >> 33) as f32 / (1u64 << 30) as f32) - 1.0
    };
    (0..count).map(|_| next()).collect()
}

/// The largest difference may be `tolerance` of the largest magnitude.
fn assert_close(found: &[f32], expected: &[f64], tolerance: f64, what: &str) {
    assert_eq!(found.len(), expected.len(), "{what}");
    let magnitude = expected.iter().fold(1e-3f64, |most, value| most.max(value.abs()));
    for (i, (&found, &expected)) in found.iter().zip(expected).enumerate() {
        let difference = (f64::from(found) - expected).abs();
        let close = difference <= tolerance * magnitude;
        assert!(close, "{what}, entry {i}: {found}, expected {expected}");
    }
}

fn product(rows: &[f32], matrix: &[f32], bias: &[f32], [inputs, outputs]: [usize; 2]) -> Vec<f64> {
    let row = |row: &[f32]| -> Vec<f64> {
        let entry = |j: usize| {
            let terms = row.iter().enumerate();
            let sum: f64 =
                terms.map(|(i, &x)| f64::from(x) * f64::from(matrix[i * outputs + j])).sum();
            sum + f64::from(bias[j])
        };
        (0..outputs).map(entry).collect()
    };
    rows.chunks(inputs).flat_map(row).collect()
}

#[test]
fn a_packed_matrix_multiplies() {
    for (rows, inputs, outputs) in
        [(1, 1, 1), (3, 5, 7), (14, 32, 64), (15, 513, 33), (37, 700, 101), (230, 40, 70)]
    {
        let (x, matrix) = (values(rows * inputs, 1), values(inputs * outputs, 2));
        let bias = values(outputs, 3);
        let mut found = vec![f32::NAN; rows * outputs];
        PackedMatrix::new(&matrix, Some(&bias), [inputs, outputs]).multiply(&x, &mut found);
        let expected = product(&x, &matrix, &bias, [inputs, outputs]);
        assert_close(&found, &expected, 1e-5, &format!("{rows} × {inputs} × {outputs}"));
    }
}

#[test]
fn a_row_does_not_depend_on_the_rows_beside_it() {
    let (inputs, outputs) = (600, 70);
    let (x, matrix) = (values(150 * inputs, 1), values(inputs * outputs, 2));
    let packed = PackedMatrix::new(&matrix, None, [inputs, outputs]);
    let mut all = vec![0.0; 150 * outputs];
    packed.multiply(&x, &mut all);
    for row in [0, 13, 111, 149] {
        let mut alone = vec![0.0; outputs];
        packed.multiply(&x[row * inputs..][..inputs], &mut alone);
        assert_eq!(alone, all[row * outputs..][..outputs]);
    }
}

#[test]
fn a_matrix_of_integers_multiplies_nearly() {
    for (rows, inputs, outputs) in [(1, 16, 3), (37, 700, 101), (515, 64, 48)] {
        let (x, matrix) = (values(rows * inputs, 1), values(inputs * outputs, 2));
        let bias = values(outputs, 3);
        let mut found = vec![f32::NAN; rows * outputs];
        Int8Matrix::new(&matrix, Some(&bias), [inputs, outputs]).multiply(&x, &mut found);
        let expected = product(&x, &matrix, &bias, [inputs, outputs]);
        let power: f64 = expected.iter().map(|value| value * value).sum();
        let differences = found.iter().zip(&expected).map(|(&a, b)| f64::from(a) - b);
        let error: f64 = differences.map(|difference| difference * difference).sum();
        let ratio = 10.0 * (power / error).log10();
        assert!(ratio > 36.0, "{rows} × {inputs} × {outputs}: {ratio:.1} dB");
    }
}

#[test]
fn integers_do_not_overflow() {
    // All inputs and weights at their largest: every sum is exact, on every processor.
    let (rows, inputs, outputs) = (5, 301, 37);
    let sign = |i: usize| if i.is_multiple_of(3) { -1.0 } else { 1.0 };
    let x: Vec<f32> =
        (0..rows * inputs).map(|i: usize| if i.is_multiple_of(7) { 1.0 } else { 255.0 }).collect();
    let matrix: Vec<f32> = (0..inputs * outputs).map(|i| 127.0 * sign(i % outputs)).collect();
    let mut found = vec![f32::NAN; rows * outputs];
    Int8Matrix::new(&matrix, None, [inputs, outputs]).multiply(&x, &mut found);
    let bias = vec![0.0; outputs];
    let expected = product(&x, &matrix, &bias, [inputs, outputs]);
    assert_close(&found, &expected, 1e-6, "integers");
}

#[test]
fn attention_is_a_softmax_of_products() {
    for (heads, queries, keys, width, copies) in
        [(1, 1, 1, 4, 1), (3, 37, 500, 64, 1), (2, 1, 301, 32, 40), (1, 100, 7, 48, 3)]
    {
        let q = values(heads * queries * width, 1);
        // More room than rows, as in a cache.
        let room = keys + 3;
        let (k, v) = (values(heads * room * width, 2), values(heads * room * width, 3));
        let scale = 0.8f32;
        let mut found = vec![f32::NAN; q.len()];
        attend(
            Heads { values: &q, rows: queries, step: queries * width },
            Heads { values: &k, rows: keys, step: room * width },
            Heads { values: &v, rows: keys, step: room * width },
            Scores { width, scale, first: (copies as f32).ln() },
            &mut found,
        );
        let mut expected = vec![];
        for head in 0..heads {
            let row = |of: &[f32], i: usize| of[(head * room + i) * width..][..width].to_vec();
            for query in q[head * queries * width..][..queries * width].chunks(width) {
                let power = |i: usize| {
                    let terms = query.iter().zip(row(&k, i));
                    let dot: f64 = terms.map(|(a, b)| f64::from(*a) * f64::from(b)).sum();
                    let count = if i == 0 { copies as f64 } else { 1.0 };
                    count * (dot * f64::from(scale)).exp()
                };
                let powers: Vec<f64> = (0..keys).map(power).collect();
                let total: f64 = powers.iter().sum();
                for entry in 0..width {
                    let terms = (0..keys).map(|i| powers[i] * f64::from(row(&v, i)[entry]));
                    expected.push(terms.sum::<f64>() / total);
                }
            }
        }
        assert_close(&found, &expected, 1e-5, &format!("{heads} × {queries} × {keys} × {width}"));
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
fn rows_are_normalised_and_modulated() {
    for (rows, width) in [(1, 1), (5, 33), (40, 128)] {
        let x: Vec<f32> = values(2 * rows * width, 1).iter().map(|x| x + 0.5).collect();
        let (weight, bias) = (values(width, 2), values(width, 5));
        // Scales and shifts lie in the rows of one table, as a layer gives them.
        let table = values(4 * width, 3);
        let part = |first: usize| Broadcast { values: &table[first..], step: 2 * width, rows };
        let modulation = Modulation { scale: part(0), shift: part(width) };
        let norms = [
            Norm::RootMeanSquare { weight: &weight },
            Norm::Layer { weights: Some([&weight, &bias]) },
            Norm::Layer { weights: None },
        ];
        for (norm, modulation) in
            norms.into_iter().flat_map(|norm| [(norm, None), (norm, Some(modulation))])
        {
            let entry = |i: usize, j: usize, normalized: f64| {
                let (j_weight, j_bias) = (f64::from(weight[j]), f64::from(bias[j]));
                let value = match norm {
                    Norm::RootMeanSquare { .. } => normalized * j_weight,
                    Norm::Layer { weights: Some(_) } => normalized * j_weight + j_bias,
                    Norm::Layer { weights: None } => normalized,
                };
                let at = i / rows * 2 * width + j;
                match modulation {
                    Some(_) => value * (1.0 + f64::from(table[at])) + f64::from(table[at + width]),
                    None => value,
                }
            };
            let mut expected = vec![];
            for (i, row) in x.chunks(width).enumerate() {
                let mean = match norm {
                    Norm::RootMeanSquare { .. } => 0.0,
                    Norm::Layer { .. } => {
                        row.iter().map(|&x| f64::from(x)).sum::<f64>() / width as f64
                    }
                };
                let square: f64 = row.iter().map(|&x| (f64::from(x) - mean).powi(2)).sum();
                let factor = 1.0 / (square / width as f64 + 1e-6).sqrt();
                let line = row.iter().enumerate();
                expected.extend(line.map(|(j, &x)| entry(i, j, (f64::from(x) - mean) * factor)));
            }
            let mut found = vec![f32::NAN; x.len()];
            normalize(&x, width, norm, 1e-6, modulation, &mut found);
            assert_close(&found, &expected, 1e-5, &format!("{rows} rows of {width}, {norm:?}"));
        }
    }
}

#[test]
fn activations_are_what_they_are_named() {
    let x: Vec<f32> = values(1003, 1).iter().map(|x| x * 30.0).collect();
    let up = values(1003, 2);
    let silu = |x: f64| x / (1.0 + (-x).exp());
    let expected: Vec<f64> = x.iter().map(|&x| silu(f64::from(x))).collect();
    let mut found = x.clone();
    silu_in_place(&mut found);
    assert_close(&found, &expected, 1e-6, "SiLU");

    let gated: Vec<f64> = expected.iter().zip(&up).map(|(a, &b)| a * f64::from(b)).collect();
    let mut found = x.clone();
    gated_silu_in_place(&mut found, &up);
    assert_close(&found, &gated, 1e-6, "gated SiLU");

    let gelu = |x: f64| {
        let inner = (2.0 / std::f64::consts::PI).sqrt() * (x + 0.044_715 * x.powi(3));
        0.5 * x * (1.0 + inner.tanh())
    };
    let small: Vec<f32> = x.iter().map(|x| x / 6.0).collect();
    let expected: Vec<f64> = small.iter().map(|&x| gelu(f64::from(x))).collect();
    let mut found = small;
    gelu_tanh_in_place(&mut found);
    assert_close(&found, &expected, 1e-6, "GELU");
}

#[test]
fn gated_rows_are_added() {
    let (groups, rows, width) = (3, 5, 37);
    let (x, y) = (values(groups * rows * width, 1), values(groups * rows * width, 2));
    let gate = values(groups * width, 3);
    let entry = |i: usize| {
        let gate = gate[i / (rows * width) * width + i % width];
        f64::from(x[i]) + f64::from(y[i]) * f64::from(gate)
    };
    let expected: Vec<f64> = (0..x.len()).map(entry).collect();
    let mut found = x.clone();
    add_gated(&mut found, &y, Broadcast::new(&gate, width, rows), width);
    assert_close(&found, &expected, 1e-6, "gated sum");
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

#[test]
fn groups_of_maps_are_normalised() {
    for (batch, channels, groups, pixels) in [(1, 4, 2, 1), (2, 6, 3, 50), (1, 8, 8, 9000)] {
        // A mean far from zero must not cost the variance its digits.
        let x: Vec<f32> = values(batch * channels * pixels, 1).iter().map(|x| x + 100.0).collect();
        let (weight, bias) = (values(channels, 2), values(channels, 3));
        let size = channels / groups * pixels;
        for activate in [false, true] {
            let mut expected = vec![];
            for (g, group) in x.chunks(size).enumerate() {
                let mean = group.iter().map(|&x| f64::from(x)).sum::<f64>() / size as f64;
                let square = |x: &f32| (f64::from(*x) - mean).powi(2);
                let variance = group.iter().map(square).sum::<f64>() / size as f64;
                for (i, &x) in group.iter().enumerate() {
                    let channel = g % groups * (channels / groups) + i / pixels;
                    let normalized = (f64::from(x) - mean) / (variance + 1e-6).sqrt();
                    let y = normalized * f64::from(weight[channel]) + f64::from(bias[channel]);
                    expected.push(if activate { y / (1.0 + (-y).exp()) } else { y });
                }
            }
            let norm = GroupNorm { groups, weight: &weight, bias: &bias, epsilon: 1e-6, activate };
            let mut found = vec![f32::NAN; x.len()];
            group_norm(&x, pixels, norm, &mut found);
            assert_close(&found, &expected, 1e-4, &format!("{groups} groups of {pixels} pixels"));
        }
    }
}

fn convolve(
    images: &[f32],
    kernels: &[f32],
    bias: &[f32],
    geometry: &Geometry,
    [height, width]: [usize; 2],
) -> Vec<f64> {
    let [inputs, _] = geometry.channels;
    let [down, across] = geometry.output([height, width]);
    let mut out = vec![];
    for image in images.chunks(inputs * height * width) {
        for (output, bias) in bias.iter().enumerate() {
            for (y, x) in (0..down).flat_map(|y| (0..across).map(move |x| (y, x))) {
                let mut sum = f64::from(*bias);
                for input in 0..inputs {
                    for (i, j) in (0..geometry.kernel[0])
                        .flat_map(|i| (0..geometry.kernel[1]).map(move |j| (i, j)))
                    {
                        let row = (y * geometry.stride[0] + i).wrapping_sub(geometry.padding[0]);
                        let column = (x * geometry.stride[1] + j).wrapping_sub(geometry.padding[1]);
                        if row < height && column < width {
                            let pixel = image[(input * height + row) * width + column];
                            let at = (output * inputs + input) * geometry.kernel[0] + i;
                            let weight = kernels[at * geometry.kernel[1] + j];
                            sum += f64::from(pixel) * f64::from(weight);
                        }
                    }
                }
                out.push(sum);
            }
        }
    }
    out
}

#[test]
fn convolutions_sum_over_patches() {
    for (batch, channels, size, kernel, padding, stride) in [
        (2, [5, 17], [13, 11], 3, 1, 1),
        (1, [60, 20], [9, 40], 3, 1, 1),
        (2, [7, 9], [10, 13], 1, 0, 1),
        (1, [6, 33], [12, 15], 3, 1, 2),
        (1, [6, 5], [12, 15], 4, 2, 2),
        (1, [1, 1], [1, 1], 3, 1, 1),
        // Too many channels for their transformed kernels to be kept.
        (1, [150, 173], [5, 6], 3, 1, 1),
    ] {
        let geometry =
            Geometry { channels, kernel: [kernel; 2], padding: [padding; 2], stride: [stride; 2] };
        let [inputs, outputs] = channels;
        let images = values(batch * inputs * size[0] * size[1], 1);
        let (kernels, bias) = (values(outputs * inputs * kernel * kernel, 2), values(outputs, 3));
        let expected = convolve(&images, &kernels, &bias, &geometry, size);
        let packed = PackedKernels::new(&kernels, &bias, geometry);
        let mut algorithms = vec![(Algorithm::Direct, 1e-5)];
        if (kernel, padding, stride) == (3, 1, 1) {
            algorithms.push((Algorithm::Winograd, 3e-5));
        }
        for (algorithm, tolerance) in algorithms {
            let mut found = vec![f32::NAN; expected.len()];
            packed.convolve_by(algorithm, &images, size, &mut found);
            let what = format!("{geometry:?} on {size:?}, {algorithm:?}");
            assert_close(&found, &expected, tolerance, &what);
        }
    }
}
