//! Makes images of captions, and contact sheets of them.

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use anyhow::{bail, ensure};
use hart_core::HartBackend;
use hart_examples::Progress;
use hart_pipeline::{Event, HartPipeline, Request};
use image::RgbImage;
use image::imageops::replace;

/// Images in a row of a sheet.
const COLUMNS: usize = 24;
/// The most images of a sheet.
const SHEET: usize = 480;

/// Makes images with one model and one set of settings.
pub(crate) struct Painter<'a, B: HartBackend> {
    pub(crate) pipeline: &'a HartPipeline<B>,
    folder: PathBuf,
    /// What all images have in common.
    settings: Request,
}

impl<'a, B: HartBackend> Painter<'a, B> {
    pub(crate) fn new(pipeline: &'a HartPipeline<B>, folder: &Path, settings: Request) -> Self {
        Self { pipeline, folder: folder.to_path_buf(), settings }
    }

    /// The folder of its sheets.
    pub(crate) fn folder(&self) -> &Path {
        &self.folder
    }

    /// The side of its images, in pixels.
    pub(crate) fn side(&self) -> anyhow::Result<u32> {
        let size = self.pipeline.image_size();
        ensure!(size.is_square(), "the model makes images of {size} pixels, expected squares");
        Ok(size.rows as u32)
    }

    /// Makes one image of each caption and saves a sheet of them under `name`.
    pub(crate) fn paint(&self, name: &str, captions: &[String]) -> anyhow::Result<Vec<RgbImage>> {
        let request = self.settings.clone().prompts(captions);
        let progress = Progress::start();
        progress.line(&format!("{name}: {} images", captions.len()));
        let (mut images, mut refused) = (vec![], None);
        self.pipeline.generate_each(&request, &mut |event: Event<'_>| {
            match event {
                Event::Image { image, .. } => images.push(image.pixels().try_into()),
                // Without it, later images would be taken for those of other captions.
                Event::Refused { image, reason } => {
                    refused = Some(format!("`{}`: {reason}", captions[image]));
                    return ControlFlow::Break(());
                }
                _ => {}
            }
            ControlFlow::Continue(())
        })?;
        progress.finish();
        if let Some(refused) = refused {
            bail!("an image cannot be made of {refused}");
        }
        let images: Vec<RgbImage> = images.into_iter().collect::<hart_pipeline::Result<_>>()?;
        self.sheet(name, &images)?;
        Ok(images)
    }

    /// Saves a sheet of images, evenly chosen if there are many.
    pub(crate) fn sheet(&self, name: &str, images: &[RgbImage]) -> anyhow::Result<()> {
        let shown = spread(images.len(), SHEET);
        let side = self.side()?;
        let rows = shown.len().div_ceil(COLUMNS) as u32;
        let mut sheet = RgbImage::new(COLUMNS as u32 * side, rows * side);
        for (place, &index) in shown.iter().enumerate() {
            let at = |n: usize| i64::from(n as u32 * side);
            replace(&mut sheet, &images[index], at(place % COLUMNS), at(place / COLUMNS));
        }
        sheet.save(self.folder.join(format!("{name}.png")))?;
        Ok(())
    }
}

/// `count` indices, or `most` of them, evenly spread.
pub(crate) fn spread(count: usize, most: usize) -> Vec<usize> {
    let kept = count.min(most);
    (0..kept).map(|i| i * count / kept).collect()
}
