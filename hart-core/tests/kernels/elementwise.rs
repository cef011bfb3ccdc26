//! Activations and gated sums.

use hart_core::kernels::cpu::Broadcast;
use hart_core::kernels::cpu::elementwise::{
    add_gated, gated_silu_in_place, gelu_tanh_in_place, silu_in_place,
};

use crate::{assert_close, values};

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
