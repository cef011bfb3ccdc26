//! Text to image: prompts in, PNG files out.
//!
//! ```text
//! cargo run --release --example text_to_image -- \
//!     --seed 7 --out heart.png "a red heart, flat style"
//! ```
#![allow(clippy::print_stdout)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{ArgAction, Parser};
use hart_core::HartBackend;
use hart_examples::{Progress, run_on};
use hart_pipeline::backend::OnBackend;
use hart_pipeline::image::{grid, save_pixels};
use hart_pipeline::text::PaddingSide;
use hart_pipeline::{
    Event, HartPipeline, Image, Precision, Request, RequestItem, TransformerWeights,
};

/// Makes pictures of prompts.
///
/// Exit code 0: all pictures were made. 1: something failed, and was said. 2: an argument is wrong.
#[derive(Parser)]
struct Arguments {
    /// What the pictures show.
    #[arg(required = true, value_name = "PROMPT")]
    prompts: Vec<String>,
    /// Folder of the model, with `llm/` and `tokenizer/` in it [default: the small model compiled in].
    #[arg(long, value_name = "DIR")]
    model: Option<PathBuf>,
    /// Folder of the text encoder, a Qwen2 model [default: `text` in the model's folder].
    #[arg(long, value_name = "DIR", requires = "model")]
    text_encoder: Option<PathBuf>,
    /// Seed of the first picture; later ones count on from it.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    /// Pictures of each prompt.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: usize,
    /// How far the prompt is followed [default: what suits the model; 4.5 for the released one].
    #[arg(long, value_name = "X")]
    guidance: Option<f64>,
    /// Codes kept for sampling, 0 for all [default: what suits the model; for the released one 600
    /// at coarse scales, 300 at fine ones].
    #[arg(long, value_name = "N")]
    top_k: Option<usize>,
    /// Nucleus sampling from 0 to 1, 0 for none [default: what suits the model].
    #[arg(long, value_name = "X")]
    top_p: Option<f64>,
    /// Mix codes instead of choosing one, for smoother pictures [default: what suits the model].
    #[arg(long, overrides_with = "no_smooth", action = ArgAction::SetTrue)]
    smooth: bool,
    /// Choose one code a token.
    #[arg(long, overrides_with = "smooth", action = ArgAction::SetTrue)]
    no_smooth: bool,
    /// Masked passes over the last scale.
    #[arg(long, value_name = "N", default_value_t = 1)]
    mask_passes: usize,
    /// Steps of the residual diffusion, such as 8, 10,15,20 or ddim25 [default: the model's].
    #[arg(long, value_name = "N")]
    diffusion_steps: Option<String>,
    /// Factor of the noise of every diffusion step [default: what suits the model].
    #[arg(long, value_name = "X")]
    temperature: Option<f64>,
    /// Element type of the weights: f32, bf16, f16 or int8.
    #[arg(long, value_name = "TYPE", default_value = "f32")]
    precision: Precision,
    /// Backend to work on, and which GPU, such as flex or cuda:1 [default: the fastest compiled in].
    #[arg(long, value_name = "NAME")]
    device: Option<String>,
    /// Weights of the transformer: ema (the release's choice) or raw.
    #[arg(long, value_name = "NAME", default_value = "ema", value_parser = ["ema", "raw"])]
    weights: String,
    /// Side of short prompts that is padded [default: what the text encoder's folder says].
    #[arg(long, value_name = "SIDE", value_parser = ["left", "right"], requires = "model")]
    padding_side: Option<String>,
    /// Pictures made at once [default: as memory allows]. It does not change the pictures.
    #[arg(long, value_name = "N", requires = "model")]
    batch_size: Option<usize>,
    /// Give the text encoder's memory back before the model is loaded.
    #[arg(long, requires = "model")]
    drop_text_encoder: bool,
    /// Decode in strips of so many rows of pixels: large pictures in less memory.
    #[arg(long, value_name = "N", requires = "model")]
    strip_height: Option<usize>,
    /// Where to write; several pictures get `-<index>-<seed>` before the ending.
    #[arg(long, value_name = "PATH", default_value = "out.png")]
    out: PathBuf,
    /// Enlarge the pictures so many times [default: 8 for the small model compiled in, else 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    enlarge: Option<u32>,
    /// Write all pictures in one file, side by side.
    #[arg(long)]
    grid: bool,
    /// Folder for a picture of every scale.
    #[arg(long, value_name = "DIR")]
    preview: Option<PathBuf>,
}

/// How many times pictures of the embedded model are enlarged.
const EMBEDDED_ENLARGED: u32 = 8;

#[cfg(feature = "embedded")]
fn embedded<B: HartBackend>(
    precision: Precision,
    device: &B::Device,
) -> anyhow::Result<HartPipeline<B>> {
    Ok(HartPipeline::embedded_in(precision, device)?)
}

#[cfg(not(feature = "embedded"))]
fn embedded<B: HartBackend>(_: Precision, _: &B::Device) -> anyhow::Result<HartPipeline<B>> {
    bail!("`--model` is needed: this program was built without the embedded model")
}

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    run_on(arguments.device.clone(), arguments)
}

impl OnBackend for Arguments {
    type Output = anyhow::Result<()>;

