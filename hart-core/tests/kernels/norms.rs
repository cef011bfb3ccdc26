//! Norms of rows and of groups of maps.

use hart_core::kernels::cpu::Broadcast;
use hart_core::kernels::cpu::group_norm::{GroupNorm, group_norm};
use hart_core::kernels::cpu::norm::{Modulation, Norm, normalize};

use crate::{assert_close, values};

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
