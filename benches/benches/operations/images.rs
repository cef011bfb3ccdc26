//! What the decoder is made of.

use burn::tensor::Tensor;
use criterion::Criterion;
use hart_core::ops::{ConvolutionOptions, GroupNormOptions};
use hart_core::{HartBackend, Precision};

use crate::plain;
use crate::timing::{Backend, Group, operations, random, values};

/// Channels and side of maps, from the finest level of 256 pixels to the coarsest of 1024.
const MAPS: [[usize; 2]; 3] = [[160, 256], [320, 64], [640, 32]];
/// The map that is also measured in plain operations.
const PLAIN_MAP: usize = 1;
const GROUPS: usize = 32;

pub(crate) fn measure(criterion: &mut Criterion) {
    group_norm(criterion);
    convolution(criterion);
}

fn group_norm(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "GroupNorm and SiLU");
    let [channels, side] = MAPS[0];
    let options = GroupNormOptions { groups: GROUPS, epsilon: 1e-6, activate: true };
    let (x, weight, bias) =
        (random([1, channels, side, side]), random([channels]), random([channels]));
    let inputs = || (x.clone(), weight.clone(), bias.clone());
    let work = || values(2 * channels * side * side);
    let name = format!("{channels} channels, {side} x {side}");
    group.time(&name, work(), inputs, |(x, weight, bias)| {
        Backend::group_norm(x, weight, bias, &options)
    });
    group.time(format!("{name}, plain"), work(), inputs, |(x, weight, bias)| {
        plain::group_norm(x, weight, bias, &options)
    });
}

fn convolution(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "convolution 3 x 3");
    for (i, [channels, side]) in MAPS.into_iter().enumerate() {
        let (weight, bias) = (random([channels, channels, 3, 3]), random([channels]));
        let x = random([1, channels, side, side]);
        let work = || operations(2 * 9 * channels * channels * side * side);
        let name = format!("{channels} channels, {side} x {side}");
        let convolve = layer(weight.clone(), bias.clone());
        group.time(&name, work(), || x.clone(), convolve);
        if i == PLAIN_MAP {
            let inputs = || (x.clone(), weight.clone(), bias.clone());
            group.time(format!("{name}, plain"), work(), inputs, |(x, weight, bias)| {
                plain::convolution(x, weight, bias)
            });
        }
    }
}

/// The convolution as the backend computes it fastest; no backend rounds it to 8 bits.
fn layer(
    weight: Tensor<Backend, 4>,
    bias: Tensor<Backend, 1>,
) -> impl Fn(Tensor<Backend, 4>) -> Tensor<Backend, 4> {
    let options = ConvolutionOptions { padding: [1, 1], stride: [1, 1] };
    let prepared =
        Backend::prepare_convolution(weight.clone(), bias.clone(), &options, Precision::F32);
    move |x| match &prepared {
        Some(layer) => Backend::prepared_convolution(layer, x),
        None => Backend::convolution(x, weight.clone(), bias.clone(), &options),
    }
}
