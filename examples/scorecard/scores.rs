//! Every score.

use std::collections::{BTreeMap, BTreeSet};
use std::path::Path;
use std::time::Instant;

use anyhow::Context;
use clap::ValueEnum;
use hart_core::HartBackend;
use hart_examples::data::{Record, Records};
use hart_examples::scene::{Colour, Scene, Verdict};
use hart_pipeline::Request;
use image::RgbImage;
use serde_json::json;

use crate::finish::Finish;
use crate::frechet::Axes;
use crate::painter::{Painter, spread};
use crate::retrieval::Gallery;
use crate::table::{Score, Table};
use crate::tokenizer::{decibels, reconstruct};

/// Pictures of which the time is taken.
const TIMED: usize = 9;
/// Pictures of each caption of a thing that was taught later.
const REPEATED: usize = 8;
/// The three-dimensional style in captions.
const ROUND: &str = "3D";
/// The flat style in captions.
const FLAT: &str = "flat";

/// Scores that belong together.
#[derive(Debug, Clone, Copy, PartialEq, Eq, ValueEnum)]
pub(crate) enum Part {
    /// What the tokenizer keeps, and what the residual head adds.
    Tokenizer,
    /// Concepts by their names, and their pictures as a whole.
    Concepts,
    /// Concepts by other words.
    Synonyms,
    /// Styles that were withheld.
    Styles,
    /// What the model was taught later.
    New,
    /// Backgrounds that were withheld, and copying.
    Backgrounds,
    /// Scenes of withheld combinations.
    Scenes,
    /// Seconds.
    Time,
}

/// A part of a verdict.
type Question = fn(&Verdict) -> bool;

/// A record with its picture, made by hand.
#[derive(Debug, Clone)]
struct Truth {
    record: Record,
    picture: RgbImage,
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

    /// What it is looked up by.
    fn label(&self) -> Label {
        Label { concept: self.concept().to_string(), style: self.text("style").to_string() }
    }
}

/// What a true picture shows.
#[derive(Debug, Clone, PartialEq, Eq)]
struct Label {
    concept: String,
    style: String,
}

/// All that scores are computed from.
pub(crate) struct Scores<'a, B: HartBackend> {
    painter: Painter<'a, B>,
    most: usize,
    train: Vec<Truth>,
    unseen: Vec<Truth>,
    heldout_style: Vec<Truth>,
    heldout_background: Vec<Truth>,
    heldout_scenes: Vec<Truth>,
    /// What the model was taught later.
    new: Vec<Truth>,
}

impl<'a, B: HartBackend> Scores<'a, B> {
    /// Reads the data set; `most` pictures are made for a score at the most.
    /// `new` are records of things that it was taught later.
    pub(crate) fn open(
        data: &Path,
        new: Option<&Path>,
        painter: Painter<'a, B>,
        most: usize,
    ) -> anyhow::Result<Self> {
        let side = painter.side()? as usize;
        let read_file = |path: &Path| -> anyhow::Result<Vec<Truth>> {
            let records = Records::open(path)?;
            let mut seen = BTreeSet::new();
            let mut truths = vec![];
            for (index, record) in records.records.iter().enumerate() {
                if seen.insert(&record.image) {
                    let picture = records.picture(index, side)?;
                    truths.push(Truth { record: record.clone(), picture });
                }
            }
            Ok(truths)
        };
        let read = |name: &str| read_file(&data.join(format!("{name}.jsonl")));
        Ok(Self {
            painter,
            most,
            train: read("train")?,
            unseen: read("unseen")?,
            heldout_style: read("heldout_style")?,
            heldout_background: read("heldout_background")?,
            heldout_scenes: read("heldout_scenes")?,
            new: new.map_or_else(|| Ok(vec![]), read_file)?,
        })
    }

    /// The scores of some parts, one after the other; of all when none is named.
    pub(crate) fn compute(&self, only: &[Part], table: &mut Table) -> anyhow::Result<()> {
        let parts = Part::value_variants().iter();
        for part in parts.filter(|part| only.is_empty() || only.contains(part)) {
            match part {
                Part::Tokenizer => self.tokenizer(table)?,
                Part::Concepts => {
                    let painted = self.concepts(table)?;
                    self.clouds(&painted, table)?;
                }
                Part::Synonyms => self.synonyms(table)?,
                Part::Styles => self.styles(table)?,
                Part::New => self.later(table)?,
                Part::Backgrounds => {
                    let painted = self.backgrounds(table)?;
                    self.copying(&painted, table)?;
                }
                Part::Scenes => self.scenes(table)?,
                Part::Time => self.time(table)?,
            }
        }
        Ok(())
    }

