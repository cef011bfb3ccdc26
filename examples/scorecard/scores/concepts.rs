//! Single things: by name, by synonym, in withheld styles, and the distance of all their images.

use std::collections::BTreeMap;

use anyhow::Context;
use hart_core::HartBackend;
use hart_examples::gallery::Gallery;
use image::RgbImage;
use serde_json::json;

use super::{FLAT, Label, REPEATED, ROUND, Scores, Truth, images, lookup};
use crate::finish::Finish;
use crate::frechet::Axes;
use crate::painter::spread;
use crate::table::{Score, Table};
use crate::tokenizer::reconstruct;

impl<B: HartBackend> Scores<'_, B> {
    /// Trained concepts by their names; returns the images.
    pub(super) fn concepts(&self, table: &mut Table) -> anyhow::Result<Vec<RgbImage>> {
        let gallery = self.gallery();
        let plain = self.plain();
        let chosen: Vec<&Truth> =
            spread(plain.len(), self.most).into_iter().map(|i| plain[i]).collect();
        let captions: Vec<String> = chosen.iter().map(|t| t.record.captions[0].clone()).collect();
        let painted = self.painter.paint("concepts", &captions)?;
        let truth = reconstruct(self.painter.pipeline, &images(chosen.iter().copied()))?;
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

    /// Trained concepts by their synonyms.
    pub(super) fn synonyms(&self, table: &mut Table) -> anyhow::Result<()> {
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
    pub(super) fn styles(&self, table: &mut Table) -> anyhow::Result<()> {
        let gallery = Gallery::new(self.heldout_style.iter().map(|t| (t.label(), t.image.clone())));
        let captions: Vec<String> =
            self.heldout_style.iter().map(|t| t.record.captions[0].clone()).collect();
        let labels: Vec<Label> = self.heldout_style.iter().map(Truth::label).collect();
        let painted = self.painter.paint("heldout-style", &captions)?;
        let count = painted.len();
        let found = lookup(&gallery, &painted, &labels);
        // The score of a model that copies the flat drawing.
        let plain = self.plain();
        let flat = |label: &Label| {
            let same = |t: &&&Truth| t.concept() == label.concept && t.text("style") == FLAT;
            plain.iter().find(same).map(|t| t.image.clone())
        };
        let copies: Option<Vec<RgbImage>> = labels.iter().map(flat).collect();
        let copies = copies.context("a withheld concept without its flat drawing")?;
        let copied = lookup(&gallery, &copies, &labels);
        let name = "withheld style: top-1 among the withheld";
        let score = Score::new(name, found[0], count).chance(1.0 / gallery.len() as f64);
        table.add(score.ceiling(copied[0]).target(0.7));

        let of = |style: &str| -> Vec<RgbImage> {
            images(plain.iter().filter(|t| t.text("style") == style).copied())
        };
        let finish = Finish::learn(&of(FLAT), &of(ROUND));
        let truth = finish.round_share(&images(self.heldout_style.iter()));
        let name = "withheld style: finished in 3D";
        let score = Score::new(name, finish.round_share(&painted), count).chance(0.5);
        table.add(score.ceiling(truth).target(0.7));
        let name = "withheld style: control, flat copies taken for 3D";
        table.add(Score::new(name, finish.round_share(&copies), count));
        Ok(())
    }

    /// Things that the model was taught later, among those and all others.
    pub(super) fn later(&self, table: &mut Table) -> anyhow::Result<()> {
        if self.new.is_empty() {
            return Ok(());
        }
        let entries = self.plain().into_iter().chain(&self.new);
        let gallery = Gallery::new(entries.map(|truth| (truth.label(), truth.image.clone())));
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

    /// The Fréchet distance between a model's images and the data set's.
    pub(super) fn clouds(&self, painted: &[RgbImage], table: &mut Table) -> anyhow::Result<()> {
        let truth = images(self.plain().into_iter());
        let again = reconstruct(self.painter.pipeline, &truth)?;
        let axes = Axes::learn(&truth);
        let half =
            |odd: usize| -> Vec<RgbImage> { truth.iter().skip(odd).step_by(2).cloned().collect() };
        let ceiling = axes.distance(&again, &truth);
        let name = "Fréchet distance to true images (64 axes of pixels)";
        let score = Score::new(name, axes.distance(painted, &truth), painted.len());
        table.add(score.ceiling(ceiling).target(1.5 * ceiling));
        let floor = axes.distance(&half(0), &half(1));
        table.detail("frechet_of_two_halves_of_the_truth", json!(floor));
        Ok(())
    }
}
