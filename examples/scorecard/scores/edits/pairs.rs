//! One thing of a pair is replaced.

use anyhow::{Context, ensure};
use hart_core::HartBackend;
use hart_examples::gallery::Gallery;
use hart_pipeline::Pixels;
use hart_pipeline::edit::{Edit, Mask};
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};
use serde_json::json;

use super::{CASES, Change, difference};
use crate::painter::spread;
use crate::scores::{Label, Scores, Truth};
use crate::table::{Score, Table};

/// A pair of things on white, and a third one to put in the place of the second.
struct Pair<'t> {
    truth: &'t Truth,
    /// Captions with the second and with the third thing.
    captions: [String; 2],
    /// The concepts of all three.
    concepts: [String; 3],
    /// Whether the second is to the right of the first, not below it.
    is_beside: bool,
}

impl Pair<'_> {
    /// Column, row, width and height of the half with the first or the second thing.
    fn half(&self, second: bool, side: u32) -> [u32; 4] {
        let at = if second { side / 2 } else { 0 };
        if self.is_beside { [at, 0, side / 2, side] } else { [0, at, side, side / 2] }
    }

    /// The square around the first or the second thing.
    fn square(&self, image: &RgbImage, second: bool) -> RgbImage {
        let side = image.width();
        let at = if second { side / 2 } else { 0 };
        let [x, y] = if self.is_beside { [at, side / 4] } else { [side / 4, at] };
        crop_imm(image, x, y, side / 2, side / 2).to_image()
    }

    fn source(&self) -> anyhow::Result<Pixels> {
        Ok(Pixels::try_from(self.truth.image.clone())?)
    }

    /// The second half is painted anew.
    fn inpainted(&self, side: u32) -> anyhow::Result<Edit> {
        let mut mask = Mask::empty(side as usize, side as usize);
        let [x, y, width, height] = self.half(true, side).map(|length| length as usize);
        mask.mark(x, y, width, height);
        Ok(Edit::inpaint(self.source()?, mask).prompt(&self.captions[1]))
    }
}

/// Things in half their size, as pairs show them.
struct Judge {
    gallery: Gallery<Label>,
    side: u32,
}

/// How well a way to replace one thing of a pair does.
struct Replaced {
    /// The share of images in which the new thing is recognised.
    new: f64,
    /// The share in which the other one still is.
    old: f64,
    /// Mean difference from the source in the other half, of 255.
    apart: f64,
}

impl Judge {
    fn shows(&self, image: &RgbImage, concept: &str) -> bool {
        let nearest = self.gallery.nearest(image, 1);
        nearest.first().is_some_and(|(label, _)| label.concept == concept)
    }

