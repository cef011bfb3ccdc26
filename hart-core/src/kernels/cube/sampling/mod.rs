//! Tokens sampled where their logits are, from the draws of
//! [`SeededDraws`](crate::random::SeededDraws).
//!
//! One launch samples all tokens, a workgroup each: top-k and top-p as a threshold ([`select`]), a
//! draw from what is left ([`choose`]) and, in smooth sampling, the noisy mean of it ([`mix`]). The
//! same as on the host but for the rounding of sums, and for one case: of entries with the same
//! logit, top-p removes all or none.

pub mod chacha;
mod choose;
mod kernel;
mod logarithm;
mod mix;
mod select;
mod together;

use burn::tensor::{DType, Shape};
use burn_cubecl::{CubeRuntime, tensor::CubeTensor};
use cubecl::prelude::*;

use self::kernel::{Division, RuleLaunch, sample_rows};
use super::CubeOperation;
use super::arguments::{address_type, cubes, in_rows, room};
use crate::ops::sampling::TokenRule;

/// The most units of a workgroup. Every device has as many.
const UNITS: usize = 256;

/// Inputs are logits `[batch, tokens, V]` and the codebook `[V, Z]`, both in 32 bits; results are
/// indices `[batch, tokens]` and vectors `[batch, tokens, Z]`.
#[derive(Debug, Clone)]
pub struct SampleTokens {
    /// How.
    pub rule: TokenRule,
    /// The scale, a part of the address of every draw.
    pub scale: u32,
    /// The seed of each image in two halves, the lower one first, then the position of every token
    /// in the scale.
    pub addresses: Vec<u32>,
    /// The type of indices.
    pub indices: DType,
}

impl SampleTokens {
    /// The addresses of draws from the seed of each image and the positions of its tokens.
    pub fn addresses(seeds: &[u64], positions: &[Vec<usize>]) -> Vec<u32> {
        let seeds = seeds.iter().flat_map(|&seed| [seed as u32, (seed >> 32) as u32]);
        seeds.chain(positions.iter().flatten().map(|&position| position as u32)).collect()
    }

    /// Whether there is a kernel for V `entries` and Z `channels`.
    pub fn knows(entries: usize, channels: usize) -> bool {
        entries > 0 && channels > 0 && channels <= units(entries)
    }
}

/// The units of a workgroup for V `entries`: enough for a block of the generator each.
fn units(entries: usize) -> usize {
    entries.div_ceil(chacha::WORDS).next_multiple_of(32).min(UNITS)
}

impl CubeOperation for SampleTokens {
    const NAME: &'static str = "hart_sample_tokens";

    fn outputs(&self, inputs: &[Shape]) -> Vec<Shape> {
        let (batch, tokens) = (inputs[0][0], inputs[0][1]);
        vec![Shape::new([batch, tokens]), Shape::new([batch, tokens, inputs[1][1]])]
    }

    fn output_type(&self, place: usize, first: DType) -> DType {
        if place == 0 { self.indices } else { first }
    }

    fn launch<R: CubeRuntime>(&self, inputs: Vec<CubeTensor<R>>) -> Vec<CubeTensor<R>> {
        let shapes: Vec<Shape> = inputs.iter().map(|x| x.meta.shape().clone()).collect();
        let [logits, codebook] = inputs.try_into().expect("two inputs");
        let (logits, codebook) = (in_rows(logits), in_rows(codebook));
        let [of_indices, of_vectors] = self.outputs(&shapes).try_into().expect("two results");
        let indices = room(&logits, of_indices, self.indices);
        let vectors = room(&logits, of_vectors, DType::F32);
        let tokens = shapes[0][0] * shapes[0][1];
        if tokens == 0 {
            return vec![indices, vectors];
        }

        let units = units(shapes[0][2]);
        let held = shapes[0][2].div_ceil(units).next_multiple_of(chacha::WORDS);
        let client = logits.client.clone();
        let in_step = R::name(&client).contains("wgsl");
        let division = Division { units, held, channels: shapes[1][1], in_step };
        let addresses = client.create_from_slice(u32::as_bytes(&self.addresses));
        let address = address_type(&[&logits, &codebook, &indices, &vectors]);
        // Every position is below the length of the row that the cube was given.
        unsafe {
            sample_rows::launch_unchecked(
                &client,
                cubes(tokens),
                CubeDim::new_1d(units as u32),
                address,
                logits.into_tensor_arg(),
                codebook.into_tensor_arg(),
                ArrayArg::from_raw_parts(addresses, self.addresses.len()),
                indices.clone().into_tensor_arg(),
                vectors.clone().into_tensor_arg(),
                self.numbers(shapes[0][2]),
                division,
                self.rule.smooth.is_some(),
                self.indices.into(),
            );
        }
        vec![indices, vectors]
    }
}

impl SampleTokens {
    /// The rule as the device takes it.
    fn numbers<R: CubeRuntime>(&self, entries: usize) -> RuleLaunch<R> {
        let TokenRule { top_k, top_p, smooth } = self.rule;
        let top_k = if top_k < entries { top_k as u32 } else { 0 };
        let tail = if top_p > 0.0 { (1.0 - top_p) as f32 } else { -1.0 };
        let (factor, temperature) =
            smooth.map_or((1.0, 1.0), |smooth| (smooth.factor as f32, smooth.temperature as f32));
        RuleLaunch::new(top_k, tail, factor, temperature, self.scale)
    }
}
