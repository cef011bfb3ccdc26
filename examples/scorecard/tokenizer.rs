//! Quality of reconstructions by the tokenizer, with and without the residual head.

use anyhow::Context;
use burn::tensor::{Tensor, TensorData};
use hart_core::HartBackend;
use hart_core::random::SeededDraws;
use hart_pipeline::HartPipeline;
use hart_tokenizer::quantizer::{to_map, to_tokens};
use hart_tokenizer::to_pixels;
use image::RgbImage;

/// Images in a batch.
const BATCH: usize = 32;

/// Decibels of reconstructions, from the mean squared error over all images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Decibels {
    /// From discrete codes alone.
    pub(crate) discrete: f64,
    /// From codes and the residual that the head sampled; only if captions are given.
    pub(crate) sampled: Option<f64>,
    /// From codes and the true residual.
    pub(crate) continuous: f64,
    /// The share of the variance of true residuals that sampled ones explain: 1 if they are equal,
    /// 0 or less if leaving them out is as good.
    pub(crate) explained: Option<f64>,
}

/// Encodes images and decodes them from codes and residual.
pub(crate) fn reconstruct<B: HartBackend>(
    pipeline: &HartPipeline<B>,
    images: &[RgbImage],
) -> anyhow::Result<Vec<RgbImage>> {
    let tokenizer = &pipeline.model()?.tokenizer;
    let mut found = vec![];
    for part in images.chunks(BATCH) {
        let images = upload::<B>(part, pipeline.device());
        found.extend(download(tokenizer.decode(&tokenizer.encode(images)?)?)?);
    }
    Ok(found)
}

/// Measures reconstructions. With captions, the true codes are given to the transformer and its
/// residual head samples what they leave over.
pub(crate) fn decibels<B: HartBackend>(
    pipeline: &HartPipeline<B>,
    images: &[RgbImage],
    captions: Option<&[String]>,
) -> anyhow::Result<Decibels> {
    let tokenizer = &pipeline.model()?.tokenizer;
    let mut errors = [0.0; 3];
    let mut residuals = [0.0; 2];
    for (index, part) in images.chunks(BATCH).enumerate() {
        let true_images = upload::<B>(part, pipeline.device());
        let latent = tokenizer.encode_latent(true_images.clone() * 2.0 - 1.0, &mut ());
        let tokens = tokenizer.quantizer.encode(latent.clone());
        let discrete = tokenizer.decode_discrete(&tokens.indices)?;
        let continuous = to_pixels(tokenizer.decode_latent(latent.clone(), &mut ()));
        let sampled = match captions {
            Some(captions) => {
                let captions = &captions[index * BATCH..][..part.len()];
                let (sampled, coded) = sample(pipeline, &tokens, captions)?;
                residuals[0] += total((sampled.clone() - latent.clone()).square());
                residuals[1] += total((coded - latent).square());
                to_pixels(tokenizer.decode_latent(sampled, &mut ()))
            }
            None => discrete.clone(),
        };
        for (error, found) in errors.iter_mut().zip([discrete, sampled, continuous]) {
            let square = total((found - true_images.clone()).square().mean());
            *error += square * part.len() as f64 / images.len() as f64;
        }
    }
    let [discrete, sampled, continuous] = errors.map(|error| -10.0 * error.log10());
    let explained = captions.map(|_| 1.0 - residuals[0] / residuals[1]);
    Ok(Decibels { discrete, sampled: captions.map(|_| sampled), continuous, explained })
}

/// The sum of all elements.
fn total<B: HartBackend, const D: usize>(x: Tensor<B, D>) -> f64 {
    x.into_data().iter::<f64>().sum()
}

/// The latent of true codes with a sampled residual, and without.
fn sample<B: HartBackend>(
    pipeline: &HartPipeline<B>,
    tokens: &hart_tokenizer::HybridTokens<B>,
    captions: &[String],
) -> anyhow::Result<(Tensor<B, 4>, Tensor<B, 4>)> {
    let model = pipeline.model()?;
    let quantizer = &model.tokenizer.quantizer;
    let last = quantizer.scales().last();
    let text = pipeline.text_encoder().encode(captions)?.text;
    let draws = SeededDraws::new((0..captions.len() as u64).collect::<Vec<_>>());
    let temperature = pipeline.defaults().temperature;
    let residual = model.predict_residual(&text, tokens, &draws, temperature)?;
    let codes = quantizer.embed(tokens.indices[last].clone());
    let so_far = quantizer.discrete_latents(&tokens.indices[..last]).pop();
    let so_far = so_far.context("a schedule has at least two scales")?;
    let grid = quantizer.scales().latent();
    let coded = to_tokens(so_far) + codes;
    Ok((to_map(coded.clone() + residual, grid), to_map(coded, grid)))
}

fn upload<B: HartBackend>(images: &[RgbImage], device: &B::Device) -> Tensor<B, 4> {
    let side = images[0].width() as usize;
    let mut values = vec![0.0; images.len() * 3 * side * side];
    for (index, image) in images.iter().enumerate() {
        for (position, pixel) in image.pixels().enumerate() {
            for channel in 0..3 {
                values[(index * 3 + channel) * side * side + position] =
                    f32::from(pixel.0[channel]) / 255.0;
            }
        }
    }
    Tensor::from_data(TensorData::new(values, [images.len(), 3, side, side]), device)
}

fn download<B: HartBackend>(images: Tensor<B, 4>) -> anyhow::Result<Vec<RgbImage>> {
    let [count, _, height, width] = images.dims();
    let values: Vec<f32> = images.into_data().iter::<f32>().collect();
    let plane = height * width;
    let image = |index: usize| {
        RgbImage::from_fn(width as u32, height as u32, |x, y| {
            let position = y as usize * width + x as usize;
            image::Rgb([0, 1, 2].map(|channel| {
                (values[(index * 3 + channel) * plane + position] * 255.0).round() as u8
            }))
        })
    };
    Ok((0..count).map(image).collect())
}
