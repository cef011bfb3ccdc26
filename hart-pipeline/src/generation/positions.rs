//! Which cells of a scale are computed, and where their tokens go.

use burn::tensor::{Tensor, backend::Backend};
use hart_ar::mask_passes::{Pass, mask_passes};
use hart_core::ops::{are_all, pick_rows};
use hart_core::{Error, HartBackend, Result};

use super::{Around, Run};

impl<B: HartBackend> Run<'_, B> {
    /// For each image the positions of a scale that are computed, increasing.
    pub(super) fn positions(
        &self,
        scale: usize,
        around: &mut Around<'_, '_, B>,
    ) -> Result<Vec<Vec<usize>>> {
        let tokens = self.scales().tokens(scale);
        let mut chosen = vec![];
        for image in 0..self.batch {
            let asked = around.hook.positions(scale, image);
            chosen.push(asked.unwrap_or_else(|| (0..tokens).collect()));
        }
        let increasing = |cells: &[usize]| cells.windows(2).all(|pair| pair[0] < pair[1]);
        let fits = |cells: &Vec<usize>| {
            cells.len() == chosen[0].len()
                && increasing(cells)
                && cells.last().is_some_and(|&last| last < tokens)
        };
        if chosen.iter().all(fits) {
            return Ok(chosen);
        }
        let what = format!("the positions of scale {scale}");
        let found: Vec<usize> = chosen.iter().map(Vec::len).collect();
        let expected = format!(
            "increasing positions below {tokens}, the same number (1 or more) for all images"
        );
        Err(Error::invalid(what, format!("lists of lengths {found:?}"), expected))
    }

    /// The positions of each masked pass over the last scale.
    pub(super) fn passes(&self, around: &mut Around<'_, '_, B>) -> Result<Vec<Pass>> {
        let last = self.scales().last();
        let positions = self.positions(last, around)?;
        if self.settings.mask_passes == 1 {
            return Ok(vec![Pass { positions }]);
        }
        let tokens = self.scales().tokens(last);
        let order = |(image, positions): (usize, &Vec<usize>)| {
            let order = around.draws.order(image, tokens).into_iter();
            order.filter(|position| positions.binary_search(position).is_ok()).collect()
        };
        let orders: Vec<Vec<usize>> = positions.iter().enumerate().map(order).collect();
        Ok(mask_passes(&orders, self.settings.mask_passes))
    }
}

/// The tokens `[batch, computed, Z]` put at the positions of each image among `count`; zeros where
/// none was computed.
pub(super) fn scatter<B: Backend>(
    tokens: Tensor<B, 3>,
    positions: &[Vec<usize>],
    count: usize,
) -> Tensor<B, 3> {
    if are_all(positions, count) {
        return tokens;
    }
    let [batch, computed, channels] = tokens.dims();
    // One row of zeros behind those that were computed serves all others.
    let zeros = Tensor::zeros([batch, 1, channels], &tokens.device());
    let places = positions.iter().map(|cells| {
        let mut places = vec![computed; count];
        cells.iter().enumerate().for_each(|(place, &position)| places[position] = place);
        places
    });
    pick_rows(Tensor::cat(vec![tokens, zeros], 1), &places.collect::<Vec<_>>())
}
