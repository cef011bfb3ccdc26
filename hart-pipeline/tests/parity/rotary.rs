//! Rotary tables, of text and of visual tokens.

use hart_ar::rotary::{visual_angles, visual_positions};
use hart_core::nn::context_angles;
use hart_core::ops::Angles;
use hart_core::{Grid, HartBackend};
use libtest_mimic::Failed;

use crate::kinds::{ROTATED, ROTATION};
use crate::trace::Trace;

/// The base of the frequencies.
const BASE: f64 = 10_000.0;

pub(crate) fn compare<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    let full = full_extent(trace);
    let offset = full_offset(trace, full);
    for name in trace.names() {
        let parts: Vec<&str> = name.split('.').collect();
        match parts[..] {
            ["full", "coordinates", side] => {
                let found = visual_positions(side.parse()?, full as f32);
                let found: Vec<f64> = found.into_iter().map(f64::from).collect();
                trace.close_values(&ROTATION, &name, &found);
            }
            ["full", side, kind @ ("cos" | "sin")] => {
                let cells = trace.input(&format!("full.{side}.cells"))?.position_rows().concat();
                let offset = offset.ok_or("no recorded cell gives the offset")?;
                let width = trace.about(&name).and_then(|golden| golden.shape.last().copied());
                let (grid, extent) = (Grid::square(side.parse()?), [full as f32; 2]);
                let angles = visual_angles(&cells, grid, extent, offset, width.unwrap_or(0));
                close(trace, &name, &angles, kind);
            }
            ["context", width, kind @ ("cos" | "sin")] => {
                let positions = trace.input("context.positions")?.indices();
                let angles = context_angles(&positions, width.parse()?, BASE);
                close(trace, &name, &angles, kind);
            }
            ["visual", width, side, kind @ ("cos" | "sin")] => {
                close(trace, &name, &Layout::of(trace, side)?.angles(width.parse()?), kind);
            }
            ["visual", side, "coordinates"] => {
                trace.close_values(&ROTATION, &name, &Layout::of(trace, side)?.coordinates());
            }
            _ => {}
        }
    }
    rotated::<B>(trace, device)
}

/// The side of the latent of the full tables: the largest that was recorded.
fn full_extent(trace: &Trace) -> usize {
    let sides =
        trace.cases("full.coordinates.", "").into_iter().filter_map(|side| side.parse().ok());
    sides.max().unwrap_or(0)
}

/// The position that visual tokens of the full tables are counted from. It is not stored: the lowest
/// frequency of one recorded cell gives it, and all tables are computed with it.
fn full_offset(trace: &Trace, full: usize) -> Option<i64> {
    let side = trace.cases("full.", ".cells").into_iter().next()?;
    let table = |kind: &str| trace.about(&format!("full.{side}.{kind}"));
    let (cos, sin, cells) = (table("cos")?, table("sin")?, table("cells")?);
    let count: usize = side.parse().ok()?;
    let quarter = cos.shape.last()? / 4;
    let frequency = BASE.powf(-((quarter - 1) as f64) / quarter as f64);
    let angle = sin.values[quarter - 1].atan2(cos.values[quarter - 1]);
    let row = *cells.indices().first()? as usize / count;
    let found = angle / frequency - f64::from(visual_positions(count, full as f32)[row]);
    let offset = found.round();
    trace.check("the offset of the full tables is whole", (found - offset).abs() < 0.01);
    Some(offset as i64)
}

fn close(trace: &Trace, name: &str, angles: &[f32], kind: &str) {
    let f = if kind == "cos" { f32::cos } else { f32::sin };
    let found: Vec<f64> = angles.iter().map(|&angle| f64::from(f(angle))).collect();
    trace.close_values(&ROTATION, name, &found);
}

/// A whole map whose coordinates were recorded.
struct Layout {
    side: usize,
    /// How far the positions of the latent reach.
    extent: f32,
    /// For each row of the batch the position that visual tokens are counted from.
    offsets: Vec<i64>,
}

impl Layout {
    fn of(trace: &Trace, side: &str) -> Result<Self, Failed> {
        let positions = trace.input(&format!("visual.{side}.coordinates"))?;
        let side: usize = side.parse()?;
        let [_, tokens, _] = positions.shape[..] else {
            return Err("positions of another rank".into());
        };
        let images = positions.values.chunks_exact(tokens * 2);
        let offsets = images.map(|positions| positions[0] as i64).collect();
        // The step from one row of cells to the next is the latent's side over this one.
        let step = positions.values[2 * side] - positions.values[0];
        Ok(Self { side, extent: (step * side as f64).round() as f32, offsets })
    }

    fn angles(&self, width: usize) -> Vec<f32> {
        let grid = Grid::square(self.side);
        let cells: Vec<usize> = (0..grid.cells()).collect();
        let offsets = self.offsets.iter();
        let of = |&offset| visual_angles(&cells, grid, [self.extent; 2], offset, width);
        offsets.flat_map(of).collect()
    }

    /// Row and column of every cell of every image.
    fn coordinates(&self) -> Vec<f64> {
        let axis = visual_positions(self.side, self.extent);
        let mut coordinates = vec![];
        for &offset in &self.offsets {
            for cell in 0..self.side * self.side {
                for place in [cell / self.side, cell % self.side] {
                    coordinates.push(f64::from(axis[place] + offset as f32));
                }
            }
        }
        coordinates
    }
}

/// Queries and keys of a map under the rotation.
fn rotated<B: HartBackend>(trace: &Trace, device: &B::Device) -> Result<(), Failed> {
    for case in trace.cases("rotated.", ".output") {
        let (side, _) = case.split_once('.').ok_or("a rotation without a side")?;
        let layout = Layout::of(trace, side)?;
        let x = trace.input(&format!("rotated.{case}.input"))?.tensor::<B, 4>(device);
        let [batch, _, tokens, width] = x.dims();
        let angles = Angles::<B>::new(&layout.angles(width), [batch, tokens, width], device);
        let rotated = B::rotate(x, angles.cos, angles.sin);
        trace.close(&ROTATED, &format!("rotated.{case}.output"), rotated.to_data());
    }
    Ok(())
}
