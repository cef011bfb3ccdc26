//! Shows what the tokenizer keeps of an image: the original, discrete tokens alone, and tokens with
//! the continuous residual, side by side.
//!
//! ```text
//! cargo run --release --example reconstruct -- --model fixtures/hart-tiny photo.png
//! ```
#![allow(clippy::print_stdout)]

use std::path::PathBuf;
use std::process::ExitCode;

use anyhow::Context;
use burn::tensor::{DType, Tensor, TensorData};
use clap::Parser;
use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::config::AutoencoderConfig;
use hart_core::{HartBackend, Precision};
use hart_examples::run_on;
use hart_pipeline::backend::OnBackend;
use hart_pipeline::image::save_pixels;
use hart_tokenizer::HybridTokenizer;
use image::imageops::{FilterType, crop_imm, resize};

/// Encodes an image to tokens, decodes them with and without the residual, and prints how close
/// each is to the original, in decibels.
#[derive(Parser)]
struct Arguments {
    /// The image file: PNG, JPEG or WebP. Its middle square is used.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Folder of the model, with `tokenizer/` in it.
    #[arg(long, value_name = "DIR")]
    model: PathBuf,
    /// File for the original, discrete and hybrid images, side by side.
    #[arg(long, value_name = "PATH", default_value = "reconstruction.png")]
    out: PathBuf,
    /// Element type of the weights: f32, bf16, f16 or int8.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: Precision,
    /// Backend to use, with a GPU's index if needed, such as cuda:1 [default: the fastest compiled
    /// in].
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_on(arguments.device.clone(), arguments)
}

impl OnBackend for Arguments {
    type Output = anyhow::Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> anyhow::Result<()> {
        self.precision.check::<B>(&device)?;
        let folder = self.model.join("tokenizer");
        let config = AutoencoderConfig::open(folder.join("config.json"))?;
        let side = config.image_side();
        let original = read_square(&self.image, side)?;
        let checkpoint = Checkpoint::open_folder(&folder)?;
        let options = LoadOptions { precision: self.precision, prepare: true };
        let tokenizer =
            HybridTokenizer::<B>::from_checkpoint(&config, &checkpoint, options, &device)?;

        let data = TensorData::new(planes(&original, side), [1, 3, side, side]);
        let tokens = tokenizer.encode(Tensor::from_data(data, (&device, DType::F32)))?;
        let discrete = bytes(tokenizer.decode_discrete(&tokens.indices)?);
        let hybrid = bytes(tokenizer.decode(&tokens)?);

        println!("discrete tokens alone: {:.2} dB", psnr(&original, &discrete));
        println!("with the residual:     {:.2} dB", psnr(&original, &hybrid));
        let (width, pixels) = side_by_side(&[original, discrete, hybrid], side);
        save_pixels(&self.out, width, side, &pixels)?;
        println!("{}", self.out.display());
        Ok(())
    }
}

/// The middle square of an image file at the tokenizer's size, `[side, side, 3]` bytes.
fn read_square(path: &PathBuf, side: usize) -> anyhow::Result<Vec<u8>> {
    let image = image::open(path).with_context(|| format!("cannot read {}", path.display()))?;
    let image = image.to_rgb8();
    let (width, height) = image.dimensions();
    let edge = width.min(height);
    let square = crop_imm(&image, (width - edge) / 2, (height - edge) / 2, edge, edge);
    let side = side as u32;
    Ok(resize(&*square, side, side, FilterType::Lanczos3).into_raw())
}

/// `[side, side, 3]` bytes to `[3, side, side]` values in [0, 1].
fn planes(pixels: &[u8], side: usize) -> Vec<f32> {
    let plane =
        |channel: usize| (0..side * side).map(move |i| f32::from(pixels[3 * i + channel]) / 255.0);
    (0..3).flat_map(plane).collect()
}

/// `[1, 3, side, side]` in [0, 1] to `[side, side, 3]` bytes, rounded.
fn bytes<B: HartBackend>(image: Tensor<B, 4>) -> Vec<u8> {
    let values: Vec<f32> = image.into_data().iter::<f32>().collect();
    let size = values.len() / 3;
    let byte = |value: f32| (value * 255.0).round() as u8;
    (0..size).flat_map(|i| [0, 1, 2].map(|channel| byte(values[channel * size + i]))).collect()
}

/// Peak signal-to-noise ratio in decibels.
fn psnr(a: &[u8], b: &[u8]) -> f64 {
    let square = |(a, b): (&u8, &u8)| (f64::from(*a) - f64::from(*b)).powi(2);
    let error = a.iter().zip(b).map(square).sum::<f64>() / a.len() as f64;
    10.0 * (255.0 * 255.0 / error).log10()
}

/// Images of `[side, side, 3]` bytes in one row.
fn side_by_side(pictures: &[Vec<u8>], side: usize) -> (usize, Vec<u8>) {
    let row = |y: usize| pictures.iter().flat_map(move |p| p[3 * side * y..][..3 * side].to_vec());
    (side * pictures.len(), (0..side).flat_map(row).collect())
}