    /// Trained objects on white, what most people ask for.
    fn plain(&self) -> Vec<&Truth> {
        let is_plain = |truth: &&Truth| truth.is_object() && truth.text("background") == "white";
        self.train.iter().filter(is_plain).collect()
    }

    /// The gallery of all trained objects on white.
    fn gallery(&self) -> Gallery<Label> {
        Gallery::new(self.plain().into_iter().map(|t| (t.label(), t.picture.clone())))
    }

    fn tokenizer(&self, table: &mut Table) -> anyhow::Result<()> {
        let pipeline = self.painter.pipeline;
        let unseen = pictures(self.unseen.iter());
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
        let known = pictures(chosen.iter().copied());
        let captions: Vec<String> = chosen.iter().map(|t| t.record.captions[0].clone()).collect();
        let found = decibels(pipeline, &known, Some(&captions))?;
        let sampled = found.sampled.context("captions were given")?;
        let closed = (sampled - found.discrete) / (found.continuous - found.discrete);
        let name = "residual head: share of the gap closed";
        table.add(Score::new(name, closed, known.len()).chance(0.0).ceiling(1.0).target(0.5));
        let details = json!({ "discrete": found.discrete, "sampled": sampled,
                              "continuous": found.continuous,
                              "explained_variance_of_residuals": found.explained });
        table.detail("residual_head_decibels", details);
        self.painter.sheet("reconstructions", &reconstruct(pipeline, &unseen)?)
    }

    /// Trained concepts by their names; gives the pictures.
    fn concepts(&self, table: &mut Table) -> anyhow::Result<Vec<RgbImage>> {
        let gallery = self.gallery();
        let plain = self.plain();
        let chosen: Vec<&Truth> =
            spread(plain.len(), self.most).into_iter().map(|i| plain[i]).collect();
        let captions: Vec<String> = chosen.iter().map(|t| t.record.captions[0].clone()).collect();
        let painted = self.painter.paint("concepts", &captions)?;
        let truth = reconstruct(self.painter.pipeline, &pictures(chosen.iter().copied()))?;
        let labels: Vec<Label> = chosen.iter().map(|truth| truth.label()).collect();
        let (found, ceiling) =
            (lookup(&gallery, &painted, &labels), lookup(&gallery, &truth, &labels));
        let count = painted.len();
        let one = 1.0 / gallery.len() as f64;
        let add = |table: &mut Table, name: &str, i: usize, chance: f64, target: f64| {
            let score = Score::new(format!("concepts: {name}"), found[i], count);
            table.add(score.chance(chance).ceiling(ceiling[i]).target(target));
        };
        add(table, "top-1", 0, 3.0 * one, 0.8);
        add(table, "top-5", 1, 15.0 * one, 0.92);
        add(table, "top-1 in the right style", 2, one, 0.7);
        let mut wrong = BTreeMap::<String, usize>::new();
        for (nearest, label) in gallery.all_nearest(&painted, 1).iter().zip(&labels) {
            if nearest[0].0.concept != label.concept {
                *wrong.entry(label.concept.clone()).or_default() += 1;
            }
        }
        table.detail("concepts_missed", json!(wrong));
        Ok(painted)
    }

    /// Trained concepts by other words.
    fn synonyms(&self, table: &mut Table) -> anyhow::Result<()> {
        let gallery = self.gallery();
        let asked: Vec<(String, Label)> = self
            .plain()
            .iter()
            .flat_map(|truth| {
                let words = truth.record.captions[1..].iter();
                words.map(|caption| (caption.clone(), truth.label()))
            })
            .collect();
        let asked: Vec<_> =
            spread(asked.len(), self.most / 2).into_iter().map(|i| asked[i].clone()).collect();
        let (captions, labels): (Vec<String>, Vec<Label>) = asked.into_iter().unzip();
        let painted = self.painter.paint("synonyms", &captions)?;
        let found = lookup(&gallery, &painted, &labels);
        let score = Score::new("synonyms: top-1", found[0], painted.len());
        table.add(score.chance(3.0 / gallery.len() as f64).ceiling(1.0).target(0.5));
        Ok(())
    }

