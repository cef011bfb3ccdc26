//! Which edit the arguments ask for.

use std::path::PathBuf;

use anyhow::{Context, bail};
use clap::{Args, ValueEnum};
use hart_pipeline::Pixels;
use hart_pipeline::edit::{ChangeBy, Edit, Mask, MaskFrom};
use hart_pipeline::image::ReadOptions;

/// What is done: one of these.
#[derive(Args)]
#[group(id = "operation", required = true, multiple = true)]
pub(crate) struct Operation {
    /// Paint anew what is marked in this image of the same size.
    #[arg(long, value_name = "FILE", conflicts_with_all = ["outpaint", "variation", "restyle", "enlarge", "from"])]
    mask: Option<PathBuf>,
    /// Paint a rectangle anew: column, row, width and height in pixels. May be given several times, and
    /// with a mask.
    #[arg(
        long = "box", value_name = "X,Y,W,H", value_parser = parse_box,
        conflicts_with_all = ["outpaint", "variation", "restyle", "enlarge", "from"]
    )]
    boxes: Vec<[usize; 4]>,
    /// Extend the image by N pixels at each side, such as left=64,bottom=32.
    #[arg(long, value_name = "SIDE=N,…", value_parser = parse_sides)]
    outpaint: Option<Sides>,
    /// Make the image once more; how much is new, from 0 to 1. 0.5 keeps the composition.
    #[arg(long, value_name = "STRENGTH")]
    variation: Option<f64>,
    /// Make the composition of the image with another prompt; how much is new, from 0 to 1.
    #[arg(long, value_name = "STRENGTH", requires = "prompt")]
    restyle: Option<f64>,
    /// Enlarge the image to the model's size.
    #[arg(long)]
    enlarge: bool,
    /// What the image shows, to be changed into what `--to` says.
    #[arg(long, value_name = "PROMPT", requires = "to")]
    from: Option<String>,
    /// What it is to show.
    #[arg(long, value_name = "PROMPT", requires = "from")]
    to: Option<String>,
    /// With `--from`: how what both prompts say is kept.
    #[arg(long, value_name = "WAY", default_value = "noise", requires = "from")]
    by: Way,
    /// With `--from`: how much is new, from 0 to 1 [default: 0.57 by noise, 1 by contrast].
    #[arg(long, value_name = "STRENGTH", requires = "from")]
    strength: Option<f64>,
    /// With `--from`: how far the image's own tokens are ahead of others [default: 18; less changes
    /// more].
    #[arg(long, value_name = "X", requires = "from")]
    margin: Option<f64>,
    /// What marks a pixel in the mask.
    #[arg(long, value_name = "KIND", default_value = "white", requires = "mask")]
    mask_from: Marks,
    /// How far from white, or from transparent, a marked pixel may be, from 0 to 255.
    #[arg(long, value_name = "N", default_value_t = 127, requires = "mask")]
    tolerance: u8,
    /// Mark N more pixels around everything that is marked.
    #[arg(long, value_name = "N", default_value_t = 0)]
    grow: usize,
}

/// How an image is changed by its prompt.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Way {
    /// Under the noise that explains the image (VARIN).
    Noise,
    /// By guidance from one prompt to the other (MLN).
    Contrast,
}

/// What marks a pixel.
#[derive(Debug, Clone, Copy, ValueEnum)]
enum Marks {
    /// White.
    White,
    /// Transparency: what was erased.
    Alpha,
}

/// Pixels that are added at each side.
#[derive(Debug, Clone, Copy, Default)]
struct Sides {
    left: usize,
    right: usize,
    top: usize,
    bottom: usize,
}

