//! Edits of images of the data set, judged by the nearest images like everything else.

use anyhow::{Context, ensure};
use hart_core::HartBackend;
use hart_examples::Progress;
use hart_examples::images::{from_rgb, to_rgb};
use hart_examples::scene::{Colour, Scene};
use hart_pipeline::edit::{ChangeBy, Edit, Mask};
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, resize};
use serde_json::json;

use super::{Label, Scores, Truth};
use crate::painter::spread;
use crate::retrieval::Gallery;
use crate::table::{Score, Table};

/// Cases of each measurement.
const CASES: usize = 240;
/// Strengths of variations: with six scales, each is one scale more.
const STRENGTHS: [f64; 7] = [0.0, 1.0 / 6.0, 2.0 / 6.0, 3.0 / 6.0, 4.0 / 6.0, 5.0 / 6.0, 1.0];

/// Ways to change an image by its prompt, with their strengths.
const WAYS: [(&str, f64); 9] = [
    ("restyle", 0.5),
    ("restyle", 4.0 / 6.0),
    ("restyle", 5.0 / 6.0),
    ("noise", 0.5),
    ("noise", 5.0 / 6.0),
    ("noise", 1.0),
    ("contrast", 0.5),
    ("contrast", 5.0 / 6.0),
    ("contrast", 1.0),
];

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
}

/// How well a way to change one thing of a pair does.
#[derive(Default)]
struct Replaced {
    /// The new thing is recognised.
    new: usize,
    /// The other one still is.
    old: usize,
    /// Mean difference from the source in the other half, of 255, summed.
    apart: f64,
}