    fn run<B: HartBackend>(self, device: B::Device) -> anyhow::Result<()> {
        let request = self.request();
        let items = request.items()?;
        self.check_outputs()?;

        let start = Instant::now();
        let pipeline = self.pipeline::<B>(device)?;
        let loaded = start.elapsed();

        let progress = Progress::start();
        let mut failure = None;
        let mut kept = vec![];
        let start = Instant::now();
        let result = pipeline.generate_each(&request, &mut |event: Event<'_, B>| {
            if let Err(error) = self.handle(&pipeline, &progress, &items, &event) {
                failure = Some(error);
                return ControlFlow::Break(());
            }
            if let Event::Picture { image, .. } = &event
                && self.grid
            {
                kept.push(image.enlarged(self.enlarge()));
            }
            progress.show(&event)
        });
        progress.finish();
        if let Some(error) = failure {
            return Err(error);
        }
        result?;
        if self.grid {
            let (width, height, pixels) = grid(&kept)?;
            save_pixels(&self.out, width, height, &pixels)?;
            println!("{}", self.out.display());
        }
        let pictures = items.len();
        let seconds = start.elapsed().as_secs_f64();
        let loaded = loaded.as_secs_f64();
        println!("{pictures} made in {seconds:.2} s, after {loaded:.2} s of loading");
        Ok(())
    }
}

impl Arguments {
    fn request(&self) -> Request {
        let mut request = Request::batch(&self.prompts)
            .seed(self.seed)
            .count(self.count)
            .mask_passes(self.mask_passes);
        if let Some(guidance) = self.guidance {
            request = request.guidance(guidance);
        }
        if let Some(top_p) = self.top_p {
            request = request.top_p(top_p);
        }
        if let Some(temperature) = self.temperature {
            request = request.temperature(temperature);
        }
        if self.smooth || self.no_smooth {
            request = request.smooth(self.smooth);
        }
        if let Some(top_k) = self.top_k {
            request = request.top_k(top_k);
        }
        if let Some(steps) = &self.diffusion_steps {
            request = request.diffusion_steps(steps);
        }
        request
    }

    /// How many times pictures are enlarged: those of the embedded model are too small to be seen.
    fn enlarge(&self) -> usize {
        let usual = if self.model.is_none() { EMBEDDED_ENLARGED } else { 1 };
        self.enlarge.unwrap_or(usual) as usize
    }

    fn pipeline<B: HartBackend>(&self, device: B::Device) -> anyhow::Result<HartPipeline<B>> {
        let Some(model) = &self.model else {
            return embedded(self.precision, &device);
        };
        let mut builder = HartPipeline::<B>::builder()
            .model(model)
            .device(device)
            .precision(self.precision)
            .weights(match self.weights.as_str() {
                "raw" => TransformerWeights::Raw,
                _ => TransformerWeights::Ema,
            });
        if let Some(folder) = &self.text_encoder {
            builder = builder.text_encoder(folder);
        }
        if let Some(side) = &self.padding_side {
            builder = builder.padding_side(match side.as_str() {
                "left" => PaddingSide::Left,
                _ => PaddingSide::Right,
            });
        }
        if let Some(pictures) = self.batch_size {
            builder = builder.batch_size(pictures);
        }
        if let Some(rows) = self.strip_height {
            builder = builder.strip_height(rows);
        }
        Ok(builder.keep_text_encoder(!self.drop_text_encoder).build()?)
    }

    /// Finds out before any work whether the results can be written.
    fn check_outputs(&self) -> anyhow::Result<()> {
        let folder = match self.out.parent() {
            Some(parent) if !parent.as_os_str().is_empty() => parent,
            _ => Path::new("."),
        };
        if !folder.is_dir() {
            bail!("cannot write {}: there is no folder {}", self.out.display(), folder.display());
        }
        if self.out.is_dir() || self.out.file_name().is_none() {
            bail!("cannot write {}: it is a folder", self.out.display());
        }
        if let Some(preview) = &self.preview {
            std::fs::create_dir_all(preview)
                .with_context(|| format!("cannot make the folder {}", preview.display()))?;
        }
        Ok(())
    }

    /// Saves what an event brings.
    fn handle<B: HartBackend>(
        &self,
        pipeline: &HartPipeline<B>,
        progress: &Progress,
        items: &[RequestItem],
        event: &Event<'_, B>,
    ) -> anyhow::Result<()> {
        match event {
            Event::Scale { pictures, scale, latent, .. } => {
                let Some(folder) = &self.preview else { return Ok(()) };
                for (picture, (side, pixels)) in pictures.clone().zip(pipeline.preview(latent)?) {
                    let seed = items[picture].seed;
                    let name = format!("{picture}-{seed}-scale-{:02}.png", scale + 1);
                    save_pixels(folder.join(name), side, side, &pixels)?;
                }
            }
            Event::Picture { picture, image } if !self.grid => {
                let path = self.path_of(*picture, image, items.len());
                image.enlarged(self.enlarge()).save(&path)?;
                progress.line(&path.display().to_string());
            }
            _ => {}
        }
        Ok(())
    }

    /// Where one of several pictures is written.
    fn path_of(&self, picture: usize, image: &Image, pictures: usize) -> PathBuf {
        if pictures == 1 {
            return self.out.clone();
        }
        let stem = self.out.file_stem().unwrap_or_default().to_string_lossy();
        let mut name = format!("{stem}-{picture}-{}", image.settings().seed);
        if let Some(ending) = self.out.extension() {
            name = format!("{name}.{}", ending.to_string_lossy());
        }
        self.out.with_file_name(name)
    }
}