    /// Three-dimensional drawings that were withheld, of concepts that were seen flat.
    fn styles(&self, table: &mut Table) -> anyhow::Result<()> {
        let gallery =
            Gallery::new(self.heldout_style.iter().map(|t| (t.label(), t.picture.clone())));
        let captions: Vec<String> =
            self.heldout_style.iter().map(|t| t.record.captions[0].clone()).collect();
        let labels: Vec<Label> = self.heldout_style.iter().map(Truth::label).collect();
        let painted = self.painter.paint("heldout-style", &captions)?;
        let count = painted.len();
        let found = lookup(&gallery, &painted, &labels);
        // What copying the flat drawing would give.
        let plain = self.plain();
        let flat = |label: &Label| {
            let same = |t: &&&Truth| t.concept() == label.concept && t.text("style") == FLAT;
            plain.iter().find(same).map(|t| t.picture.clone())
        };
        let copies: Option<Vec<RgbImage>> = labels.iter().map(flat).collect();
        let copies = copies.context("a withheld concept without its flat drawing")?;
        let copied = lookup(&gallery, &copies, &labels);
        let name = "withheld style: top-1 among the withheld";
        let score = Score::new(name, found[0], count).chance(1.0 / gallery.len() as f64);
        table.add(score.ceiling(copied[0]).target(0.7));

        let of = |style: &str| -> Vec<RgbImage> {
            pictures(plain.iter().filter(|t| t.text("style") == style).copied())
        };
        let finish = Finish::learn(&of(FLAT), &of(ROUND));
        let truth = finish.round_share(&pictures(self.heldout_style.iter()));
        let name = "withheld style: finished in 3D";
        let score = Score::new(name, finish.round_share(&painted), count).chance(0.5);
        table.add(score.ceiling(truth).target(0.7));
        let name = "withheld style: control, flat copies taken for 3D";
        table.add(Score::new(name, finish.round_share(&copies), count));
        Ok(())
    }

    /// Things that the model was taught later, among those and all others.
    fn later(&self, table: &mut Table) -> anyhow::Result<()> {
        if self.new.is_empty() {
            return Ok(());
        }
        let entries = self.plain().into_iter().chain(&self.new);
        let gallery = Gallery::new(entries.map(|truth| (truth.label(), truth.picture.clone())));
        let (mut captions, mut labels) = (vec![], vec![]);
        for truth in &self.new {
            captions.extend(std::iter::repeat_n(truth.record.captions[0].clone(), REPEATED));
            labels.extend(std::iter::repeat_n(truth.label(), REPEATED));
        }
        let painted = self.painter.paint("new", &captions)?;
        let found = lookup(&gallery, &painted, &labels);
        let one = 1.0 / gallery.len() as f64;
        let add = |table: &mut Table, name: &str, i: usize, chance: f64| {
            let score = Score::new(format!("taught later: {name}"), found[i], painted.len());
            table.add(score.chance(chance).ceiling(1.0));
        };
        add(table, "top-1", 0, self.new.len() as f64 * one);
        add(table, "top-1 in the right style", 2, one);
        Ok(())
    }

    /// Objects on backgrounds they were never seen on; gives the pictures.
    fn backgrounds(&self, table: &mut Table) -> anyhow::Result<Vec<RgbImage>> {
        let all = &self.heldout_background;
        let chosen: Vec<&Truth> =
            spread(all.len(), self.most / 2).into_iter().map(|i| &all[i]).collect();
        let captions: Vec<String> = chosen.iter().map(|t| t.record.captions[0].clone()).collect();
        let painted = self.painter.paint("heldout-background", &captions)?;
        // Looked up among everything there is on that background.
        let mut galleries = BTreeMap::new();
        for colour in Colour::ALL {
            let on = self
                .train
                .iter()
                .chain(all)
                .filter(|truth| truth.is_object() && truth.text("background") == colour.name());
            let entries = on.map(|truth| (truth.label(), truth.picture.clone()));
            galleries.insert(colour.name(), Gallery::new(entries));
        }
        let (mut colours, mut concepts, mut both) = (0, 0, 0);
        for (truth, picture) in chosen.iter().zip(&painted) {
            let background = truth.text("background");
            let colour = Scene::background_of(picture).name() == background;
            let gallery = galleries.get(background).context("a background without a name")?;
            let nearest = gallery.nearest(picture, 1);
            let concept =
                nearest.first().is_some_and(|(label, _)| label.concept == truth.concept());
            colours += usize::from(colour);
            concepts += usize::from(concept);
            both += usize::from(colour && concept);
        }
        let count = painted.len();
        let share = |n: usize| n as f64 / count as f64;
        let add = |table: &mut Table, name: &str, n: usize, chance: f64, target: f64| {
            let name = format!("withheld object × background: {name}");
            let score = Score::new(name, share(n), count).chance(chance);
            table.add(score.ceiling(1.0).target(target));
        };
        let concept = 1.0 / self.plain().len() as f64 * 3.0;
        add(table, "colour", colours, 0.1, 0.95);
        add(table, "concept top-1", concepts, concept, 0.7);
        add(table, "both", both, 0.1 * concept, 0.7);
        Ok(painted)
    }

