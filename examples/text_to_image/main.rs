//! Text to image: prompts in, PNG files out.
//!
//! ```text
//! cargo run --release --example text_to_image -- \
//!     --seed 7 --out heart.png "a red heart, flat style"
//! cargo run --release --example text_to_image -- --again heart.png --out again.png
//! cargo run --release --example text_to_image -- --words
//! ```
mod again;
mod known;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::{Context, bail};
use clap::{ArgAction, Parser};
use hart_core::check_writable;
use hart_examples::images::enlarge;
use hart_examples::named::fetch;
use hart_examples::pipeline::PipelineArguments;
use hart_examples::seed::Seed;
use hart_examples::{Destination, Progress, exit};
use hart_pipeline::image::ImageGrid;
use hart_pipeline::observer::ScaleDone;
use hart_pipeline::text::PaddingSide;
use hart_pipeline::{Effort, Event, Image, PipelineBuilder, Pixels, Request, TransformerWeights};

/// Arguments that say which images are made, and how.
const OF_IMAGES: [&str; 21] = [
    "prompts",
    "seed",
    "count",
    "size",
    "guidance",
    "top_k",
    "top_p",
    "smooth",
    "no_smooth",
    "mask_passes",
    "diffusion_steps",
    "temperature",
    "effort",
    "precision",
    "weights",
    "padding_side",
    "strip_height",
    "enlarge",
    "grid",
    "preview",
    "warm_up",
];

/// Makes images of prompts.
///
/// Exit code 0: all images were made. 1: something failed, and was said. 2: an argument is wrong.
#[derive(Parser)]
struct Arguments {
    /// What the images show.
    #[arg(required_unless_present_any = ["again", "words"], value_name = "PROMPT")]
    prompts: Vec<String>,
    /// Make the image of this file again, from the settings in it, and say whether it is the same.
    /// A model that is not compiled in must be named.
    #[arg(long, value_name = "FILE", conflicts_with_all = OF_IMAGES)]
    again: Option<PathBuf>,
    /// List the words that the model knows, one a line, instead of making images. A model that was
    /// trained on text of all kinds has no such list.
    #[arg(long, conflicts_with_all = OF_IMAGES, conflicts_with_all = ["again", "out"])]
    words: bool,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Seed of the first image; later ones count on from it. `random` draws one and says it.
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    seed: Seed,
    /// Images of each prompt.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: usize,
    /// Width and height in pixels, such as 1280x768 [default: what the model was trained with].
    /// Other shapes are experimental.
    #[arg(long, value_name = "WxH", value_parser = parse_size)]
    size: Option<[usize; 2]>,
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
    /// Mix codes instead of choosing one, for smoother images [default: what suits the model].
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
    /// How much is computed at the two largest scales: exact, fast (without guidance) or faster (and for
    /// a part of the tokens alone).
    #[arg(long, value_name = "LEVEL", default_value = "exact")]
    effort: Effort,
    /// Weights of the transformer: ema (the release's choice), raw, or auto, which is ema where the
    /// folder has it.
    #[arg(long, value_name = "NAME", default_value = "auto", requires = "model")]
    weights: TransformerWeights,
    /// Side of short prompts that is padded, left or right [default: what the text encoder's folder
    /// says].
    #[arg(long, value_name = "SIDE", requires = "model")]
    padding_side: Option<PaddingSide>,
    /// Images made at once [default: as memory allows]. It does not change the images.
    #[arg(long, value_name = "N")]
    batch_size: Option<usize>,
    /// Free the text encoder's memory before the model is loaded.
    #[arg(long, requires = "model")]
    drop_text_encoder: bool,
    /// Make the first images twice: the first time for the GPU's kernels to be compiled, tuned and kept, so
    /// that the time of the second is that of later programs.
    #[arg(long)]
    warm_up: bool,
    /// Where to write, as .png, .jpg or .webp; several images get `-<index>-<seed>` before the
    /// ending. `-` is standard output.
    #[arg(long, value_name = "PATH", default_value = "out.png")]
    out: PathBuf,
    /// Enlarge the images N times [default: 4 for the small model compiled in, else 1].
    #[arg(long, value_name = "N", value_parser = clap::value_parser!(u32).range(1..=64))]
    enlarge: Option<u32>,
    /// Write all images in one file, side by side.
    #[arg(long)]
    grid: bool,
    /// Folder for an image of every scale.
    #[arg(long, value_name = "DIR")]
    preview: Option<PathBuf>,
}

/// How many times images of the embedded model are enlarged.
const EMBEDDED_ENLARGED: u32 = 4;

fn main() -> ExitCode {
    let arguments = Arguments::parse();
    exit(match &arguments.again {
        _ if arguments.words => known::list_words(&arguments),
        Some(file) => again::make_again(file, &arguments),
        None => arguments.make(),
    })
}

