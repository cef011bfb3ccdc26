//! Edits of images of the data set, judged by the nearest images like everything else.

mod backgrounds;
mod pairs;
mod variations;

use std::fmt;

use hart_core::HartBackend;
use hart_examples::Progress;
use hart_pipeline::Pixels;
use hart_pipeline::edit::{ChangeBy, Edit};
use image::RgbImage;

use super::{Scores, Truth};
use crate::painter::spread;
use crate::table::Table;

/// Cases of each measurement.
const CASES: usize = 240;

/// A way to change an image by its prompt.
#[derive(Debug, Clone, Copy)]
enum Way {
    /// Image to image.
    Restyle,
    /// [`ChangeBy::Noise`].
    Noise,
    /// [`ChangeBy::Contrast`].
    Contrast,
}

/// A way at one strength.
#[derive(Debug, Clone, Copy)]
struct Change {
    way: Way,
    /// In sixths: the model has six scales.
    sixths: u32,
}

impl Change {
    /// What is compared.
    const ALL: [Self; 9] = [
        Self { way: Way::Restyle, sixths: 3 },
        Self { way: Way::Restyle, sixths: 4 },
        Self { way: Way::Restyle, sixths: 5 },
        Self { way: Way::Noise, sixths: 3 },
        Self { way: Way::Noise, sixths: 5 },
        Self { way: Way::Noise, sixths: 6 },
        Self { way: Way::Contrast, sixths: 3 },
        Self { way: Way::Contrast, sixths: 5 },
        Self { way: Way::Contrast, sixths: 6 },
    ];

    fn strength(self) -> f64 {
        f64::from(self.sixths) / 6.0
    }

    /// The edit that makes `to` of an image of `from`.
    fn edit(self, source: Pixels, from: &str, to: &str) -> Edit {
        let changed = |by| Edit::change(source.clone(), from, to).by(by).strength(self.strength());
        match self.way {
            Way::Restyle => Edit::restyle(source, to, self.strength()),
            Way::Noise => changed(ChangeBy::Noise),
            Way::Contrast => changed(ChangeBy::Contrast),
        }
    }

    /// What its sheets of images are called behind `before`.
    fn sheet(self, before: &str) -> String {
        format!("{before}-{}-{}", self.way, self.sixths)
    }
}

impl fmt::Display for Way {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(match self {
            Self::Restyle => "restyle",
            Self::Noise => "noise",
            Self::Contrast => "contrast",
        })
    }
}

impl fmt::Display for Change {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}, strength {:.2}", self.way, self.strength())
    }
}

impl<B: HartBackend> Scores<'_, B> {
    /// What edits do.
    pub(super) fn edits(&self, table: &mut Table) -> anyhow::Result<()> {
        self.replaced_things(table)?;
        self.changed_backgrounds(table)?;
        self.variations(table)
    }

    /// Edits an image for each case, the seeds counted from 0, and saves a sheet of the results.
    fn edit_each<C>(
        &self,
        sheet: &str,
        cases: &[C],
        edit: impl Fn(usize, &C) -> anyhow::Result<Edit>,
    ) -> anyhow::Result<Vec<RgbImage>> {
        let progress = Progress::start();
        progress.line(&format!("{sheet}: {} images", cases.len()));
        let mut images = vec![];
        for (index, case) in cases.iter().enumerate() {
            let edit = edit(index, case)?.seed(index as u64);
            images.push(self.painter.pipeline.edit(&edit)?[0].pixels().try_into()?);
        }
        progress.finish();
        self.painter.sheet(sheet, &images)?;
        Ok(images)
    }

    /// Things on white to be edited.
    fn edited_things(&self) -> Vec<&Truth> {
        let plain = self.plain();
        spread(plain.len(), CASES).into_iter().map(|index| plain[index]).collect()
    }
}

/// The mean difference of two images in a rectangle (column, row, width, height), of 255.
fn difference(a: &RgbImage, b: &RgbImage, [x, y, width, height]: [u32; 4]) -> f64 {
    let mut sum = 0u64;
    for row in y..y + height {
        for column in x..x + width {
            let (a, b) = (a.get_pixel(column, row).0, b.get_pixel(column, row).0);
            sum += a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(b))).sum::<u64>();
        }
    }
    sum as f64 / f64::from(3 * width * height)
}
