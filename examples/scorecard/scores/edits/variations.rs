//! The stronger a variation, the further from its source.

use hart_core::HartBackend;
use hart_pipeline::Pixels;
use hart_pipeline::edit::Edit;

use super::difference;
use crate::scores::Scores;
use crate::table::{Score, Table};

/// Strengths in sixths: with six scales, each is one scale more.
const SIXTHS: u32 = 6;

impl<B: HartBackend> Scores<'_, B> {
    /// Variations of things at every strength.
    pub(super) fn variations(&self, table: &mut Table) -> anyhow::Result<()> {
        let things = self.edited_things();
        let side = self.painter.side()?;
        let mut distances = vec![];
        for sixths in 0..=SIXTHS {
            let strength = f64::from(sixths) / f64::from(SIXTHS);
            let sheet = format!("edit-variations-{sixths}");
            let images = self.edit_each(&sheet, &things, |_, truth| {
                let edit = Edit::variation(Pixels::try_from(truth.image.clone())?, strength);
                Ok(edit.prompt(&truth.record.captions[0]))
            })?;
            let pairs = things.iter().zip(&images);
            let apart =
                pairs.map(|(truth, image)| difference(&truth.image, image, [0, 0, side, side]));
            let distance = apart.sum::<f64>() / things.len() as f64;
            let name =
                format!("edits: variation of strength {strength:.2}, of 255 from the source");
            table.add(Score::new(name, distance, things.len()));
            distances.push(distance);
        }
        let growing = distances.windows(2).filter(|pair| pair[0] < pair[1]).count();
        let name = "edits: steps of strength that lead further from the source";
        let share = growing as f64 / f64::from(SIXTHS);
        table.add(Score::new(name, share, things.len()).target(1.0));
        Ok(())
    }
}
