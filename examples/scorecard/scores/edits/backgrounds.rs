//! Things on white get another background by their prompt.

use hart_core::HartBackend;
use hart_examples::gallery::Gallery;
use hart_examples::scene::{Colour, Scene};
use hart_pipeline::Pixels;

use super::Change;
use crate::scores::{Label, Scores};
use crate::table::{Score, Table};

impl<B: HartBackend> Scores<'_, B> {
    /// Whether the thing is still recognised, and on the new colour.
    pub(super) fn changed_backgrounds(&self, table: &mut Table) -> anyhow::Result<()> {
        let things = self.edited_things();
        let colours = Colour::ALL.into_iter().filter(|colour| *colour != Colour::White);
        let grounds: Vec<(Colour, Gallery<Label>)> =
            colours.map(|colour| (colour, self.gallery_on(colour))).collect();
        let ground = |index: usize| &grounds[index % grounds.len()];
        let chance = 3.0 / self.plain().len() as f64;
        for change in Change::ALL {
            let sheet = change.sheet("edit-backgrounds");
            let images = self.edit_each(&sheet, &things, |index, truth| {
                let from = &truth.record.captions[0];
                let to = format!("{from}, on {} background", ground(index).0.with_article());
                Ok(change.edit(Pixels::try_from(truth.image.clone())?, from, &to))
            })?;
            let (mut kept, mut coloured) = (0, 0);
            for (index, (truth, image)) in things.iter().zip(&images).enumerate() {
                let (colour, gallery) = ground(index);
                let nearest = gallery.nearest(image, 1);
                let is_same = |(label, _): &(&Label, f32)| label.concept == truth.concept();
                kept += usize::from(nearest.first().is_some_and(is_same));
                coloured += usize::from(Scene::background_of(image) == *colour);
            }
            let score = |name: &str, count: usize| {
                let share = count as f64 / things.len() as f64;
                let name = format!("edits: background changed by {change}: {name}");
                Score::new(name, share, things.len())
            };
            let kept = score("concept top-1", kept).chance(chance).ceiling(1.0);
            table.add(kept.target(0.85));
            table.add(score("its colour", coloured).chance(0.1).ceiling(1.0).target(0.9));
        }
        Ok(())
    }
}