impl Arguments {
    fn make(&self) -> anyhow::Result<()> {
        let request = self.request();
        let items = request.items()?;
        let out = self.destination(items.len())?;

        let start = Instant::now();
        let pipeline = fetch(self.builder()?)?.open(&self.pipeline.device())?;
        let loaded = start.elapsed().as_secs_f64();

        let progress = Progress::start();
        if self.seed.is_drawn {
            progress.line(&format!("seed {}", self.seed.value));
        }
        if self.warm_up {
            let start = Instant::now();
            pipeline.warm_up(&request, &mut |event: Event<'_>| progress.show(&event))?;
            progress.line(&format!("warmed up in {:.1} s", start.elapsed().as_secs_f64()));
        }
        let (mut failure, mut kept) = (None, vec![]);
        let start = Instant::now();
        let result = pipeline.generate_each(&request, &mut |event: Event<'_>| {
            let handled = match &event {
                Event::Scale(done) => self.save_previews(done, |image| items[image].seed),
                Event::Image { image, .. } if self.grid => {
                    self.enlarged(image).map(|image| kept.push(image))
                }
                Event::Image { index, image } => {
                    self.save(image, &out, (items.len() > 1).then_some(*index), &progress)
                }
                _ => Ok(()),
            };
            match handled {
                Ok(()) => progress.show(&event),
                Err(error) => {
                    failure = Some(error);
                    ControlFlow::Break(())
                }
            }
        });
        progress.finish();
        if let Some(error) = failure {
            return Err(error);
        }
        let summary = result?;
        if self.grid && !kept.is_empty() {
            out.write(&ImageGrid::new(&kept)?.encode(out.format())?)?;
            progress.line(&out.to_string());
        }
        let seconds = start.elapsed().as_secs_f64();
        let made = summary.made;
        out.say(format!("{made} made in {seconds:.2} s, after {loaded:.2} s of loading"))?;
        if summary.refused > 0 {
            bail!("{} of {} images were refused", summary.refused, items.len());
        }
        Ok(())
    }

    fn request(&self) -> Request {
        let mut request = Request::batch(&self.prompts)
            .seed(self.seed.value)
            .count(self.count)
            .mask_passes(self.mask_passes)
            .effort(self.effort);
        if let Some([width, height]) = self.size {
            request = request.size(width, height);
        }
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

    /// The model that was named, or the one compiled in.
    fn builder(&self) -> anyhow::Result<PipelineBuilder> {
        let mut builder = self.pipeline.builder()?;
        if self.pipeline.model.is_some() {
            builder = builder.weights(self.weights);
        }
        builder = builder.keep_text_encoder(!self.drop_text_encoder);
        if let Some(side) = self.padding_side {
            builder = builder.padding_side(side);
        }
        if let Some(images) = self.batch_size {
            builder = builder.batch_size(images);
        }
        Ok(builder)
    }

    /// Finds out before any work whether the results can be written, and where.
    fn destination(&self, images: usize) -> anyhow::Result<Destination> {
        let out = Destination::new(&self.out)?;
        if out.is_standard_output() && images > 1 && !self.grid {
            bail!("standard output takes one image: `--grid` writes all {images} in one");
        }
        if let Some(preview) = &self.preview {
            std::fs::create_dir_all(preview)
                .with_context(|| format!("cannot make the folder {}", preview.display()))?;
            check_writable(preview.join("preview.png"))?;
        }
        Ok(out)
    }

    /// An image as it is written: those of the embedded model are too small to be seen.
    fn enlarged(&self, image: &Image) -> anyhow::Result<Image> {
        let usual = if self.pipeline.model.is_none() { EMBEDDED_ENLARGED } else { 1 };
        Ok(enlarge(image, self.enlarge.unwrap_or(usual))?)
    }

    /// Writes an image, one of several if it has an index.
    fn save(
        &self,
        image: &Image,
        out: &Destination,
        index: Option<usize>,
        progress: &Progress,
    ) -> anyhow::Result<()> {
        let out = match index {
            Some(index) => out.with_suffix(format!("{index}-{}", image.settings().seed))?,
            None => out.clone(),
        };
        out.write(&self.enlarged(image)?.encode(out.format())?)?;
        progress.line(&out.to_string());
        Ok(())
    }

    fn save_previews(
        &self,
        done: &ScaleDone<'_>,
        seed: impl Fn(usize) -> u64,
    ) -> anyhow::Result<()> {
        let Some(folder) = &self.preview else { return Ok(()) };
        let previews: Vec<Pixels> = done.preview()?;
        for (&image, pixels) in done.images.iter().zip(previews) {
            let name = format!("{image}-{}-scale-{:02}.png", seed(image), done.scale + 1);
            pixels.save(folder.join(name))?;
        }
        Ok(())
    }
}

/// Width and height around an `x`.
fn parse_size(text: &str) -> Result<[usize; 2], String> {
    let sides = text.split_once(['x', '×']).map(|(width, height)| (width.parse(), height.parse()));
    match sides {
        Some((Ok(width), Ok(height))) => Ok([width, height]),
        _ => Err("expected width and height in pixels, such as 1280x768".to_string()),
    }
}
