//! Images as tokens, computed once and kept on the disk.

use std::collections::{BTreeMap, HashMap};
use std::path::Path;

use burn::tensor::backend::Backend;
use hart_core::{Error, HartBackend, Result, write_atomically};
use hart_tokenizer::{HybridTokenizer, HybridTokens};
use rayon::prelude::*;
use safetensors::tensor::TensorView;
use safetensors::{Dtype, SafeTensors};
use sha2::{Digest, Sha256};

use crate::training::data::Records;
use crate::training::observer::{TrainingEvent, TrainingObserver, report};
use crate::training::values::tensor;

/// Images encoded at a time.
const BATCH: usize = 32;
/// Batches between two reports.
const REPORTED: usize = 32;

/// The tokens of all images of some records.
#[derive(Debug)]
pub(in crate::training) struct TokenCache {
    /// For each record which of the images it has: several may share one.
    images: Vec<usize>,
    /// For each image a record that has it.
    first: Vec<usize>,
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
    /// When an image cannot be read, the file is damaged or cannot be written, or the observer
    /// ends the encoding.
    pub(super) fn open<B: HartBackend>(
        path: &Path,
        records: &Records,
        tokenizer: &HybridTokenizer<B>,
        weights: &[u8],
        device: &B::Device,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Self> {
        let mut cache = Self::empty(records, tokenizer);
        let key = cache.key(records, weights);
        if !cache.read(path, &key)? {
            cache.encode(records, tokenizer, device, observer)?;
            cache.write(path, key)?;
        }
        Ok(cache)
    }

    /// Encodes all images of some records.
    ///
    /// # Errors
    /// When an image cannot be read, or the observer ends the encoding.
    pub(in crate::training) fn of<B: HartBackend>(
        records: &Records,
        tokenizer: &HybridTokenizer<B>,
        device: &B::Device,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Self> {
        let mut cache = Self::empty(records, tokenizer);
        cache.encode(records, tokenizer, device, observer)?;
        Ok(cache)
    }

    /// The codes of a record's image.
    pub(super) fn codes(&self, record: usize) -> Vec<usize> {
        let codes = &self.codes[self.images[record] * self.tokens..][..self.tokens];
        codes.iter().map(|&code| usize::from(code)).collect()
    }

    /// The residual of a record's image, `[last tokens, Z]` row by row.
    pub(super) fn residual(&self, record: usize) -> &[f32] {
        &self.residuals[self.images[record] * self.values..][..self.values]
    }

    fn empty<B: Backend>(records: &Records, tokenizer: &HybridTokenizer<B>) -> Self {
        let mut places = BTreeMap::new();
        let mut first = vec![];
        let images = records.iter().enumerate().map(|(index, record)| {
            *places.entry(&record.image).or_insert_with(|| {
                first.push(index);
                first.len() - 1
            })
        });
        let images = images.collect();
        let scales = tokenizer.quantizer.scales();
        let tokens = scales.total_tokens();
        let values = scales.tokens(scales.last()) * tokenizer.quantizer.codebook_shape()[1];
        Self { images, first, codes: vec![], residuals: vec![], tokens, values }
    }

    /// What the tokens follow from, in short.
    fn key(&self, records: &Records, weights: &[u8]) -> String {
        let mut hash = Sha256::new();
        hash.update(weights);
        for &record in &self.first {
            hash.update(records.get(record).image.to_string_lossy().as_bytes());
            hash.update([0]);
        }
        hash.finalize().iter().map(|byte| format!("{byte:02x}")).collect()
    }

    fn encode<B: HartBackend>(
        &mut self,
        records: &Records,
        tokenizer: &HybridTokenizer<B>,
        device: &B::Device,
        observer: &mut dyn TrainingObserver,
    ) -> Result<()> {
        let size = tokenizer.image_size();
        let first = self.first.clone();
        for (part, items) in first.chunks(BATCH).enumerate() {
            let image = |&record: &usize| Ok(records.image(record, size)?.to_planes());
            let images: Result<Vec<Vec<f32>>> = items.par_iter().map(image).collect();
            let shape = [items.len(), 3, size.rows, size.columns];
            let images = tensor::<B, 4>(images?.concat(), shape, device);
            self.add(tokenizer.quantizer.encode(tokenizer.encode_latent(images, &mut ())));
            if part % REPORTED == 0 {
                let done = part * BATCH + items.len();
                report(observer, TrainingEvent::Encoding { done, images: first.len() })?;
            }
        }
        Ok(())
    }

    /// Adds the tokens of a batch of images.
    fn add<B: Backend>(&mut self, tokens: HybridTokens<B>) {
        let images = tokens.indices[0].dims()[0];
        let scales = tokens.indices.iter().map(|indices| {
            let codes = indices.to_data().iter::<i64>().map(|code| code as u16).collect();
            (indices.dims()[1], codes)
        });
        let scales: Vec<(usize, Vec<u16>)> = scales.collect();
        for image in 0..images {
            for (count, codes) in &scales {
                self.codes.extend(&codes[image * count..][..*count]);
            }
        }
        self.residuals.extend(tokens.residual.into_data().iter::<f32>());
    }

    fn write(&self, path: &Path, key: String) -> Result<()> {
        let count = self.codes.len() / self.tokens;
        let codes: Vec<u8> = self.codes.iter().flat_map(|code| code.to_le_bytes()).collect();
        let residuals: Vec<u8> =
            self.residuals.iter().flat_map(|value| value.to_le_bytes()).collect();
        let serialize = || {
            let views = [
                ("codes", TensorView::new(Dtype::U16, vec![count, self.tokens], &codes)?),
                ("residuals", TensorView::new(Dtype::F32, vec![count, self.values], &residuals)?),
            ];
            let about = [("key", key), ("format", "pt".to_string())];
            let about = HashMap::from(about.map(|(name, value)| (name.to_string(), value)));
            safetensors::serialize(views, Some(about))
        };
        let bytes = serialize().map_err(|error| Error::malformed(path, error))?;
        write_atomically(path, &bytes)
    }

    /// Whether the file is there, of this key, and was read.
    fn read(&mut self, path: &Path, key: &str) -> Result<bool> {
        let Ok(bytes) = std::fs::read(path) else { return Ok(false) };
        let Ok((_, about)) = SafeTensors::read_metadata(&bytes) else { return Ok(false) };
        if about.metadata().as_ref().and_then(|about| about.get("key")).is_none_or(|k| k != key) {
            return Ok(false);
        }
        let damaged = |problem: &dyn std::fmt::Display| {
            Error::malformed(path, format!("{problem}: remove it"))
        };
        let tensors = SafeTensors::deserialize(&bytes).map_err(|error| damaged(&error))?;
        let tensor = |name: &str| tensors.tensor(name).map_err(|error| damaged(&error));
        let code = |b: &[u8]| u16::from_le_bytes([b[0], b[1]]);
        self.codes = tensor("codes")?.data().chunks_exact(2).map(code).collect();
        let value = |b: &[u8]| f32::from_le_bytes([b[0], b[1], b[2], b[3]]);
        self.residuals = tensor("residuals")?.data().chunks_exact(4).map(value).collect();
        let count = self.first.len();
        let expected = [count * self.tokens, count * self.values];
        if [self.codes.len(), self.residuals.len()] == expected {
            return Ok(true);
        }
        Err(damaged(&format!("expected {expected:?} codes and residuals")))
    }
}
