//! What a block does between its products, on the tokens of both halves of guidance.

use criterion::Criterion;
use hart_core::HartBackend;

use crate::plain;
use crate::timing::{Backend, Group, copy, random, values};

/// Width of the transformer.
const WIDTH: usize = 1536;
/// Width of the gated feed-forward part.
const HIDDEN: usize = 4096;
/// Tokens of the last scales of 256 and of 1024 pixels.
const TOKENS: [usize; 2] = [256, 4096];
const EPSILON: f64 = 1e-6;

pub(crate) fn measure(criterion: &mut Criterion) {
    modulated_norm(criterion);
    gated_activation(criterion);
    gated_sum(criterion);
}

fn modulated_norm(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "RMSNorm and modulation");
    let (weight, scale, shift) = (random([WIDTH]), random([2, 1, WIDTH]), random([2, 1, WIDTH]));
    for (i, tokens) in TOKENS.into_iter().enumerate() {
        let x = random([2, tokens, WIDTH]);
        let inputs = || (x.clone(), weight.clone(), scale.clone(), shift.clone());
        let work = || values(2 * 2 * tokens * WIDTH);
        let name = format!("{tokens} tokens");
        group.time(&name, work(), inputs, |(x, weight, scale, shift)| {
            Backend::modulated_rms_norm(x, weight, scale, shift, EPSILON)
        });
        if i == 0 {
            let name = format!("{name}, plain");
            group.time(name, work(), inputs, |(x, weight, scale, shift)| {
                plain::modulated_rms_norm(x, weight, scale, shift, EPSILON)
            });
        }
    }
}

fn gated_activation(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "gated activation");
    for (i, tokens) in TOKENS.into_iter().enumerate() {
        let (gate, up) = (random([2, tokens, HIDDEN]), random([2, tokens, HIDDEN]));
        let inputs = || (copy(&gate), up.clone());
        let work = || values(3 * 2 * tokens * HIDDEN);
        let name = format!("{tokens} tokens");
        group.time(&name, work(), inputs, |(gate, up)| Backend::gated_silu(gate, up));
        if i == 0 {
            let name = format!("{name}, plain");
            group.time(name, work(), inputs, |(gate, up)| plain::gated_silu(gate, up));
        }
    }
}

fn gated_sum(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "gated sum");
    let gate = random([2, 1, WIDTH]);
    for (i, tokens) in TOKENS.into_iter().enumerate() {
        let (x, y) = (random([2, tokens, WIDTH]), random([2, tokens, WIDTH]));
        let inputs = || (copy(&x), y.clone(), gate.clone());
        let work = || values(3 * 2 * tokens * WIDTH);
        let name = format!("{tokens} tokens");
        group.time(&name, work(), inputs, |(x, y, gate)| Backend::add_gated(x, y, gate));
        if i == 0 {
            let name = format!("{name}, plain");
            group.time(name, work(), inputs, |(x, y, gate)| x + y * gate);
        }
    }
}
