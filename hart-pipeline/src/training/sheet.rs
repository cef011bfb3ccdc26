//! Images of an evaluation on one sheet.

use std::path::Path;

use hart_core::{Error, Grid, Result};

use crate::image::Pixels;

/// Writes images of one size, planes `[3, height, width]` in [0, 1] one behind the other, as one
/// PNG file with `columns` of them a row, on white.
pub(super) fn save_sheet(path: &Path, images: &[f32], size: Grid, columns: usize) -> Result<()> {
    let cells = size.cells();
    let count = images.len() / (3 * cells);
    let (width, height) = (columns * size.columns, count.div_ceil(columns) * size.rows);
    let pixel = |at: usize| {
        let (x, y) = (at % width, at / width);
        let index = y / size.rows * columns + x / size.columns;
        let place = y % size.rows * size.columns + x % size.columns;
        let value = |channel: usize| images[(index * 3 + channel) * cells + place];
        let byte = |channel: usize| (value(channel) * 255.0).round() as u8;
        if index < count { [0, 1, 2].map(byte) } else { [255; 3] }
    };
    let sheet = Pixels::new(width, height, (0..width * height).flat_map(pixel).collect())?;
    if let Some(folder) = path.parent() {
        std::fs::create_dir_all(folder).map_err(|error| Error::io(folder, error))?;
    }
    sheet.save(path)
}
