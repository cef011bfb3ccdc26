//! Images as tokens, computed once and kept on the disk.

use std::collections::BTreeMap;
use std::path::Path;

use anyhow::{Context, ensure};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use hart_core::{HartBackend, write_atomically};
use hart_tokenizer::HybridTokenizer;
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use super::{Clock, tensor};
use crate::data::Records;

/// Images encoded at a time.
const BATCH: usize = 32;

/// The tokens of all images of some records.
#[derive(Debug)]
pub struct TokenCache {
    /// For each record which of the images it has: several may share one.
    images: Vec<usize>,
    /// For each image the codes of all scales.
    codes: Vec<u16>,
    /// For each image the residual, `[last tokens, Z]`.
    residuals: Vec<f32>,
    tokens: usize,
    values: usize,
}

impl TokenCache {
    /// Reads the cache file when it was made of these records by this tokenizer (`weights`, the
    /// bytes of its file), else encodes all images and writes it.
    ///
    /// # Errors
    /// When an image cannot be read or the file cannot be written.
    pub fn open<B: HartBackend>(
        path: &Path,
        records: &Records,
        tokenizer: &HybridTokenizer<B>,
        weights: &[u8],
        device: &B::Device,
    ) -> anyhow::Result<Self> {
        let mut places = BTreeMap::new();
        let mut first = vec![];
        let images: Vec<usize> = (0..records.len())
            .map(|record| {
                *places.entry(&records.records[record].image).or_insert_with(|| {
                    first.push(record);
                    first.len() - 1
                })
            })
            .collect();
        let scales = tokenizer.quantizer.scales();
        let tokens = scales.total_tokens();
        let values = scales.tokens(scales.last()) * tokenizer.quantizer.codebook_shape()[1];
        let mut cache = Self { images, codes: vec![], residuals: vec![], tokens, values };
        let mut hash = Sha256::new();
        hash.update(weights);
        for &record in &first {
            hash.update(records.records[record].image.to_string_lossy().as_bytes());
            hash.update([0]);
        }
        let key: String = hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect();
        if !cache.read(path, &key, first.len())? {
            cache.encode(records, &first, tokenizer, device)?;
            cache.write(path, key)?;
        }
        Ok(cache)
    }

    /// The codes of a record's image.
    pub fn codes(&self, record: usize) -> Vec<usize> {
        let codes = &self.codes[self.images[record] * self.tokens..][..self.tokens];
        codes.iter().map(|&code| usize::from(code)).collect()
    }

    /// The residual of a record's image, `[last tokens, Z]` row by row.
    pub fn residual(&self, record: usize) -> &[f32] {
        &self.residuals[self.images[record] * self.values..][..self.values]
    }

    fn encode<B: HartBackend>(
        &mut self,
        records: &Records,
        first: &[usize],
        tokenizer: &HybridTokenizer<B>,
        device: &B::Device,
    ) -> anyhow::Result<()> {
        let side = tokenizer.image_side();
        let clock = Clock::start(0, first.len() as u64);
        for (part, items) in first.chunks(BATCH).enumerate() {
            let images: anyhow::Result<Vec<Vec<f32>>> =
                items.par_iter().map(|&record| records.image(record, side)).collect();
            let images = tensor::<B, 4>(images?.concat(), [items.len(), 3, side, side], device);
            let tokens = tokenizer.quantizer.encode(tokenizer.encode_latent(images, &mut ()));
            let scales: Vec<(usize, Vec<u16>)> = tokens
                .indices
                .iter()
                .map(|indices| {
                    let data = indices.to_data();
                    (indices.dims()[1], data.iter::<i64>().map(|code| code as u16).collect())
                })
                .collect();
            for image in 0..items.len() {
                for (count, codes) in &scales {
                    self.codes.extend(&codes[image * count..][..*count]);
                }
            }
            self.residuals.extend(tokens.residual.into_data().iter::<f32>());
            if part % 32 == 0 {
                clock.report((part * BATCH + items.len()) as u64, "encoding images");
            }
        }
        clock.finish();
        Ok(())
    }

    fn write(&self, path: &Path, key: String) -> anyhow::Result<()> {
        let count = self.codes.len() / self.tokens;
        let codes: Vec<u8> = self.codes.iter().flat_map(|code| code.to_le_bytes()).collect();
        let residuals: Vec<u8> =
            self.residuals.iter().flat_map(|value| value.to_le_bytes()).collect();
        let views = [
            ("codes", TensorView::new(Dtype::U16, vec![count, self.tokens], &codes)?),
            ("residuals", TensorView::new(Dtype::F32, vec![count, self.values], &residuals)?),
        ];
        let about = std::collections::HashMap::from([("key".to_string(), key)]);
        let bytes = safetensors::serialize(views, Some(about))?;
        if let Some(folder) = path.parent() {
            std::fs::create_dir_all(folder)?;
        }
        write_atomically(path, &bytes).context("cannot write the cache of tokens")
    }

    /// Whether the file is there, of this key, and was read.
    fn read(&mut self, path: &Path, key: &str, count: usize) -> anyhow::Result<bool> {
        let Ok(bytes) = std::fs::read(path) else { return Ok(false) };
        let Ok((_, about)) = SafeTensors::read_metadata(&bytes) else { return Ok(false) };
        if about.metadata().as_ref().and_then(|about| about.get("key")).is_none_or(|k| k != key) {
            return Ok(false);
        }
        let tensors = SafeTensors::deserialize(&bytes)
            .with_context(|| format!("the cache {} is damaged: remove it", path.display()))?;
        let codes = tensors.tensor("codes")?;
        let residuals = tensors.tensor("residuals")?;
        self.codes =
            codes.data().chunks_exact(2).map(|b| u16::from_le_bytes([b[0], b[1]])).collect();
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        self.residuals = residuals.data().chunks_exact(4).map(value).collect();
        ensure!(
            self.codes.len() == count * self.tokens && self.residuals.len() == count * self.values,
            "the cache {} is damaged: remove it",
            path.display()
        );
        Ok(true)
    }
}

/// The codes of a batch, image by image, as one tensor a scale.
pub fn by_scale<B: Backend>(
    codes: &[Vec<usize>],
    scales: &hart_core::ScaleSchedule,
    device: &B::Device,
) -> Vec<Tensor<B, 2, Int>> {
    let mut first = 0;
    let scale = |scale: usize| {
        let count = scales.tokens(scale);
        let values: Vec<i64> = codes
            .iter()
            .flat_map(|codes| codes[first..first + count].iter().map(|&code| code as i64))
            .collect();
        first += count;
        Tensor::from_data(TensorData::new(values, [codes.len(), count]), device)
    };
    (0..scales.count()).map(scale).collect()
}
