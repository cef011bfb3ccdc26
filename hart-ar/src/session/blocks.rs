//! All blocks in one step, and which tokens they leave out.

use std::ops::Range;

use burn::tensor::Tensor;
use hart_core::ops::Angles;
use hart_core::tap::{Prefixed, Tap};
use hart_core::{Error, Grid, HartBackend, Result};

use super::{Halves, ScaleStep, Session};
use crate::block::BlockStep;
use crate::cache::{Keep, LayerCache};
use crate::pruning::{Computed, KeptResults};

/// What blocks do in one step.
pub(super) struct Work {
    pub(super) halves: Range<usize>,
    pub(super) keep: Keep,
    pub(super) pruned: Pruned,
}

/// Which tokens blocks leave out.
#[derive(Clone, Copy)]
pub(super) enum Pruned {
    No,
    /// None, and their results are kept.
    Kept {
        grid: Grid,
    },
    /// All but the most active ones.
    To {
        count: usize,
        grid: Grid,
    },
}

impl<B: HartBackend> Session<'_, B> {
    /// Brings the caches into the form in which these halves attend best.
    pub(super) fn arrange_caches(&mut self, halves: Halves) {
        let together = B::ATTENDS_TOGETHER && halves == Halves::Both;
        for caches in &mut self.caches {
            if together && caches.len() > 1 {
                *caches = match LayerCache::join(std::mem::take(caches)) {
                    Ok(joined) => vec![joined],
                    Err(apart) => apart,
                };
            }
            let is_joined = caches.len() == 1;
            if is_joined && self.halves == Halves::Both && halves == Halves::Conditional {
                caches[0].keep_rows(self.batch);
            }
        }
    }

    /// What a step leaves out of the blocks.
    pub(super) fn pruned(&self, step: &ScaleStep<'_>) -> Result<Pruned> {
        let grid = self.transformer.scales().grid(step.scale);
        let count = match step.computed {
            Computed::All => return Ok(Pruned::No),
            Computed::AllKept => return Ok(Pruned::Kept { grid }),
            Computed::Most(count) => count,
        };
        let fits = |kept: &KeptResults<B>| {
            let rows = kept.parts.first().map_or(0, |part| part.dims()[0]);
            kept.grid.rows <= grid.rows
                && kept.grid.columns <= grid.columns
                && rows >= step.halves.count() * self.batch
        };
        let is_whole = step.positions.iter().all(|cells| cells.len() == grid.cells());
        if is_whole && self.results.as_ref().is_some_and(fits) {
            return Ok(Pruned::To { count: count.min(grid.cells()), grid });
        }
        let what = format!("the tokens that are computed at scale {}", step.scale);
        let expected = "all of them: a part needs a whole scale, and an earlier one that was kept";
        Err(Error::invalid(what, count, expected))
    }

    /// All blocks on the rows of some halves of guidance.
    pub(super) fn blocks(
        &mut self,
        mut x: Tensor<B, 3>,
        angles: &Angles<B>,
        work: Work,
        tap: &mut dyn Tap,
    ) -> Tensor<B, 3> {
        tap.record("input", &|| x.to_data());
        let Work { halves, keep, pruned } = work;
        let (first, rows) = (halves.start * self.batch, halves.len() * self.batch);
        let mut kept = vec![];
        let layers = self.transformer.blocks.iter().zip(&self.modulations).zip(&mut self.caches);
        for (i, ((block, modulation), caches)) in layers.enumerate() {
            let mut tap = Prefixed { prefix: format!("block.{i}."), tap: &mut *tap };
            let modulation = modulation.as_ref().map(|values| values.rows(first, rows));
            // One cache holds all rows that are left, or each half has its own.
            let caches = match &mut caches[..] {
                [joined] => std::slice::from_mut(joined),
                apart => &mut apart[halves.clone()],
            };
            let modulation = modulation.as_ref();
            let step = BlockStep { modulation, angles, caches, keep };
            x = match (pruned, &self.results) {
                (Pruned::To { count, grid }, Some(results)) => {
                    block.forward_pruned(x, step, count, results.resized(i, rows, grid))
                }
                (Pruned::Kept { .. }, _) => {
                    block.forward_with(x, step, &mut |part| kept.push(part.clone()), &mut tap)
                }
                _ => block.forward(x, step, &mut tap),
            };
        }
        if let Pruned::Kept { grid } = pruned {
            self.results = Some(KeptResults { grid, parts: kept });
        }
        tap.record("hidden", &|| x.to_data());
        x
    }
}
