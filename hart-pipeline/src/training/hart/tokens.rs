//! Images as tokens, computed once and kept on the disk.

use std::collections::BTreeMap;
use std::path::Path;

use burn::tensor::backend::Backend;
use hart_core::{HartBackend, Result};
use hart_tokenizer::{HybridTokenizer, HybridTokens};
use rayon::prelude::*;

use super::token_files::{Store, Tokens};
use crate::hash::Hash;
use crate::training::data::Records;
use crate::training::observer::{TrainingEvent, TrainingObserver, report};
use crate::training::values::tensor;

/// Images encoded at a time.
const BATCH: usize = 32;
/// Images of a piece: what is encoded between two reports, and kept whatever happens later.
const PIECE: usize = 8 * BATCH;

/// The tokens of all images of some records.
#[derive(Debug)]
pub(in crate::training) struct TokenCache {
    /// For each record which of the images it has: several may share one.
    images: Vec<usize>,
    /// For each image a record that has it.
    first: Vec<usize>,
    /// What each of the images became.
    found: Tokens,
}

impl TokenCache {
    /// Reads what was encoded before from the cache file, and from the pieces beside it that a start
    /// which was stopped has left; encodes all else, and writes the file when that is anything.
    /// Tokens are known by the content of their images and by `tokenizer_hash`, never by names.
    ///
    /// # Errors
    /// When an image cannot be read, a file cannot be written, or the observer ends the encoding:
    /// pieces that were encoded are kept then.
    ///
    /// # Panics
    /// When the images of the records were not checked.
    pub(super) fn open<B: HartBackend>(
        path: &Path,
        records: &Records,
        tokenizer: &HybridTokenizer<B>,
        tokenizer_hash: &Hash,
        device: &B::Device,
        observer: &mut dyn TrainingObserver,
    ) -> Result<Self> {
        let mut cache = Self::empty(records, tokenizer);
        let wide = tokenizer.quantizer.codebook_shape()[0] > usize::from(u16::MAX) + 1;
        let store = Store::open(path, cache.found.sizes(), wide);
        let first = cache.first.clone();
        let key = |items: &[usize]| {
            let images = items.iter().map(|&record| records.image_hash(record));
            Hash::of_all(std::iter::once(tokenizer_hash).chain(images))
        };
        let keys: Vec<Hash> = first.chunks(PIECE).map(key).collect();
        for (items, key) in first.chunks(PIECE).zip(&keys) {
            let piece = match store.piece(key, items.len()) {
                Some(piece) => piece,
                None => {
                    let done = cache.found.images();
                    let progress = Progress { done, images: first.len(), observer: &mut *observer };
                    let piece = cache.encode(records, items, tokenizer, device, progress)?;
                    store.keep(key, &piece)?;
                    piece
                }
            };
            cache.found.append(piece);
        }
        store.finish(&keys, PIECE, &cache.found)?;
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
        let first = cache.first.clone();
        for items in first.chunks(PIECE) {
            let done = cache.found.images();
            let progress = Progress { done, images: first.len(), observer: &mut *observer };
            let piece = cache.encode(records, items, tokenizer, device, progress)?;
            cache.found.append(piece);
        }
        Ok(cache)
    }

    /// The codes of a record's image.
    pub(super) fn codes(&self, record: usize) -> Vec<usize> {
        self.found.codes(self.images[record])
    }

    /// The residual of a record's image, `[last tokens, Z]` row by row.
    pub(super) fn residual(&self, record: usize) -> &[f32] {
        self.found.residual(self.images[record])
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
        Self { images, first, found: Tokens::new([tokens, values]) }
    }

    /// The tokens of the images of some records.
    fn encode<B: HartBackend>(
        &self,
        records: &Records,
        items: &[usize],
        tokenizer: &HybridTokenizer<B>,
        device: &B::Device,
        progress: Progress<'_>,
    ) -> Result<Tokens> {
        let size = tokenizer.image_size();
        let mut found = Tokens::new(self.found.sizes());
        for (part, items) in items.chunks(BATCH).enumerate() {
            let image = |&record: &usize| Ok(records.image(record, size)?.to_planes());
            let images: Result<Vec<Vec<f32>>> = items.par_iter().map(image).collect();
            let shape = [items.len(), 3, size.rows, size.columns];
            let images = tensor::<B, 4>(images?.concat(), shape, device);
            add(&mut found, tokenizer.quantizer.encode(tokenizer.encode_latent(images, &mut ())));
            if part == 0 {
                let done = progress.done + items.len();
                let event = TrainingEvent::Encoding { done, images: progress.images };
                report(progress.observer, event)?;
            }
        }
        Ok(found)
    }
}

/// What there is to report.
struct Progress<'a> {
    /// Images that were encoded before.
    done: usize,
    images: usize,
    observer: &'a mut dyn TrainingObserver,
}

/// Adds the tokens of a batch of images.
fn add<B: Backend>(found: &mut Tokens, tokens: HybridTokens<B>) {
    let images = tokens.indices[0].dims()[0];
    let scales = tokens.indices.iter().map(|indices| {
        // Codes are positions in a codebook, which has far fewer entries than 32 bits can count.
        let codes = indices.to_data().iter::<i64>().map(|code| code as u32).collect();
        (indices.dims()[1], codes)
    });
    let scales: Vec<(usize, Vec<u32>)> = scales.collect();
    for image in 0..images {
        for (count, codes) in &scales {
            found.codes.extend(&codes[image * count..][..*count]);
        }
    }
    found.residuals.extend(tokens.residual.into_data().iter::<f32>());
}
