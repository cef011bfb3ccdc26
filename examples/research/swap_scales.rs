//! Where are colour and shape decided? An image is made again with the tokens of one scale, or of
//! all scales up to one, taken from another image.
//!
//! ```sh
//! cargo run --release --example swap_scales
//! ```
//!
//! Writes `swap_scales.png`: in the first row image A with scale 0, 1, 2 … alone taken from B, in
//! the second with all scales up to that one taken from it; A and B stand in front.

use std::process::ExitCode;

use hart_examples::images::enlarge;
use hart_examples::research::{Backend, Pipeline};
use hart_examples::{exit, say};
use hart_pipeline::generation::{ScaleTokens, Step};
use hart_pipeline::{GenerationHook, HartBackend, Image, Pixels, Request, Result};
use image::RgbImage;
use image::imageops::replace;

/// Keeps the tokens of every scale, and replaces those of some by the tokens kept before.
#[derive(Default)]
struct Swap<B: HartBackend> {
    kept: Vec<ScaleTokens<B>>,
    donor: Option<(Vec<ScaleTokens<B>>, std::ops::Range<usize>)>,
}

impl<B: HartBackend> GenerationHook<B> for Swap<B> {
    fn name(&self) -> Option<String> {
        Some("swap of scales".to_string())
    }

    fn tokens(&mut self, step: &Step<'_, B>, tokens: ScaleTokens<B>) -> Result<ScaleTokens<B>> {
        let tokens = match &self.donor {
            Some((donor, scales)) if scales.contains(&step.scale) => donor[step.scale].clone(),
            _ => tokens,
        };
        self.kept.push(tokens.clone());
        Ok(tokens)
    }
}

fn main() -> ExitCode {
    exit(swap())
}

fn swap() -> anyhow::Result<()> {
    let pipeline = Pipeline::embedded()?;
    let paint = |prompt: &str, hook: &mut Swap<Backend>| -> Result<Image> {
        let request = Request::new(prompt).seed(3);
        pipeline.generate(&request, hook).map(|mut images| images.remove(0))
    };
    let (a, b) = ("a red heart, flat style", "a pumpkin, 3D style, on a blue background");
    let mut donor = Swap::default();
    let other = paint(b, &mut donor)?;
    let scales = pipeline.scales()?;

    let mut rows = [vec![paint(a, &mut Swap::default())?], vec![other]];
    for scale in 0..scales.count() {
        say(format_args!("scale {scale} from B, {} tokens", scales.grid(scale)))?;
        for (row, swapped) in rows.iter_mut().zip([scale..scale + 1, 0..scale + 1]) {
            let donor = Some((donor.kept.clone(), swapped));
            row.push(paint(a, &mut Swap { donor, ..Swap::default() })?);
        }
    }
    let side = 2 * rows[0][0].width() as u32;
    let mut sheet = RgbImage::new(rows[0].len() as u32 * side, 2 * side);
    for (y, row) in rows.iter().enumerate() {
        for (x, image) in row.iter().enumerate() {
            let at = [x, y].map(|place| (place as u32 * side) as i64);
            let image = RgbImage::try_from(enlarge(image, 2)?.pixels())?;
            replace(&mut sheet, &image, at[0], at[1]);
        }
    }
    Pixels::try_from(sheet)?.save("swap_scales.png")?;
    say("swap_scales.png")
}