impl Operation {
    /// The edit of an image; its prompt and settings follow.
    pub(crate) fn of(
        &self,
        image: Pixels,
        prompt: Option<&str>,
        options: ReadOptions,
    ) -> anyhow::Result<Edit> {
        let chosen = [
            self.mask.is_some() || !self.boxes.is_empty(),
            self.outpaint.is_some(),
            self.variation.is_some(),
            self.restyle.is_some(),
            self.enlarge,
            self.from.is_some(),
        ];
        if chosen.iter().filter(|chosen| **chosen).count() != 1 {
            bail!(
                "one edit at a time: `--mask` and `--box`, `--outpaint`, `--variation`, \
                 `--restyle`, `--enlarge`, or `--from` and `--to`"
            );
        }
        if let Some(sides) = self.outpaint {
            let width = image.width().checked_add(sides.left + sides.right);
            let height = image.height().checked_add(sides.top + sides.bottom);
            let canvas = width.zip(height).context("the canvas is too large")?;
            return Ok(Edit::outpaint(image, canvas.into(), [sides.left, sides.top])?);
        }
        if let (Some(from), Some(to)) = (&self.from, &self.to) {
            let mut edit = Edit::change(image, from, to).by(match self.by {
                Way::Noise => ChangeBy::Noise,
                Way::Contrast => ChangeBy::Contrast,
            });
            if let Some(strength) = self.strength {
                edit = edit.strength(strength);
            }
            return Ok(match self.margin {
                Some(margin) => edit.margin(margin),
                None => edit,
            });
        }
        if let Some(strength) = self.variation {
            return Ok(Edit::variation(image, strength));
        }
        if let Some(strength) = self.restyle {
            return Ok(Edit::restyle(image, prompt.unwrap_or_default(), strength));
        }
        if self.enlarge {
            return Ok(Edit::enlarge(image));
        }
        let mask = self.marked(&image, options)?;
        Ok(Edit::inpaint(image, mask))
    }

    /// The mask and the rectangles together.
    fn marked(&self, image: &Pixels, options: ReadOptions) -> anyhow::Result<Mask> {
        let tolerance = self.tolerance;
        let from = match self.mask_from {
            Marks::White => MaskFrom::White { tolerance },
            Marks::Alpha => MaskFrom::Transparency { tolerance },
        };
        let mut mask = match &self.mask {
            Some(path) => Mask::read(path, from, options)
                .with_context(|| format!("cannot use {} as a mask", path.display()))?,
            None => Mask::empty(image.width(), image.height()),
        };
        for &[x, y, width, height] in &self.boxes {
            if x >= image.width() || y >= image.height() {
                let (wide, high) = (image.width(), image.height());
                bail!("the box {x},{y},{width},{height} is outside of the image, {wide} × {high}");
            }
            mask.mark(x, y, width, height);
        }
        Ok(if self.grow > 0 { mask.grow(self.grow) } else { mask })
    }
}

fn parse_box(text: &str) -> Result<[usize; 4], String> {
    let numbers: Result<Vec<usize>, _> = text.split(',').map(|part| part.trim().parse()).collect();
    let numbers = numbers.ok().and_then(|numbers| <[usize; 4]>::try_from(numbers).ok());
    match numbers {
        Some(numbers) if numbers[2] > 0 && numbers[3] > 0 => Ok(numbers),
        _ => Err("expected column, row, width and height, such as 40,30,64,64".to_string()),
    }
}

fn parse_sides(text: &str) -> Result<Sides, String> {
    const EXPECTED: &str = "expected sides with pixels, such as left=64,bottom=32";
    let mut sides = Sides::default();
    for part in text.split(',') {
        let (side, pixels) = part.split_once('=').ok_or(EXPECTED)?;
        let pixels: u32 = pixels.trim().parse().map_err(|_| EXPECTED)?;
        let side = match side.trim() {
            "left" => &mut sides.left,
            "right" => &mut sides.right,
            "top" => &mut sides.top,
            "bottom" => &mut sides.bottom,
            other => return Err(format!("no side `{other}`: left, right, top or bottom")),
        };
        *side = pixels as usize;
    }
    Ok(sides)
}
