//! Edits an image: paints a part of it anew, continues it beyond its edges, varies it, gives it another
//! look, enlarges it, or changes what its prompt says.
//!
//! ```text
//! cargo run --release --example edit -- photo.png --box 40,30,64,64 "a blue door" --out door.png
//! cargo run --release --example edit -- photo.png --from "a cat" --to "a fox" --sheet sheet.png
//! ```

mod operation;

use std::ops::ControlFlow;
use std::path::PathBuf;
use std::process::ExitCode;
use std::time::Instant;

use anyhow::bail;
use clap::Parser;
use hart_examples::images::enlarge;
use hart_examples::named::fetch;
use hart_examples::pipeline::PipelineArguments;
use hart_examples::seed::Seed;
use hart_examples::{Destination, Progress, exit, note};
use hart_pipeline::edit::Edit;
use hart_pipeline::image::{ReadOptions, grid};
use hart_pipeline::{Effort, Event, Image, Pixels, Request};

use operation::Operation;

/// Edits an image. What is not marked stays as it is, bit for bit; the result has the size of the image
/// unless it is enlarged or continued.
#[derive(Parser)]
struct Arguments {
    /// The image file: PNG, JPEG, WebP, GIF, BMP or TIFF.
    #[arg(value_name = "IMAGE")]
    image: PathBuf,
    /// What the result shows.
    #[arg(value_name = "PROMPT", conflicts_with = "to")]
    prompt: Option<String>,
    #[command(flatten)]
    operation: Operation,
    /// Pixels over which the image goes over into what is new, inside of the mask.
    #[arg(long, value_name = "N", default_value_t = 8)]
    seam: usize,
    #[command(flatten)]
    pipeline: PipelineArguments,
    /// Seed of the first result; later ones count on from it. `random` draws one and says it.
    #[arg(long, value_name = "N", default_value = "0", allow_hyphen_values = true)]
    seed: Seed,
    /// How many results.
    #[arg(long, value_name = "N", default_value_t = 1)]
    count: usize,
    /// How far the prompt is followed [default: what suits the model].
    #[arg(long, value_name = "X")]
    guidance: Option<f64>,
    /// How much is computed at the two largest scales: exact, fast (without guidance) or faster (and for
    /// a part of the tokens alone).
    #[arg(long, value_name = "LEVEL", default_value = "exact")]
    effort: Effort,
    /// The most pixels that the image may have.
    #[arg(long, value_name = "N", default_value_t = ReadOptions::default().max_pixels)]
    max_pixels: u64,
    /// Where to write, as .png, .jpg or .webp; several results get `-<index>-<seed>` before the ending.
    /// `-` is standard output.
    #[arg(long, value_name = "PATH", default_value = "edited.png")]
    out: PathBuf,
    /// Enlarge the results N times.
    #[arg(long, value_name = "N", default_value_t = 1, value_parser = clap::value_parser!(u32).range(1..=64))]
    times: u32,
    /// File for the image before, and all results, side by side.
    #[arg(long, value_name = "PATH")]
    sheet: Option<PathBuf>,
}

fn main() -> ExitCode {
    exit(Arguments::parse().edit())
}

impl Arguments {
    fn edit(&self) -> anyhow::Result<()> {
        let out = Destination::new(&self.out)?;
        if out.is_standard_output() && self.count > 1 {
            bail!("standard output takes one image: name a file with `--out`");
        }
        let sheet = self.sheet.as_deref().map(Destination::new).transpose()?;
        let edit = self.asked()?;

        let start = Instant::now();
        let pipeline = fetch(self.pipeline.builder()?)?.open(&self.pipeline.device())?;
        let loaded = start.elapsed().as_secs_f64();
        let progress = Progress::start();
        if self.seed.is_drawn {
            progress.line(&format!("seed {}", self.seed.value));
        }
        let start = Instant::now();
        let (mut failure, mut made) = (None, vec![]);
        let outcomes = pipeline.edit_with(&edit, &mut |event: Event<'_>| {
            let Event::Image { index, image } = &event else { return progress.show(&event) };
            made.push(image.pixels().clone());
            match self.save(image, &out, *index) {
                Ok(file) => {
                    progress.line(&file.to_string());
                    progress.show(&event)
                }
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
        for outcome in outcomes? {
            outcome.into_image()?;
        }
        if let Some(sheet) = sheet {
            sheet.write(&self.side_by_side(&edit, &made)?.encode(sheet.format())?)?;
            note(&sheet);
        }
        let (count, seconds) = (made.len(), start.elapsed().as_secs_f64());
        out.say(format!("{count} made in {seconds:.2} s, after {loaded:.2} s of loading"))
    }

    /// The edit that the arguments describe.
    fn asked(&self) -> anyhow::Result<Edit> {
        let options = ReadOptions::default().max_pixels(self.max_pixels);
        let read = options.read(&self.image)?;
        if read.is_animated {
            note(format_args!("{} is animated: its first frame is used", self.image.display()));
        }
        let effort = self.effort;
        let mut edit = self.operation.of(read.pixels, self.prompt.as_deref(), options)?;
        edit = edit.with(|request: Request| request.effort(effort));
        if let Some(prompt) = &self.prompt {
            edit = edit.prompt(prompt);
        }
        if let Some(guidance) = self.guidance {
            edit = edit.with(|request: Request| request.guidance(guidance));
        }
        Ok(edit.seam(self.seam).seed(self.seed.value).count(self.count))
    }

    fn save(&self, image: &Image, out: &Destination, index: usize) -> anyhow::Result<Destination> {
        let out = match self.count {
            1 => out.clone(),
            _ => out.with_suffix(format!("{index}-{}", image.settings().seed))?,
        };
        out.write(&enlarge(image, self.times)?.encode(out.format())?)?;
        Ok(out)
    }

    /// The image before, in the size of the results, and the results.
    fn side_by_side(&self, edit: &Edit, made: &[Pixels]) -> anyhow::Result<Pixels> {
        let Some(first) = made.first() else { bail!("there are no results for a sheet") };
        let before = image::RgbImage::try_from(edit.source())?;
        let (width, height) = (first.width() as u32, first.height() as u32);
        let filter = image::imageops::FilterType::CatmullRom;
        let before = image::imageops::resize(&before, width, height, filter).try_into()?;
        Ok(grid(&[&[before][..], made].concat())?)
    }
}