    fn judge(&self, pairs: &[Pair<'_>], images: &[RgbImage]) -> Replaced {
        let share = |is_right: &dyn Fn(&Pair<'_>, &RgbImage) -> bool| {
            let all = pairs.iter().zip(images);
            all.filter(|(pair, image)| is_right(pair, image)).count() as f64 / pairs.len() as f64
        };
        let apart = pairs
            .iter()
            .zip(images)
            .map(|(pair, image)| difference(&pair.truth.image, image, pair.half(false, self.side)));
        Replaced {
            new: share(&|pair, image| self.shows(&pair.square(image, true), &pair.concepts[2])),
            old: share(&|pair, image| self.shows(&pair.square(image, false), &pair.concepts[0])),
            apart: apart.sum::<f64>() / pairs.len() as f64,
        }
    }

    /// The share of the second things that are recognised in the pairs of the data set.
    fn ceiling(&self, pairs: &[Pair<'_>]) -> f64 {
        let is_right =
            |pair: &&Pair<'_>| self.shows(&pair.square(&pair.truth.image, true), &pair.concepts[1]);
        pairs.iter().filter(is_right).count() as f64 / pairs.len() as f64
    }
}

impl<B: HartBackend> Scores<'_, B> {
    /// One thing of a pair is replaced: by inpainting, by its prompt, by restyling; beside pairs that
    /// are drawn from nothing.
    pub(super) fn replaced_things(&self, table: &mut Table) -> anyhow::Result<()> {
        let pairs = self.white_pairs()?;
        let judge = self.judge_of_pairs()?;
        let (chance, ceiling) = (3.0 / judge.gallery.len() as f64, judge.ceiling(&pairs));
        let row = |name: &str, found: f64| Score::new(format!("edits: {name}"), found, pairs.len());
        let thing = |name: &str, found: f64| row(name, found).chance(chance).ceiling(ceiling);

        let captions: Vec<String> = pairs.iter().map(|pair| pair.captions[1].clone()).collect();
        let drawn = judge.judge(&pairs, &self.painter.paint("edit-pairs-drawn", &captions)?);
        table.add(thing("pairs drawn from nothing: the second thing", drawn.new));
        let inpainted =
            self.edit_each("edit-inpainted", &pairs, |_, pair| pair.inpainted(judge.side))?;
        let inpainted = judge.judge(&pairs, &inpainted);
        ensure!(inpainted.apart == 0.0, "inpainting changed pixels outside of the mask");
        let name = "one of a pair replaced by inpainting: the new thing";
        table.add(thing(name, inpainted.new).target(drawn.new));

        let mut changes = vec![];
        for change in Change::ALL {
            let images = self.edit_each(&change.sheet("edit-pairs"), &pairs, |_, pair| {
                let [from, to] = &pair.captions;
                Ok(change.edit(pair.source()?, from, to))
            })?;
            let Replaced { new, old, apart } = judge.judge(&pairs, &images);
            let what = format!("one of a pair replaced by {change}");
            table.add(thing(&format!("{what}: the new thing"), new));
            table.add(row(&format!("{what}: the other half, of 255 from the source"), apart));
            let (way, strength) = (change.way.to_string(), change.strength());
            changes.push(json!({ "way": way, "strength": strength, "new": new, "old": old,
                                 "apart": apart }));
        }
        table.detail("edits_of_pairs", json!(changes));
        Ok(())
    }

    fn judge_of_pairs(&self) -> anyhow::Result<Judge> {
        let side = self.painter.side()?;
        let small = |truth: &Truth| {
            let image = resize(&truth.image, side / 2, side / 2, FilterType::Triangle);
            (truth.label(), image)
        };
        Ok(Judge { gallery: Gallery::new(self.plain().into_iter().map(small)), side })
    }

    /// Pairs of the data set on white.
    fn white_pairs(&self) -> anyhow::Result<Vec<Pair<'_>>> {
        let is_pair =
            |truth: &&Truth| truth.text("kind") == "pair" && truth.text("background") == "white";
        let all: Vec<&Truth> = self.train.iter().filter(is_pair).collect();
        let chosen: Vec<&Truth> = spread(all.len(), CASES).into_iter().map(|i| all[i]).collect();
        ensure!(!chosen.is_empty(), "the data set has no pairs of things on white");
        let things = chosen.iter().map(|truth| Thing::both(truth));
        let things: Vec<[Thing; 2]> = things.collect::<anyhow::Result<_>>()?;
        let mut pairs = vec![];
        for (index, truth) in chosen.into_iter().enumerate() {
            let [first, second] = &things[index];
            // Any other thing will do: the second one of another pair.
            let mut others = things[index..].iter().chain(&things).map(|[_, other]| other);
            let is_new =
                |other: &&Thing| other.concept != first.concept && other.concept != second.concept;
            let third = others.find(is_new).context("all pairs are of the same two things")?;
            let (relation, style) = (truth.text("relation"), truth.text("style"));
            let caption =
                |thing: &Thing| format!("{} {relation} {}, {style} style", first.name, thing.name);
            pairs.push(Pair {
                truth,
                captions: [caption(second), caption(third)],
                concepts: [first, second, third].map(|thing| thing.concept.clone()),
                is_beside: relation == "left of",
            });
        }
        Ok(pairs)
    }
}

/// A thing of a pair.
struct Thing {
    /// As captions call it.
    name: String,
    concept: String,
}

impl Thing {
    /// The two things of a pair, the left or upper one first.
    fn both(truth: &Truth) -> anyhow::Result<[Self; 2]> {
        let missing = || format!("{} is a pair without its things", truth.record.image.display());
        let details = &truth.record.details;
        let name = |index: usize| {
            let names = details.get("things")?.get(index)?;
            names.get(0)?.as_str().map(str::to_string)
        };
        let part = |key: &str| details.get("pair")?.get(key)?.as_str().map(str::to_string);
        let (first, second) =
            (part("first").with_context(missing)?, part("second").with_context(missing)?);
        let forward = part("relation").with_context(missing)? == truth.text("relation");
        let [first, second] = if forward { [first, second] } else { [second, first] };
        let thing = |index: usize, concept: String| -> anyhow::Result<Self> {
            Ok(Self { name: name(index).with_context(missing)?, concept })
        };
        Ok([thing(0, first)?, thing(1, second)?])
    }
}
