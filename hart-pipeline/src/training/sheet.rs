//! Images of an evaluation on one sheet.

use std::path::Path;

use hart_core::{Error, Grid, Result};

use crate::image::{Pixels, tile};

/// Writes images of one size, planes `[3, height, width]` in [0, 1] one behind the other, as one
/// PNG file with `columns` of them a row, on white.
pub(super) fn save_sheet(path: &Path, images: &[f32], size: Grid, columns: usize) -> Result<()> {
    let cells = size.cells();
    let byte = |value: f32| (value * 255.0).round() as u8;
    let pixels = |planes: &[f32]| {
        let pixel = |place: usize| [0, 1, 2].map(|channel| byte(planes[channel * cells + place]));
        Pixels::new(size.columns, size.rows, (0..cells).flat_map(pixel).collect())
    };
    let images = images.chunks_exact(3 * cells).map(pixels).collect::<Result<Vec<Pixels>>>()?;
    let sheet = tile(&images.iter().collect::<Vec<_>>(), columns)?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    }
    sheet.save(path)
}
