//! Which codes are used, and what becomes of those that are not.

use burn::tensor::Tensor;
use burn::tensor::backend::Backend;
use hart_core::random::generator;
use hart_core::{Error, Result};
use hart_tokenizer::QuantizedLatent;
use rand::Rng;

use crate::training::values::tensor;

/// The stream of a seed that unused codes are drawn from again.
const REVIVAL: u64 = 131;
/// A code counts as used when it was within this many steps.
const RECENTLY: u64 = 20;

/// The file of a snapshot.
pub(super) const FILE: &str = "unused.json";

/// For each code how many steps ago it was last used.
pub(super) struct CodeUse(Vec<u64>);

impl CodeUse {
    /// Of a codebook before the first step.
    pub(super) fn new(codes: usize) -> Self {
        Self(vec![0; codes])
    }

    /// As in the file [`FILE`] of a snapshot, of a codebook as large as this one.
    pub(super) fn restored(&self, bytes: &[u8]) -> Result<Self> {
        let steps: Vec<u64> =
            serde_json::from_slice(bytes).map_err(|error| Error::malformed(FILE, error))?;
        if steps.len() != self.0.len() {
            let problem = format!("{} codes, expected {}", steps.len(), self.0.len());
            return Err(Error::malformed(FILE, problem));
        }
        Ok(Self(steps))
    }

    /// As a file of a snapshot.
    pub(super) fn to_bytes(&self) -> Vec<u8> {
        serde_json::json!(self.0).to_string().into_bytes()
    }

    /// How many codes were used recently.
    pub(super) fn used(&self) -> usize {
        self.0.iter().filter(|&&steps| steps < RECENTLY).count()
    }

    /// Counts the codes of a step.
    pub(super) fn count<B: Backend>(&mut self, latents: &[QuantizedLatent<B>]) {
        self.0.iter_mut().for_each(|steps| *steps += 1);
        for indices in latents.iter().flat_map(|latent| &latent.indices) {
            for code in indices.to_data().iter::<i64>() {
                self.0[code as usize] = 0;
            }
        }
    }

    /// Puts codes that were not used for `after` steps to latents of this batch, those of step
    /// `step` of the run with this seed: the codebook `[V, Z]` that is to replace `codebook`, if
    /// any code is moved.
    ///
    /// This happens four times in that many steps.
    pub(super) fn revive<B: Backend, L: Backend>(
        &mut self,
        after: u64,
        [seed, step]: [u64; 2],
        codebook: Tensor<B, 2>,
        latents: &[QuantizedLatent<L>],
    ) -> Option<Tensor<B, 2>> {
        if after == 0 || !step.is_multiple_of(after.div_ceil(4)) {
            return None;
        }
        let dead: Vec<usize> = (0..self.0.len()).filter(|&code| self.0[code] >= after).collect();
        if dead.is_empty() {
            return None;
        }
        let mut draws = generator(seed, REVIVAL, [step, 0]);
        let vectors: Vec<Vec<f32>> = latents
            .iter()
            .flat_map(|latent| &latent.vectors)
            .map(|vectors| vectors.to_data().iter::<f32>().collect())
            .collect();
        let (device, [entries, channels]) = (codebook.device(), codebook.dims());
        let mut values: Vec<f32> = codebook.into_data().iter::<f32>().collect();
        for code in dead {
            // Every scale has a like share, not every token: the last scale has most tokens.
            let scale = &vectors[draws.next_u64() as usize % vectors.len()];
            let token = draws.next_u64() as usize % (scale.len() / channels);
            values[code * channels..][..channels]
                .copy_from_slice(&scale[token * channels..][..channels]);
            self.0[code] = 0;
        }
        Some(tensor(values, [entries, channels], &device))
    }
}
