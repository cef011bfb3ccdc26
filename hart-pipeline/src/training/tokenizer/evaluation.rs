//! How good the reconstructions are.

use std::path::Path;

use burn::tensor::Tensor;
use hart_core::{Grid, HartBackend, Result};
use hart_tokenizer::{HybridTokenizer, to_pixels};
use rayon::prelude::*;

use crate::training::data::Records;
use crate::training::sheet::save_sheet;
use crate::training::values::{ScalarF64, tensor};

/// Images measured at a time.
const BATCH: usize = 32;
/// Images on the sheet of an evaluation.
const SHOWN: usize = 12;

/// Decibels of the reconstructions of the first `count` images of some records: from the sum of the
/// codes, from all of the latent, and from the codes as generation adds them, without a residual. The
/// first images, as they are and reconstructed in these ways, go into the file `sheet`.
pub(super) fn evaluate<B: HartBackend>(
    tokenizer: &HybridTokenizer<B>,
    records: &Records,
    count: usize,
    sheet: &Path,
    device: &B::Device,
) -> Result<[f64; 3]> {
    let size = tokenizer.image_size();
    let count = records.len().min(count);
    let mut errors = [0.0; 3];
    for start in (0..count).step_by(BATCH) {
        let items: Vec<usize> = (start..count.min(start + BATCH)).collect();
        let images = read(records, &items, size, device)?;
        let latent = tokenizer.encode_latent(images.clone(), &mut ());
        let quantized = tokenizer.quantizer.quantize(latent.clone(), 0.0);
        let bare = latent.clone() - quantized.head_residual;
        let decoded = [quantized.discrete, latent, bare]
            .map(|latent| to_pixels(tokenizer.decode_latent(latent, &mut ())));
        let images = to_pixels(images);
        for (error, decoded) in errors.iter_mut().zip(&decoded) {
            let square = (decoded.clone() - images.clone()).square().mean();
            *error += square.into_scalar_f64() * items.len() as f64 / count as f64;
        }
        if start == 0 {
            let [discrete, continuous, bare] = decoded;
            let columns = SHOWN.min(items.len());
            let rows = [images, discrete, continuous, bare];
            let rows = rows.map(|row| row.narrow(0, 0, columns).into_data());
            let shown: Vec<f32> = rows.iter().flat_map(|row| row.iter::<f32>()).collect();
            save_sheet(sheet, &shown, size, columns)?;
        }
    }
    Ok(errors.map(|error| -10.0 * error.log10()))
}

/// The standard deviation of the residuals of the first `count` images of some records.
pub(super) fn residual_spread<B: HartBackend>(
    tokenizer: &HybridTokenizer<B>,
    records: &Records,
    count: usize,
    device: &B::Device,
) -> Result<f64> {
    let count = records.len().min(count);
    let mut square = 0.0;
    for start in (0..count).step_by(BATCH) {
        let items: Vec<usize> = (start..count.min(start + BATCH)).collect();
        let images = read(records, &items, tokenizer.image_size(), device)?;
        let latent = tokenizer.encode_latent(images, &mut ());
        let residual = tokenizer.quantizer.encode(latent).residual;
        square += residual.square().mean().into_scalar_f64() * items.len() as f64 / count as f64;
    }
    Ok(square.sqrt())
}

/// Images `[items, 3, height, width]` in [-1, 1].
fn read<B: HartBackend>(
    records: &Records,
    items: &[usize],
    size: Grid,
    device: &B::Device,
) -> Result<Tensor<B, 4>> {
    let image = |&item: &usize| Ok(records.image(item, size)?.to_planes());
    let images: Result<Vec<Vec<f32>>> = items.par_iter().map(image).collect();
    Ok(tensor(images?.concat(), [items.len(), 3, size.rows, size.columns], device))
}
