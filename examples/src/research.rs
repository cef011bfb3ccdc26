//! What experiments share: the model compiled in, drawings that images are judged by, and results as a
//! table and a plot. Nothing here is generic, so that an experiment is compiled in seconds.

use std::path::Path;

use anyhow::{Context, ensure};
use hart_core::{Grid, Result, ScaleSchedule, write_atomically};
use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::training::Measurements;
use hart_pipeline::training::data::Records;
use hart_pipeline::training::tokenizer::{self, TokenizerExperiment};
use hart_pipeline::{GenerationHook, HartPipeline, Image, Pixels, Request};
use image::RgbImage;

use crate::gallery::Gallery;
use crate::plot::{Curve, draw_curves};
use crate::say;
use crate::training::TrainingProgress;

/// The repository's sample.
const SAMPLE: &str = concat!(env!("CARGO_MANIFEST_DIR"), "/data/sample/captions.jsonl");
/// The most decibels of an image: those of one that is equal but for rounding.
const MOST_DECIBELS: f64 = 60.0;

/// The fastest backend compiled in.
pub type Backend = DefaultBackend;

/// What an experiment changes.
pub type Hook<'a> = &'a mut dyn GenerationHook<Backend>;

/// The model compiled in.
pub struct Pipeline(HartPipeline<Backend>);

impl Pipeline {
    /// Unpacks the model.
    ///
    /// # Errors
    /// When its archive is damaged.
    pub fn embedded() -> Result<Self> {
        Ok(Self(HartPipeline::embedded(&default_device())?))
    }

    /// The size of its images.
    pub fn image_size(&self) -> Grid {
        self.0.image_size()
    }

    /// Its scales.
    ///
    /// # Errors
    /// When its archive is damaged.
    pub fn scales(&self) -> Result<ScaleSchedule> {
        Ok(self.0.model()?.transformer.scales().clone())
    }

    /// Makes the images of a request; the first that cannot be made is the error.
    ///
    /// # Errors
    /// Those of the request and of the hook.
    pub fn generate(&self, request: &Request, hook: Hook<'_>) -> Result<Vec<Image>> {
        let outcomes = self.0.generate_with_hook(request, hook, &mut ())?;
        outcomes.into_iter().map(|outcome| outcome.into_image()).collect()
    }
}

/// The drawings of the repository's sample, 32 things in three styles on white. The model compiled in
/// has learned them, so that an image of a caption can be held against its drawing.
pub struct Sample {
    drawings: Vec<Drawing>,
    /// All of them, by the things that they show.
    gallery: Gallery<String>,
    /// Those of which images are made.
    asked: Vec<usize>,
}

struct Drawing {
    caption: String,
    concept: String,
    image: RgbImage,
}

/// How good images are.
#[derive(Debug, Clone, Copy)]
pub struct Quality {
    /// The share of images whose nearest drawing, of all 96, is of the thing that was asked for.
    pub recognised: f64,
    /// Peak signal-to-noise ratio of the images as copies of their drawings, the mean in decibels.
    pub decibels: f64,
}

impl Sample {
    /// Reads the sample, its drawings in the size of a model's images. A number as the program's first
    /// argument says of how many of them images are made (default: all).
    ///
    /// # Errors
    /// When the sample cannot be read, and for an argument that is no such number.
    pub fn open(size: Grid) -> anyhow::Result<Self> {
        let records = Records::open(SAMPLE)?;
        let is_object = |index: &usize| records.get(*index).text("kind") == Some("object");
        let drawing = |index: usize| {
            let record = records.get(index);
            let image = RgbImage::try_from(records.image(index, size)?)?;
            Ok(Drawing {
                caption: record.captions[0].clone(),
                concept: record.text("concept").unwrap_or_default().to_string(),
                image,
            })
        };
        let drawings = (0..records.len()).filter(is_object).map(drawing);
        let drawings: Vec<Drawing> = drawings.collect::<anyhow::Result<_>>()?;
        let all = drawings.len();
        let count = match std::env::args().nth(1) {
            Some(text) => text.parse().ok().filter(|count| (1..=all).contains(count)),
            None => Some(all),
        };
        let count =
            count.with_context(|| format!("expected a number of images from 1 to {all}"))?;
        let entry = |drawing: &Drawing| (drawing.concept.clone(), drawing.image.clone());
        let gallery = Gallery::new(drawings.iter().map(entry));
        let asked = (0..count).map(|index| index * all / count).collect();
        Ok(Self { drawings, gallery, asked })
    }

    /// The captions of which images are made.
    pub fn captions(&self) -> Vec<String> {
        self.asked.iter().map(|&index| self.drawings[index].caption.clone()).collect()
    }

