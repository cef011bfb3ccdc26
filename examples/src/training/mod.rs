//! What the training programs share.
//!
//! A run is a folder. It holds the configuration, `metrics.csv` with its plot, pictures made as
//! training goes, and snapshots from which it is continued exactly: every random draw has an
//! address made of the seed and the step, so a run that was killed gives the losses that an
//! uninterrupted one would have given.

pub mod config;
pub mod devices;
pub mod folder;
pub mod gradients;
pub mod metrics;
pub mod optimizer;
pub mod plot;
pub mod prefetch;
pub mod run;
pub mod text;
pub mod tokens;

use std::io::IsTerminal;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use burn::tensor::{Tensor, TensorData, backend::Backend};
use hart_core::write_atomically;
use indicatif::{ProgressBar, ProgressDrawTarget, ProgressStyle};

/// Values as a tensor.
pub fn tensor<B: Backend, const D: usize>(
    values: Vec<f32>,
    shape: [usize; D],
    device: &B::Device,
) -> Tensor<B, D> {
    Tensor::from_data(TensorData::new(values, shape), device)
}

/// Writes images, planes `[3, side, side]` in [0, 1] one behind the other, as one picture with
/// `columns` of them a row.
///
/// # Errors
/// When the picture cannot be written.
pub fn picture_grid(
    path: &Path,
    images: &[f32],
    side: usize,
    columns: usize,
) -> anyhow::Result<()> {
    let count = images.len() / (3 * side * side);
    let (width, height) = (columns * side, count.div_ceil(columns) * side);
    let picture = image::RgbImage::from_fn(width as u32, height as u32, |x, y| {
        let (x, y) = (x as usize, y as usize);
        let index = y / side * columns + x / side;
        if index >= count {
            return image::Rgb([255; 3]);
        }
        let image = &images[index * 3 * side * side..][..3 * side * side];
        let at = y % side * side + x % side;
        let value = |channel: usize| (image[channel * side * side + at] * 255.0).round() as u8;
        image::Rgb([value(0), value(1), value(2)])
    });
    let mut bytes = vec![];
    picture
        .write_to(&mut std::io::Cursor::new(&mut bytes), image::ImageFormat::Png)
        .context("cannot encode a picture")?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder)
            .with_context(|| format!("cannot make the folder {}", folder.display()))?;
    }
    write_atomically(path, &bytes).context("cannot write a picture")
}

/// The progress of a run on the terminal: a bar with the time left, plain lines elsewhere.
#[derive(Debug)]
pub struct Clock {
    bar: ProgressBar,
    plain: bool,
    began: Instant,
    first: u64,
    steps: u64,
}

impl Clock {
    /// Begins after `done` of `steps` steps.
    pub fn start(done: u64, steps: u64) -> Self {
        let plain = !std::io::stderr().is_terminal();
        let target =
            if plain { ProgressDrawTarget::hidden() } else { ProgressDrawTarget::stderr() };
        let bar = ProgressBar::with_draw_target(Some(steps), target);
        let style = ProgressStyle::with_template("{pos}/{len} [{bar:30}] {msg}");
        bar.set_style(style.expect("a valid template").progress_chars("=> "));
        bar.set_position(done);
        Self { bar, plain, began: Instant::now(), first: done, steps }
    }

    /// Shows how far the run is, with its speed and the time left.
    #[expect(clippy::print_stderr, reason = "the programs own the terminal")]
    pub fn report(&self, step: u64, message: &str) {
        let seconds = self.began.elapsed().as_secs_f64() / (step - self.first).max(1) as f64;
        let left = seconds * (self.steps - step) as f64;
        let (hours, minutes) = (left as u64 / 3600, left as u64 / 60 % 60);
        let message =
            format!("{message}, {:.0} ms a step, {hours} h {minutes:02} min left", seconds * 1e3);
        self.bar.set_position(step);
        self.bar.set_message(message.clone());
        if self.plain {
            eprintln!("step {step} of {}: {message}", self.steps);
        }
    }

    /// A line above the bar.
    #[expect(clippy::print_stderr, reason = "the programs own the terminal")]
    pub fn line(&self, text: &str) {
        if self.plain { eprintln!("{text}") } else { self.bar.println(text) }
    }

    /// Removes the bar.
    pub fn finish(&self) {
        self.bar.finish_and_clear();
    }
}
