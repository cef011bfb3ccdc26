//! Cached token pruning (FastVAR, arXiv 2503.23367): at the finest scales only the tokens that differ most
//! from the rest go through the blocks; for the others the results of an earlier scale are taken.

use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::ops::{Angles, pick_rows};
use hart_core::{Grid, HartBackend};

/// Which tokens of a step go through the blocks.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Computed {
    /// All of them.
    #[default]
    All,
    /// All of them, and later steps may take the results of the blocks' parts for tokens of their own.
    AllKept,
    /// N tokens of each row in every part of every block, at least one: those that are furthest from the
    /// mean of the part's input. For the others the results of the last [`Computed::AllKept`] step are taken.
    Most(usize),
}

/// What both parts of every block gave at one scale, `[rows, tokens, C]` each before it is added.
#[derive(Debug)]
pub(crate) struct KeptResults<B: Backend> {
    pub(crate) grid: Grid,
    /// Those of attention and of feed-forward, block after block.
    pub(crate) parts: Vec<Tensor<B, 3>>,
}

impl<B: HartBackend> KeptResults<B> {
    /// The results of a block for the first `rows` rows, as those of another map.
    pub(crate) fn resized(&self, block: usize, rows: usize, to: Grid) -> [Tensor<B, 3>; 2] {
        let resized = |part: &Tensor<B, 3>| enlarge(part.clone().narrow(0, 0, rows), self.grid, to);
        [0, 1].map(|part| resized(&self.parts[2 * block + part]))
    }
}

/// For each row the `count` tokens of `[rows, tokens, C]` that are furthest from the mean of all,
/// increasing.
pub(crate) fn most_active<B: Backend>(x: &Tensor<B, 3>, count: usize) -> Vec<Vec<usize>> {
    let [_, tokens, _] = x.dims();
    let x = x.clone().cast(DType::F32);
    let apart = (x.clone() - x.mean_dim(1)).square().sum_dim(2);
    let apart: Vec<f32> = apart.into_data().into_vec().expect("values in 32 bits");
    let row = |apart: &[f32]| {
        let mut order: Vec<usize> = (0..tokens).collect();
        order.sort_by(|&a, &b| apart[b].total_cmp(&apart[a]));
        order.truncate(count.max(1));
        order.sort_unstable();
        order
    };
    apart.chunks_exact(tokens).map(row).collect()
}

/// `[rows, tokens, C]` with other values `[rows, picked, C]` at the places of each row.
pub(crate) fn put_rows<B: Backend>(
    all: Tensor<B, 3>,
    values: Tensor<B, 3>,
    places: &[Vec<usize>],
) -> Tensor<B, 3> {
    let [_, tokens, _] = all.dims();
    let sources = places.iter().map(|places| {
        let mut sources: Vec<usize> = (0..tokens).collect();
        let values = places.iter().enumerate();
        values.for_each(|(value, &place)| sources[place] = tokens + value);
        sources
    });
    let sources: Vec<Vec<usize>> = sources.collect();
    pick_rows(Tensor::cat(vec![all, values], 1), &sources)
}

/// The angles of the places of each row.
pub(crate) fn pick_angles<B: Backend>(angles: &Angles<B>, places: &[Vec<usize>]) -> Angles<B> {
    let picked = |part: &Tensor<B, 4>| {
        let [rows, _, tokens, width] = part.dims();
        let part = part.clone().reshape([rows, tokens, width]);
        let part = if rows == 1 { part.repeat_dim(0, places.len()) } else { part };
        pick_rows(part, places).reshape([places.len(), 1, places[0].len(), width])
    };
    Angles { cos: picked(&angles.cos), sin: picked(&angles.sin) }
}

/// A map `[rows, tokens, C]` on a grid that has at least as many rows and columns: every cell is the mean of the
/// cells that it covers, of which there are at most two along each axis.
fn enlarge<B: Backend>(map: Tensor<B, 3>, from: Grid, to: Grid) -> Tensor<B, 3> {
    let images = map.dims()[0];
    let corner = |lower: bool, right: bool| {
        let cell = |i: usize| {
            let row = covered(i / to.columns, to.rows, from.rows)[usize::from(lower)];
            let column = covered(i % to.columns, to.columns, from.columns)[usize::from(right)];
            row * from.columns + column
        };
        let cells: Vec<usize> = (0..to.cells()).map(cell).collect();
        pick_rows(map.clone(), &vec![cells; images])
    };
    let upper = corner(false, false) + corner(false, true);
    let lower = corner(true, false) + corner(true, true);
    (upper + lower) * 0.25
}

/// The first and the last of `from` places that place `i` of `to` covers.
fn covered(i: usize, to: usize, from: usize) -> [usize; 2] {
    [i * from / to, ((i + 1) * from).div_ceil(to) - 1]
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, TensorData};
    use hart_core::Grid;

    use super::{covered, enlarge, most_active, put_rows};

    fn rows(values: &[f32], shape: [usize; 3]) -> Tensor<Flex, 3> {
        Tensor::from_data(TensorData::new(values.to_vec(), shape), &Default::default())
    }

    fn values(tensor: Tensor<Flex, 3>) -> Vec<f32> {
        tensor.into_data().into_vec().expect("floats")
    }

    #[test]
    fn the_tokens_that_differ_most_are_found_for_each_row() {
        // Means 2 and 0.
        let x = rows(&[1.0, 2.0, 3.0, 2.0, 4.0, -4.0, 1.0, -1.0], [2, 4, 1]);
        assert_eq!(most_active(&x, 2), [[0, 2], [0, 1]]);
        assert_eq!(most_active(&x, 3), [[0, 1, 2], [0, 1, 2]], "the first on a tie");
        assert_eq!(most_active(&x, 0), [[0], [0]]);
    }

    #[test]
    fn values_are_put_at_the_places_of_their_rows() {
        let all = rows(&[0.0; 6], [2, 3, 1]);
        let put = put_rows(all, rows(&[1.0, 2.0, 3.0, 4.0], [2, 2, 1]), &[vec![0, 2], vec![1, 2]]);
        assert_eq!(values(put), [1.0, 0.0, 2.0, 0.0, 3.0, 4.0]);
    }

    #[test]
    fn maps_are_enlarged_by_the_mean_of_what_a_cell_covers() {
        let places: Vec<[usize; 2]> = (0..4).map(|i| covered(i, 4, 3)).collect();
        assert_eq!(places, [[0, 0], [0, 1], [1, 2], [2, 2]]);
        let map = rows(&[0.0, 3.0, 9.0], [1, 3, 1]);
        let wide = enlarge(map.clone(), Grid::new(1, 3), Grid::new(1, 4));
        assert_eq!(values(wide), [0.0, 1.5, 6.0, 9.0]);
        let doubled = enlarge(map, Grid::new(1, 3), Grid::new(2, 6));
        assert_eq!(values(doubled), [0.0, 0.0, 3.0, 3.0, 9.0, 9.0].repeat(2));
    }
}
