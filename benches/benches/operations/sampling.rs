//! From logits to codes, on the host: the last scale of 1024 pixels.

use criterion::{Criterion, Throughput};
use hart_ar::sampling::{RELEASE_TOP_K, Smoothing, TokenRule, sample_tokens};
use hart_core::random::{Draws, SeededDraws};

use crate::timing::Group;

const TOKENS: usize = 4096;
const CODES: usize = 4096;
const CHANNELS: usize = 32;
/// The last of 14 scales.
const SCALE: usize = 13;
/// The release's at the last scale.
const SMOOTHING: Smoothing =
    Smoothing { factor: 1.0 + 12.0 / 13.0, temperature: 0.27 * (1.0 - 0.95 * 12.0 / 13.0) };

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "sampling");
    let draws = SeededDraws::new([0]);
    let normals = |rows: usize, width: usize| {
        let mut values = vec![0.0; rows * width];
        for (row, values) in values.chunks_exact_mut(width).enumerate() {
            draws.diffusion_start(0, row, values);
        }
        values
    };
    let (logits, codebook) = (normals(TOKENS, CODES), normals(CODES, CHANNELS));
    let positions = [(0..TOKENS).collect::<Vec<_>>()];
    let [coarse, fine] = RELEASE_TOP_K;
    for (kind, top_k, smooth) in [
        ("one code", coarse, None),
        ("one code", fine, None),
        ("smooth mixture", coarse, Some(SMOOTHING)),
        ("smooth mixture", fine, Some(SMOOTHING)),
    ] {
        let rule = TokenRule { top_k, top_p: 0.0, smooth };
        let name = format!("{kind}, {top_k} of {CODES}, {TOKENS} tokens");
        group.time(
            name,
            Throughput::Elements(TOKENS as u64),
            || (),
            |()| sample_tokens(&logits, &codebook, CHANNELS, &rule, &draws, SCALE, &positions),
        );
    }
}