    /// Judges one image of every caption.
    ///
    /// # Errors
    /// When there are not as many images.
    pub fn judge(&self, images: &[Pixels]) -> anyhow::Result<Quality> {
        let (found, expected) = (images.len(), self.asked.len());
        ensure!(found == expected, "{found} images of {expected} captions");
        let (mut recognised, mut decibels) = (0.0, 0.0);
        for (&index, image) in self.asked.iter().zip(images) {
            let drawing = &self.drawings[index];
            let image = RgbImage::try_from(image)?;
            let nearest = self.gallery.nearest(&image, 1);
            let is_right = nearest.first().is_some_and(|(concept, _)| **concept == drawing.concept);
            recognised += f64::from(u8::from(is_right));
            let values = image.as_raw().len() as f64;
            let error = squares(image.as_raw(), drawing.image.as_raw()) as f64 / values;
            let ratio = 10.0 * (255.0 * 255.0 / error.max(1e-9)).log10();
            decibels += ratio.min(MOST_DECIBELS);
        }
        let count = images.len() as f64;
        Ok(Quality { recognised: recognised / count, decibels: decibels / count })
    }

    /// Makes an image of every caption, and judges them. `request` has all other settings.
    ///
    /// # Errors
    /// Those of the pipeline and of the hook.
    pub fn measure(
        &self,
        pipeline: &Pipeline,
        settings: &dyn Fn(Request) -> Request,
        hook: Hook<'_>,
    ) -> anyhow::Result<Quality> {
        let request = settings(Request::batch(self.captions()).seed(1));
        let images = pipeline.generate(&request, hook)?;
        self.judge(&images.iter().map(|image| image.pixels().clone()).collect::<Vec<_>>())
    }
}

/// The results of an experiment: a row for each setting, its first column the setting as a number.
pub struct Results {
    name: &'static str,
    columns: Vec<&'static str>,
    rows: Vec<(String, Vec<f64>)>,
}

impl Results {
    /// None yet. The columns are the setting and what is measured.
    pub fn new(name: &'static str, columns: &[&'static str]) -> Self {
        Self { name, columns: columns.to_vec(), rows: vec![] }
    }

    /// Adds a row, and says it on standard output. `label` names the setting in words.
    ///
    /// # Errors
    /// When standard output cannot be written.
    pub fn add(&mut self, label: impl Into<String>, values: &[f64]) -> anyhow::Result<()> {
        let label = label.into();
        let cells = self.columns.iter().zip(values).skip(1);
        let cells: Vec<String> = cells.map(|(name, value)| format!("{name} {value:.3}")).collect();
        say(format_args!("{label}: {}", cells.join(", ")))?;
        self.rows.push((label, values.to_vec()));
        Ok(())
    }

    /// Writes `NAME.csv` and `NAME.svg` to the working directory.
    ///
    /// # Errors
    /// When they cannot be written.
    pub fn finish(self) -> anyhow::Result<()> {
        let mut table = csv::Writer::from_writer(vec![]);
        table.write_record(["label"].iter().chain(&self.columns))?;
        for (label, values) in &self.rows {
            let values = values.iter().map(ToString::to_string);
            table.write_record([label.clone()].into_iter().chain(values))?;
        }
        let path = format!("{}.csv", self.name);
        write_atomically(Path::new(&path), &table.into_inner()?)?;
        let curve = |(index, name): (usize, &&str)| Curve {
            name: name.to_string(),
            points: self.rows.iter().map(|(_, row)| (row[0], row[index + 1])).collect(),
        };
        let curves: Vec<Curve> = self.columns[1..].iter().enumerate().map(curve).collect();
        let plot = format!("{}.svg", self.name);
        draw_curves(Path::new(&plot), &curves, Some(self.columns[0]))?;
        say(format_args!("{path}, {plot}"))
    }
}

/// Trains a tokenizer on the fastest backend compiled in, or goes on with it.
///
/// # Errors
/// Those of the training, and when the program is interrupted.
pub fn train_tokenizer(experiment: &TokenizerExperiment) -> anyhow::Result<()> {
    let about = |metrics: &Measurements<'_>| {
        metrics.iter().next().map(|(name, value)| format!("{name} {value:.5}")).unwrap_or_default()
    };
    let mut progress = TrainingProgress::new(about, about)?;
    let trained =
        tokenizer::train_tokenizer::<Backend>(experiment, &default_device(), &mut progress);
    progress.finish(trained)
}

/// The sum of the squared differences.
fn squares(a: &[u8], b: &[u8]) -> u64 {
    a.iter().zip(b).map(|(a, b)| u64::from(a.abs_diff(*b)).pow(2)).sum()
}