    /// Scenes of withheld combinations, judged; and with the captions shuffled.
    fn scenes(&self, table: &mut Table) -> anyhow::Result<()> {
        let all = &self.heldout_scenes;
        let mut scenes: Vec<Scene> = vec![];
        for truth in all {
            let scene = truth.record.details.get("scene").context("a scene without its truth")?;
            scenes.push(serde_json::from_value(scene.clone())?);
        }
        let captions: Vec<String> = all.iter().map(|t| t.record.captions[0].clone()).collect();
        let painted = self.painter.paint("heldout-scenes", &captions)?;
        let judge = |pictures: &[RgbImage], shift: usize| -> Vec<Verdict> {
            let count = scenes.len();
            (0..count).map(|i| scenes[(i + shift) % count].judge(&pictures[i])).collect()
        };
        let truth = reconstruct(self.painter.pipeline, &pictures(all.iter()))?;
        let (found, ceiling) = (judge(&painted, 0), judge(&truth, 0));
        // Every picture against the next scene: what a model gives that does not read.
        let shuffled = judge(&painted, 1);
        let parts: [(&str, Question, f64); 5] = [
            ("background", |v| v.background, 0.98),
            ("colours", |v| v.colours, 0.9),
            ("relation", |v| v.relation, 0.9),
            ("shapes", |v| v.shapes, 0.75),
            ("all right", Verdict::all, 0.65),
        ];
        for (name, part, target) in parts {
            let share = |verdicts: &[Verdict]| {
                verdicts.iter().filter(|v| part(v)).count() as f64 / verdicts.len() as f64
            };
            let score = Score::new(format!("withheld scenes: {name}"), share(&found), found.len());
            table.add(score.chance(share(&shuffled)).ceiling(share(&ceiling)).target(target));
        }
        Ok(())
    }

    /// How far painted pictures are from true ones as a whole.
    fn clouds(&self, painted: &[RgbImage], table: &mut Table) -> anyhow::Result<()> {
        let truth = pictures(self.plain().into_iter());
        let again = reconstruct(self.painter.pipeline, &truth)?;
        let axes = Axes::learn(&truth);
        let half =
            |odd: usize| -> Vec<RgbImage> { truth.iter().skip(odd).step_by(2).cloned().collect() };
        let ceiling = axes.distance(&again, &truth);
        let name = "Fréchet distance to true pictures (64 axes of pixels)";
        let score = Score::new(name, axes.distance(painted, &truth), painted.len());
        table.add(score.ceiling(ceiling).target(1.5 * ceiling));
        let floor = axes.distance(&half(0), &half(1));
        table.detail("frechet_of_two_halves_of_the_truth", json!(floor));
        Ok(())
    }

    /// How near pictures of combinations that were never trained come to trained pictures.
    fn copying(&self, painted: &[RgbImage], table: &mut Table) -> anyhow::Result<()> {
        let gallery = Gallery::new(self.train.iter().map(|truth| ((), truth.picture.clone())));
        let nearest = gallery.all_nearest(painted, 1);
        let pixels = 16.0 * 16.0 * 3.0;
        let mut distances: Vec<f64> =
            nearest.iter().map(|n| f64::from(n[0].1 / pixels).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        let at = |share: f64| distances[((distances.len() - 1) as f64 * share) as usize];
        let name = "copying: median distance of new combinations to trained pictures";
        table.add(Score::new(name, at(0.5), painted.len()));
        let histogram = json!({ "least": at(0.0), "tenth": at(0.1), "quarter": at(0.25),
                                "half": at(0.5), "three_quarters": at(0.75), "most": at(1.0) });
        table.detail("copying_root_mean_square_distance", histogram);
        Ok(())
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
        let score = Score::new("seconds for one picture, median", seconds[TIMED / 2], TIMED);
        table.add(score.target(0.5));
        Ok(())
    }
}

fn pictures<'t>(truths: impl Iterator<Item = &'t Truth>) -> Vec<RgbImage> {
    truths.map(|truth| truth.picture.clone()).collect()
}

/// Shares of pictures whose concept is the nearest, among the five nearest, and the nearest in the
/// right style.
fn lookup(gallery: &Gallery<Label>, pictures: &[RgbImage], labels: &[Label]) -> [f64; 3] {
    let mut right = [0usize; 3];
    for (nearest, label) in gallery.all_nearest(pictures, 5).iter().zip(labels) {
        let same = |found: &Label| found.concept == label.concept;
        right[0] += usize::from(nearest.first().is_some_and(|(found, _)| same(found)));
        right[1] += usize::from(nearest.iter().any(|(found, _)| same(found)));
        right[2] += usize::from(nearest.first().is_some_and(|(found, _)| *found == label));
    }
    right.map(|right| right as f64 / labels.len().max(1) as f64)
}
