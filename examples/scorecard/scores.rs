//! Every score.

mod combinations;
mod concepts;
mod edits;
mod prompts;

use std::collections::BTreeSet;
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use hart_core::HartBackend;
use hart_examples::gallery::Gallery;
use hart_examples::scene::Colour;
use hart_pipeline::training::data::{Record, Records};
use hart_pipeline::{Grid, Request};
use image::RgbImage;
use serde_json::json;

use self::prompts::Prompt;
use crate::painter::{Painter, spread};
use crate::table::{Score, Table};
use crate::tokenizer::{decibels, reconstruct};

/// The number of images that are timed.
const TIMED: usize = 9;
/// The number of images of each caption of a thing that was taught later.
const REPEATED: usize = 8;
/// The three-dimensional style in captions.
const ROUND: &str = "3D";
/// The flat style in captions.
const FLAT: &str = "flat";

/// Scores that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// Reconstructions by the tokenizer, and the gain of the residual head.
    Tokenizer,
    /// Concepts by their names, and the Fréchet distance of their images.
    Concepts,
    /// Concepts by their synonyms.
    Synonyms,
    /// Prompts as people type them, if a file of them is given.
    Prompts,
    /// Withheld styles.
    Styles,
    /// Things the model was taught later.
    New,
    /// Withheld backgrounds, and copying.
    Backgrounds,
    /// Scenes of withheld combinations.
    Scenes,
    /// Edits: things replaced, backgrounds changed, variations. Only if it is named: it takes minutes.
    Edits,
    /// Seconds for one image.
    Time,
}

/// A record of the data set with its image.
#[derive(Debug, Clone)]
struct Truth {
    record: Record,
    image: RgbImage,
}

impl Truth {
    fn text(&self, key: &str) -> &str {
        self.record.text(key).unwrap_or_default()
    }

    fn concept(&self) -> &str {
        self.text("concept")
    }

    fn is_object(&self) -> bool {
        self.text("kind") == "object"
    }

    /// The label it is looked up by.
    fn label(&self) -> Label {
        Label { concept: self.concept().to_string(), style: self.text("style").to_string() }
    }
}

/// What an image of the data set shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    concept: String,
    style: String,
}

/// The data that scores are computed from.
pub(crate) struct Scores<'a, B: HartBackend> {
    painter: Painter<'a, B>,
    most: usize,
    train: Vec<Truth>,
    unseen: Vec<Truth>,
    heldout_style: Vec<Truth>,
    heldout_background: Vec<Truth>,
    heldout_scenes: Vec<Truth>,
    /// Things the model was taught later.
    new: Vec<Truth>,
    /// Prompts as people type them.
    prompts: Vec<Prompt>,
}

impl<'a, B: HartBackend> Scores<'a, B> {
    /// Reads the data set. At most `most` images are made for a score; `new` are records of things
    /// that the model was taught later, `prompts` is a file of prompts as people type them.
    pub(crate) fn open(
        data: &Path,
        [new, prompts]: [Option<&Path>; 2],
        painter: Painter<'a, B>,
        most: usize,
    ) -> anyhow::Result<Self> {
        let side = painter.side()? as usize;
        let read_file = |path: &Path| -> anyhow::Result<Vec<Truth>> {
            let records = Records::open(path)?;
            let mut seen = BTreeSet::new();
            let mut truths = vec![];
            for (index, record) in records.iter().enumerate() {
                if seen.insert(&record.image) {
                    let image = records.image(index, Grid::square(side))?.try_into()?;
                    truths.push(Truth { record: record.clone(), image });
                }
            }
            Ok(truths)
        };
        let read = |name: &str| read_file(&data.join(format!("{name}.jsonl")));
        let mut scores = Self {
            painter,
            most,
            train: read("train")?,
            unseen: read("unseen")?,
            heldout_style: read("heldout_style")?,
            heldout_background: read("heldout_background")?,
            heldout_scenes: read("heldout_scenes")?,
            new: new.map_or_else(|| Ok(vec![]), read_file)?,
            prompts: vec![],
        };
        if let Some(path) = prompts {
            let known: Vec<Label> = scores.plain().iter().map(|truth| truth.label()).collect();
            scores.prompts = prompts::read(path, &known)?;
        }
        Ok(scores)
    }

