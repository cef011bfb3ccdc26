//! The rotary positions of visual tokens (section 4.2).

use hart_core::Grid;
use hart_core::nn::frequencies;

/// The base of the rotary frequencies.
const BASE: f64 = 10_000.0;

/// How far the positions of a latent reach along its rows and columns: as far as it has cells, but
/// never farther than the model was trained with.
///
/// A latent that is longer than the trained one keeps its shape and is drawn together, so that no
/// angle is one that the model has never seen (experimental, as rectangles are).
pub fn extent(latent: Grid, trained: Grid) -> [f32; 2] {
    let [rows, columns] = [latent.rows as f32, latent.columns as f32];
    if latent.longest() <= trained.longest() {
        return [rows, columns];
    }
    let factor = trained.longest() as f32 / latent.longest() as f32;
    [rows * factor, columns * factor]
}

/// The angles of the visual tokens of one scale, `[tokens, head width]` row by row, for the tokens
/// at `positions` (row-major indices in the scale's `grid`): for each coordinate d/4 frequencies
/// `base^(-4i/d)`, their angles repeated twice, the block of the row before that of the column.
/// `extent` is that of the latent ([`extent`]), `offset` the position of the last context token.
///
/// Since the rotation pairs entry i with entry i + d/2, it mixes row and column angles and is not
/// an orthogonal rotation; that is how the released weights were trained (section 4.2).
pub fn visual_angles(
    positions: &[usize],
    grid: Grid,
    extent: [f32; 2],
    offset: i64,
    head_width: usize,
) -> Vec<f32> {
    let axis = |cells, extent| axis_angles(cells, extent, offset, head_width);
    let axes = [axis(grid.rows, extent[0]), axis(grid.columns, extent[1])];
    let half = head_width / 4 * 2;
    let mut angles = Vec::with_capacity(positions.len() * head_width);
    for &position in positions {
        for (axis, cell) in axes.iter().zip(grid.place(position)) {
            angles.extend_from_slice(&axis[cell * half..][..half]);
        }
    }
    angles
}

/// The angles of every row (or column) of a scale with `cells` of them, the half of [`visual_angles`] that
/// all its tokens share: `[cells, head width / 2]` row by row.
pub fn axis_angles(cells: usize, extent: f32, offset: i64, head_width: usize) -> Vec<f32> {
    let frequencies = frequencies(head_width / 4, BASE);
    let mut angles = Vec::with_capacity(cells * (head_width / 4 * 2));
    for position in visual_positions(cells, extent) {
        let coordinate = position + offset as f32;
        for _ in 0..2 {
            angles.extend(frequencies.iter().map(|frequency| coordinate * frequency));
        }
    }
    angles
}

/// The coordinate of every row (or column) of a scale with `cells` of them, where those of the
/// latent reach to `extent`: divided before multiplied, in single precision, as the reference does.
pub fn visual_positions(cells: usize, extent: f32) -> Vec<f32> {
    (0..cells).map(|cell| cell as f32 / cells as f32 * extent).collect()
}

#[cfg(test)]
mod tests {
    use super::{Grid, extent, visual_positions};

    #[test]
    fn no_position_is_outside_the_trained_range() {
        let trained = Grid::square(64);
        assert_eq!(extent(trained, trained), [64.0, 64.0]);
        assert_eq!(extent(Grid::new(32, 64), trained), [32.0, 64.0]);
        let [rows, columns] = extent(Grid::new(40, 100), trained);
        assert!((rows - 25.6).abs() < 1e-5 && (columns - 64.0).abs() < 1e-5, "{rows} {columns}");
        assert!(visual_positions(100, columns).iter().all(|&position| position < 64.0));
    }
}
