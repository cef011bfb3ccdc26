//! Shows what the tokenizer keeps of an image: the original, discrete tokens alone, and tokens with
//! the continuous residual, side by side.
//!
//! ```text
//! cargo run --release --example reconstruct -- --model fixtures/hart-tiny photo.png
//! ```

use std::path::PathBuf;
use std::process::ExitCode;

use burn::tensor::{DType, Tensor, TensorData};
use clap::Parser;
use hart_core::checkpoint::{Checkpoint, LoadOptions};
use hart_core::{Grid, HartBackend, Precision};
use hart_examples::named::model_folder;
use hart_examples::{Destination, note, run_on};
use hart_pipeline::Pixels;
use hart_pipeline::backend::OnBackend;
use hart_pipeline::image::ReadOptions;
use hart_tokenizer::{AutoencoderConfig, HybridTokenizer};
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};

/// Encodes an image to tokens, decodes them with and without the residual, and prints how close
/// each is to the original, in decibels.
#[derive(Parser)]
struct Arguments {
    /// The image file: PNG, JPEG, WebP, GIF, BMP or TIFF. Its middle is used, in the shape that the
    /// tokenizer encodes.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// Folder of the model, with `tokenizer/` in it, or its name at the Hugging Face hub.
    #[arg(long, value_name = "DIR|NAME")]
    model: PathBuf,
    /// Colour behind transparent parts, as RRGGBB.
    #[arg(long, value_name = "COLOUR", default_value = "ffffff", value_parser = parse_colour)]
    background: [u8; 3],
    /// The most pixels that the image may have.
    #[arg(long, value_name = "N", default_value_t = ReadOptions::default().max_pixels)]
    max_pixels: u64,
    /// File for the original, discrete and hybrid images, side by side: .png, .jpg or .webp, or `-`
    /// for standard output.
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
        B::check_precision(self.precision, &device)?;
        let out = Destination::new(&self.out)?;
        let folder = model_folder(&self.model)?.join("tokenizer");
        let config = AutoencoderConfig::open(folder.join("config.json"))?;
        let size = config.image_size();
        let original = self.read_middle(size)?;
        let checkpoint = Checkpoint::open_folder(&folder)?;
        let options = LoadOptions { precision: self.precision, prepare: true };
        let tokenizer =
            HybridTokenizer::<B>::from_checkpoint(&config, &checkpoint, options, &device)?;

        let data = TensorData::new(planes(&original), [1, 3, size.rows, size.columns]);
        let tokens = tokenizer.encode(Tensor::from_data(data, (&device, DType::F32)))?;
        let discrete = bytes(tokenizer.decode_discrete(&tokens.indices)?);
        let hybrid = bytes(tokenizer.decode(&tokens)?);

        let report = format!(
            "discrete tokens alone: {:.2} dB\nwith the residual:     {:.2} dB\n{out}",
            psnr(&original, &discrete),
            psnr(&original, &hybrid)
        );
        let side_by_side = side_by_side(&[original, discrete, hybrid], size)?;
        out.write(&side_by_side.encode(out.format())?)?;
        out.say(report)
    }
}

impl Arguments {
    /// The middle of the image file, in the shape and size of the tokenizer's images: `[rows,
    /// columns, 3]` bytes.
    fn read_middle(&self, size: Grid) -> anyhow::Result<Vec<u8>> {
        let options =
            ReadOptions::default().background(self.background).max_pixels(self.max_pixels);
        let read = options.read(&self.image)?;
        if read.is_animated {
            note(format!("{} is animated: its first frame is used", self.image.display()));
        }
        let image = RgbImage::try_from(read.pixels)?;
        let (width, height) = image.dimensions();
        let (columns, rows) = (size.columns as u32, size.rows as u32);
        // The largest part of the wanted shape.
        let side = |side: u32, other: u32, over: u32, under: u32| {
            let longest = u64::from(other) * u64::from(over) / u64::from(under);
            u64::from(side).min(longest).max(1) as u32
        };
        let cut = [side(width, height, columns, rows), side(height, width, rows, columns)];
        let middle = crop_imm(&image, (width - cut[0]) / 2, (height - cut[1]) / 2, cut[0], cut[1]);
        Ok(resize(&*middle, columns, rows, FilterType::Lanczos3).into_raw())
    }
}

/// Six hexadecimal digits, with or without a `#`.
fn parse_colour(text: &str) -> Result<[u8; 3], String> {
    let digits = text.strip_prefix('#').unwrap_or(text);
    let number = u32::from_str_radix(digits, 16).ok().filter(|_| digits.len() == 6);
    let [_, red, green, blue] =
        number.ok_or("expected six hexadecimal digits, such as 80c0ff")?.to_be_bytes();
    Ok([red, green, blue])
}

/// `[rows, columns, 3]` bytes to `[3, rows, columns]` values in [0, 1].
fn planes(pixels: &[u8]) -> Vec<f32> {
    let plane = |channel| pixels.iter().skip(channel).step_by(3);
    (0..3).flat_map(plane).map(|&value| f32::from(value) / 255.0).collect()
}

/// `[1, 3, rows, columns]` in [0, 1] to `[rows, columns, 3]` bytes, rounded.
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

/// Images of `[rows, columns, 3]` bytes in one row.
fn side_by_side(images: &[Vec<u8>], size: Grid) -> hart_pipeline::Result<Pixels> {
    let stride = 3 * size.columns;
    let row = |y: usize| images.iter().flat_map(move |image| &image[stride * y..][..stride]);
    let rgb = (0..size.rows).flat_map(row).copied().collect();
    Pixels::new(size.columns * images.len(), size.rows, rgb)
}
