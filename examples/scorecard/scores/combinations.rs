//! Combinations that were never trained: backgrounds, and scenes of two figures.

use std::collections::BTreeMap;

use anyhow::Context;
use hart_core::HartBackend;
use hart_examples::gallery::Gallery;
use hart_examples::scene::{Colour, Scene, Verdict};
use image::RgbImage;
use serde_json::json;

use super::{Scores, Truth, images};
use crate::painter::spread;
use crate::table::{Score, Table};
use crate::tokenizer::reconstruct;

/// A part of a verdict.
type Question = fn(&Verdict) -> bool;

impl<B: HartBackend> Scores<'_, B> {
    /// Objects on backgrounds they never had in training; returns the images.
    pub(super) fn backgrounds(&self, table: &mut Table) -> anyhow::Result<Vec<RgbImage>> {
        let all = &self.heldout_background;
        let chosen: Vec<&Truth> =
            spread(all.len(), self.most / 2).into_iter().map(|i| &all[i]).collect();
        let captions: Vec<String> = chosen.iter().map(|t| t.record.captions[0].clone()).collect();
        let painted = self.painter.paint("heldout-background", &captions)?;
        // Looked up among all objects on that background.
        let galleries: BTreeMap<&str, _> =
            Colour::ALL.iter().map(|colour| (colour.name(), self.gallery_on(*colour))).collect();
        let (mut colours, mut concepts, mut both) = (0, 0, 0);
        for (truth, image) in chosen.iter().zip(&painted) {
            let background = truth.text("background");
            let colour = Scene::background_of(image).name() == background;
            let gallery = galleries.get(background).context("a background without a name")?;
            let nearest = gallery.nearest(image, 1);
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

    /// How close images of combinations that were never trained come to trained images.
    pub(super) fn copying(&self, painted: &[RgbImage], table: &mut Table) -> anyhow::Result<()> {
        let gallery = Gallery::new(self.train.iter().map(|truth| ((), truth.image.clone())));
        let nearest = gallery.all_nearest(painted, 1);
        let pixels = 16.0 * 16.0 * 3.0;
        let mut distances: Vec<f64> =
            nearest.iter().map(|n| f64::from(n[0].1 / pixels).sqrt()).collect();
        distances.sort_by(f64::total_cmp);
        let at = |share: f64| distances[((distances.len() - 1) as f64 * share) as usize];
        let name = "copying: median distance of new combinations to trained images";
        table.add(Score::new(name, at(0.5), painted.len()));
        let histogram = json!({ "least": at(0.0), "tenth": at(0.1), "quarter": at(0.25),
                                "half": at(0.5), "three_quarters": at(0.75), "most": at(1.0) });
        table.detail("copying_root_mean_square_distance", histogram);
        Ok(())
    }

    /// Scenes of withheld combinations, judged, also with shuffled captions.
    pub(super) fn scenes(&self, table: &mut Table) -> anyhow::Result<()> {
        let all = &self.heldout_scenes;
        let mut scenes: Vec<Scene> = vec![];
        for truth in all {
            let scene = truth.record.details.get("scene").context("a scene without its truth")?;
            scenes.push(serde_json::from_value(scene.clone())?);
        }
        let captions: Vec<String> = all.iter().map(|t| t.record.captions[0].clone()).collect();
        let painted = self.painter.paint("heldout-scenes", &captions)?;
        let judge = |images: &[RgbImage], shift: usize| -> Vec<Verdict> {
            let count = scenes.len();
            (0..count).map(|i| scenes[(i + shift) % count].judge(&images[i])).collect()
        };
        let truth = reconstruct(self.painter.pipeline, &images(all.iter()))?;
        let (found, ceiling) = (judge(&painted, 0), judge(&truth, 0));
        // Every image against the next scene: the score of a model that ignores captions.
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
}