    /// Computes the scores of some parts in turn, or of all if none is given.
    pub(crate) fn compute(&self, only: &[Part], table: &mut Table) -> anyhow::Result<()> {
        let parts = Part::value_variants().iter();
        let is_usual = |part: &Part| only.is_empty() && *part != Part::Edits;
        for part in parts.filter(|part| is_usual(part) || only.contains(part)) {
            match part {
                Part::Tokenizer => self.tokenizer(table)?,
                Part::Concepts => {
                    let painted = self.concepts(table)?;
                    self.clouds(&painted, table)?;
                }
                Part::Synonyms => self.synonyms(table)?,
                Part::Prompts => self.prompts(table)?,
                Part::Styles => self.styles(table)?,
                Part::New => self.later(table)?,
                Part::Backgrounds => {
                    let painted = self.backgrounds(table)?;
                    self.copying(&painted, table)?;
                }
                Part::Scenes => self.scenes(table)?,
                Part::Edits => self.edits(table)?,
                Part::Time => self.time(table)?,
            }
        }
        Ok(())
    }

    /// Trained objects on white, the most common request.
    fn plain(&self) -> Vec<&Truth> {
        let is_plain = |truth: &&Truth| truth.is_object() && truth.text("background") == "white";
        self.train.iter().filter(is_plain).collect()
    }

    /// The gallery of all trained objects on white.
    fn gallery(&self) -> Gallery<Label> {
        Gallery::new(self.plain().into_iter().map(|t| (t.label(), t.image.clone())))
    }

    /// The gallery of all objects on a background, those that were withheld from training too.
    fn gallery_on(&self, background: Colour) -> Gallery<Label> {
        let all = self.train.iter().chain(&self.heldout_background);
        let on = all.filter(|t| t.is_object() && t.text("background") == background.name());
        Gallery::new(on.map(|truth| (truth.label(), truth.image.clone())))
    }

    fn tokenizer(&self, table: &mut Table) -> anyhow::Result<()> {
        let pipeline = self.painter.pipeline;
        let unseen = images(self.unseen.iter());
        let new = decibels(pipeline, &unseen, None)?;
        let count = unseen.len();
        let name = |what: &str| format!("tokenizer, unseen concepts: {what}");
        table.add(Score::new(name("discrete, dB"), new.discrete, count).target(25.0));
        table.add(Score::new(name("continuous, dB"), new.continuous, count).target(27.0));
        let gap = new.continuous - new.discrete;
        table.add(Score::new(name("hybrid gain, dB"), gap, count).target(1.5));

        let plain = self.plain();
        let chosen: Vec<&Truth> =
            spread(plain.len(), self.most.min(256)).into_iter().map(|i| plain[i]).collect();
        let known = images(chosen.iter().copied());
        let captions: Vec<String> = chosen.iter().map(|t| t.record.captions[0].clone()).collect();
        let found = decibels(pipeline, &known, Some(&captions))?;
        let sampled = found.sampled.context("captions were given")?;
        let closed = (sampled - found.discrete) / (found.continuous - found.discrete);
        let name = "residual head: share of the gap closed";
        table.add(Score::new(name, closed, known.len()).chance(0.0).ceiling(1.0).target(0.2));
        let details = json!({ "discrete": found.discrete, "sampled": sampled,
                              "continuous": found.continuous,
                              "explained_variance_of_residuals": found.explained });
        table.detail("residual_head_decibels", details);
        self.painter.sheet("reconstructions", &reconstruct(pipeline, &unseen)?)
    }

    fn time(&self, table: &mut Table) -> anyhow::Result<()> {
        let request = Request::new("a red heart, flat style");
        let mut seconds = vec![];
        for seed in 0..TIMED as u64 {
            let began = Instant::now();
            self.painter.pipeline.generate(&request.clone().seed(seed))?;
            seconds.push(began.elapsed().as_secs_f64());
        }
        seconds.sort_by(f64::total_cmp);
        let score = Score::new("seconds for one image, median", seconds[TIMED / 2], TIMED);
        table.add(score.target(0.5));
        Ok(())
    }
}

fn images<'t>(truths: impl Iterator<Item = &'t Truth>) -> Vec<RgbImage> {
    truths.map(|truth| truth.image.clone()).collect()
}

/// Shares of images whose concept is the nearest, among the five nearest, and the nearest in the
/// right style.
fn lookup(gallery: &Gallery<Label>, images: &[RgbImage], labels: &[Label]) -> [f64; 3] {
    let mut right = [0usize; 3];
    for (nearest, label) in gallery.all_nearest(images, 5).iter().zip(labels) {
        let same = |found: &Label| found.concept == label.concept;
        right[0] += usize::from(nearest.first().is_some_and(|(found, _)| same(found)));
        right[1] += usize::from(nearest.iter().any(|(found, _)| same(found)));
        right[2] += usize::from(nearest.first().is_some_and(|(found, _)| *found == label));
    }
    right.map(|right| right as f64 / labels.len().max(1) as f64)
}