impl<B: HartBackend> Scores<'_, B> {
    /// What edits do.
    pub(super) fn edits(&self, table: &mut Table) -> anyhow::Result<()> {
        self.pairs(table)?;
        self.grounds(table)?;
        self.variations(table)
    }

    fn edited(&self, edit: &Edit) -> anyhow::Result<RgbImage> {
        to_rgb(self.painter.pipeline.edit(edit)?[0].pixels())
    }

    /// One thing of a pair is replaced: by inpainting, by its prompt, by restyling; beside pairs that are
    /// drawn from nothing.
    fn pairs(&self, table: &mut Table) -> anyhow::Result<()> {
        let pairs = self.white_pairs()?;
        let side = self.painter.side()?;
        let small = |truth: &Truth| {
            let image = resize(&truth.image, side / 2, side / 2, FilterType::Triangle);
            (truth.label(), image)
        };
        let gallery = Gallery::new(self.plain().into_iter().map(small));
        let shows = |image: RgbImage, concept: &str| {
            gallery.nearest(&image, 1).first().is_some_and(|(label, _)| label.concept == concept)
        };
        let judge = |pair: &Pair<'_>, image: &RgbImage, found: &mut Replaced| {
            found.new += usize::from(shows(pair.square(image, true), &pair.concepts[2]));
            found.old += usize::from(shows(pair.square(image, false), &pair.concepts[0]));
            let kept = pair.half(false, side);
            found.apart += difference(&pair.truth.image, image, kept);
        };
        let captions: Vec<String> = pairs.iter().map(|pair| pair.captions[1].clone()).collect();
        let mut drawn = Replaced::default();
        for (pair, image) in pairs.iter().zip(self.painter.paint("edit-pairs-drawn", &captions)?) {
            judge(pair, &image, &mut drawn);
        }
        let truth =
            |pair: &&Pair<'_>| shows(pair.square(&pair.truth.image, true), &pair.concepts[1]);
        let share = |count: usize| count as f64 / pairs.len() as f64;
        let ceiling = share(pairs.iter().filter(truth).count());

        let inpainted = self.replace("edit-inpainted", &pairs, judge, |pair, source| {
            let mut mask = Mask::empty(side as usize, side as usize);
            let [x, y, width, height] = pair.half(true, side).map(|length| length as usize);
            mask.mark(x, y, width, height);
            Ok(Edit::inpaint(source, mask).prompt(&pair.captions[1]))
        })?;
        ensure!(inpainted.apart == 0.0, "inpainting changed pixels outside of the mask");
        let chance = 3.0 / gallery.len() as f64;
        let row = |name: &str, found: f64| Score::new(format!("edits: {name}"), found, pairs.len());
        let both =
            |name: &str, count: usize| row(name, share(count)).chance(chance).ceiling(ceiling);
        table.add(both("pairs drawn from nothing: the second thing", drawn.new));
        let name = "one of a pair replaced by inpainting: the new thing";
        table.add(both(name, inpainted.new).target(share(drawn.new)));

        let mut ways = vec![];
        for (way, strength) in WAYS {
            let name = format!("edit-pairs-{way}-{:.0}", strength * 6.0);
            let found = self.replace(&name, &pairs, judge, |pair, source| {
                let [from, to] = &pair.captions;
                Ok(match way {
                    "restyle" => Edit::restyle(source, to, strength),
                    _ => changed(way, source, from, to).strength(strength),
                })
            })?;
            let (new, old) = (share(found.new), share(found.old));
            let apart = found.apart / pairs.len() as f64;
            let what = format!("one of a pair replaced by {way}, strength {strength:.2}");
            table.add(both(&format!("{what}: the new thing"), found.new));
            table.add(row(&format!("{what}: the other half, of 255 from the source"), apart));
            let found = json!({ "way": way, "strength": strength, "new": new, "old": old,
                                "apart": apart });
            ways.push(found);
        }
        table.detail("edits_of_pairs", json!(ways));
        Ok(())
    }

    /// Edits the pairs one after the other, and judges each.
    fn replace(
        &self,
        name: &str,
        pairs: &[Pair<'_>],
        judge: impl Fn(&Pair<'_>, &RgbImage, &mut Replaced),
        edit: impl Fn(&Pair<'_>, hart_pipeline::Pixels) -> anyhow::Result<Edit>,
    ) -> anyhow::Result<Replaced> {
        let progress = Progress::start();
        progress.line(&format!("{name}: {} images", pairs.len()));
        let (mut found, mut images) = (Replaced::default(), vec![]);
        for (seed, pair) in pairs.iter().enumerate() {
            let edit = edit(pair, from_rgb(pair.truth.image.clone())?)?.seed(seed as u64);
            let image = self.edited(&edit)?;
            judge(pair, &image, &mut found);
            images.push(image);
        }
        progress.finish();
        self.painter.sheet(name, &images)?;
        Ok(found)
    }

    /// Pairs of the data set on white.
    fn white_pairs(&self) -> anyhow::Result<Vec<Pair<'_>>> {
        let is_pair =
            |truth: &&Truth| truth.text("kind") == "pair" && truth.text("background") == "white";
        let all: Vec<&Truth> = self.train.iter().filter(is_pair).collect();
        let chosen: Vec<&Truth> = spread(all.len(), CASES).into_iter().map(|i| all[i]).collect();
        ensure!(!chosen.is_empty(), "the data set has no pairs of things on white");
        let things: Vec<[Named; 2]> =
            chosen.iter().map(|truth| named(truth)).collect::<anyhow::Result<_>>()?;
        let pair = |(index, truth): (usize, &&'_ Truth)| {
            let [first, second] = &things[index];
            // Any other thing will do: the second one of another pair.
            let other = |step: usize| &things[(index + step) % things.len()][1];
            let is_new = |named: &&Named| ![&first.1, &second.1].contains(&&named.1);
            let third = (1..things.len()).map(other).find(is_new).context("one thing alone")?;
            let (relation, style) = (truth.text("relation"), truth.text("style"));
            let caption =
                |named: &Named| format!("{} {relation} {}, {style} style", first.0, named.0);
            Ok((
                [caption(second), caption(third)],
                [first.1.clone(), second.1.clone(), third.1.clone()],
                relation == "left of",
            ))
        };
        let found: anyhow::Result<Vec<_>> = chosen.iter().enumerate().map(pair).collect();
        let pairs = chosen.iter().copied().zip(found?);
        Ok(pairs
            .map(|(truth, (captions, concepts, is_beside))| Pair {
                truth,
                captions,
                concepts,
                is_beside,
            })
            .collect())
    }

    /// Things on white get another background by their prompt.
    fn grounds(&self, table: &mut Table) -> anyhow::Result<()> {
        let plain = self.plain();
        let chosen: Vec<&Truth> =
            spread(plain.len(), CASES).into_iter().map(|i| plain[i]).collect();
        let colours: Vec<Colour> =
            Colour::ALL.into_iter().filter(|colour| *colour != Colour::White).collect();
        let galleries: Vec<Gallery<Label>> =
            colours.iter().map(|colour| self.gallery_on(*colour)).collect();
        let concept = 3.0 / plain.len() as f64;
        for (way, strength) in WAYS {
            let progress = Progress::start();
            let sheet = format!("edit-backgrounds-{way}-{:.0}", strength * 6.0);
            progress.line(&format!("{sheet}: {} images", chosen.len()));
            let (mut objects, mut grounds, mut images) = (0, 0, vec![]);
            for (index, truth) in chosen.iter().enumerate() {
                let (colour, gallery) =
                    (colours[index % colours.len()], &galleries[index % colours.len()]);
                let from = &truth.record.captions[0];
                let name = colour.name();
                let to = format!("{from}, on {} {name} background", article(name));
                let source = from_rgb(truth.image.clone())?;
                let edit = match way {
                    "restyle" => Edit::restyle(source, &to, strength),
                    _ => changed(way, source, from, &to).strength(strength),
                };
                let image = self.edited(&edit.seed(index as u64))?;
                let nearest = gallery.nearest(&image, 1);
                objects += usize::from(
                    nearest.first().is_some_and(|(label, _)| label.concept == truth.concept()),
                );
                grounds += usize::from(Scene::background_of(&image) == colour);
                images.push(image);
            }
            progress.finish();
            self.painter.sheet(&sheet, &images)?;
            let share = |count: usize| count as f64 / chosen.len() as f64;
            let score = |name: &str, count: usize| {
                let what = format!("background changed by {way}, strength {strength:.2}");
                Score::new(format!("edits: {what}: {name}"), share(count), chosen.len())
            };
            let objects = score("concept top-1", objects).chance(concept).ceiling(1.0);
            table.add(objects.target(0.85));
            table.add(score("its colour", grounds).chance(0.1).ceiling(1.0).target(0.9));
        }
        Ok(())
    }

    /// The stronger a variation, the further from its source.
    fn variations(&self, table: &mut Table) -> anyhow::Result<()> {
        let plain = self.plain();
        let chosen: Vec<&Truth> =
            spread(plain.len(), CASES).into_iter().map(|i| plain[i]).collect();
        let side = self.painter.side()?;
        let mut distances = vec![];
        for strength in STRENGTHS {
            let progress = Progress::start();
            progress.line(&format!("edit-variations {strength:.2}: {} images", chosen.len()));
            let (mut apart, mut images) = (0.0, vec![]);
            for (seed, truth) in chosen.iter().enumerate() {
                let source = from_rgb(truth.image.clone())?;
                let edit = Edit::variation(source, strength)
                    .prompt(&truth.record.captions[0])
                    .seed(seed as u64);
                let image = self.edited(&edit)?;
                apart += difference(&truth.image, &image, [0, 0, side, side]);
                images.push(image);
            }
            progress.finish();
            self.painter.sheet(&format!("edit-variations-{:.0}", strength * 6.0), &images)?;
            distances.push(apart / chosen.len() as f64);
        }
        for (strength, distance) in STRENGTHS.iter().zip(&distances) {
            let name =
                format!("edits: variation of strength {strength:.2}, of 255 from the source");
            table.add(Score::new(name, *distance, chosen.len()));
        }
        let growing = distances.windows(2).filter(|pair| pair[0] < pair[1]).count();
        let name = "edits: steps of strength that lead further from the source";
        let score = Score::new(name, growing as f64 / (STRENGTHS.len() - 1) as f64, chosen.len());
        table.add(score.target(1.0));
        Ok(())
    }
}

/// A thing as captions call it, and its concept.
type Named = (String, String);

/// The two things of a pair, the left or upper one first.
fn named(truth: &Truth) -> anyhow::Result<[Named; 2]> {
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
    let [a, b] = if forward { [first, second] } else { [second, first] };
    Ok([(name(0).with_context(missing)?, a), (name(1).with_context(missing)?, b)])
}

fn changed(way: &str, source: hart_pipeline::Pixels, from: &str, to: &str) -> Edit {
    let by = if way == "noise" { ChangeBy::Noise } else { ChangeBy::Contrast };
    Edit::change(source, from, to).by(by)
}

fn article(word: &str) -> &'static str {
    if word.starts_with(['a', 'e', 'i', 'o', 'u']) { "an" } else { "a" }
}

/// The mean difference of two images in a rectangle, of 255.
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
