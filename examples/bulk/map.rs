//! What a run covers, as a picture: a cell for each pair of labels, the darker the more pictures have both.

use std::collections::BTreeMap;

use hart_pipeline::bulk::Coverage;
use plotters::prelude::*;
use plotters::style::text_anchor::{HPos, Pos, VPos};

/// Side of a cell, and room for the names of labels, in pixels.
const CELL: i32 = 16;
const NAMES: i32 = 190;
/// A pair that excludes each other, and one that should come and does not.
const EXCLUDED: RGBColor = RGBColor(215, 215, 215);
const MISSING: RGBColor = RGBColor(220, 40, 40);

/// The picture, as SVG.
pub(crate) fn draw(coverage: &Coverage) -> anyhow::Result<Vec<u8>> {
    let count = coverage.labels.len() as i32;
    let side = (NAMES + CELL * count.max(1) + CELL) as u32;
    let mut svg = String::new();
    let sheet = SVGBackend::with_string(&mut svg, (side, side)).into_drawing_area();
    sheet.fill(&WHITE)?;
    let keys = coverage.labels.iter().map(|label| (label.name.as_str(), label.label.as_str()));
    let places: BTreeMap<(&str, &str), i32> = keys.zip(0..).collect();
    for label in &coverage.labels {
        let place = places[&(label.name.as_str(), label.label.as_str())];
        name(&sheet, &format!("{}: {}", label.name, label.label), place)?;
    }
    let most = coverage.pairs.iter().map(|pair| pair.drawn).max().unwrap_or(0).max(1) as f64;
    for pair in &coverage.pairs {
        let [one, other] = [0, 1].map(|i| places.get(&(&*pair.names[i], &*pair.labels[i])));
        let (Some(&one), Some(&other)) = (one, other) else { continue };
        let colour = match (pair.wanted, pair.drawn) {
            (Some(0.0), _) => EXCLUDED,
            (_, 0) => MISSING,
            (_, drawn) => shade((drawn as f64 / most).sqrt()),
        };
        for (column, row) in [(one, other), (other, one)] {
            let corner = [column, row].map(|place| NAMES + CELL * place);
            let cell = [(corner[0], corner[1]), (corner[0] + CELL - 1, corner[1] + CELL - 1)];
            sheet.draw(&Rectangle::new(cell, colour.filled()))?;
        }
    }
    sheet.present()?;
    drop(sheet);
    Ok(svg.into_bytes())
}

/// From nearly white to dark blue.
fn shade(share: f64) -> RGBColor {
    let between = |low: f64, high: f64| (low + (high - low) * share).round() as u8;
    RGBColor(between(235.0, 10.0), between(242.0, 50.0), between(252.0, 120.0))
}

/// The name of a label before its row and above its column.
fn name(
    sheet: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    text: &str,
    place: i32,
) -> anyhow::Result<()> {
    let middle = NAMES + CELL * place + CELL / 2;
    let style = TextStyle::from(("sans-serif", 11).into_font());
    let row = style.pos(Pos::new(HPos::Right, VPos::Center));
    sheet.draw(&Text::new(text, (NAMES - 6, middle), &row))?;
    let column = row.pos(Pos::new(HPos::Left, VPos::Center)).transform(FontTransform::Rotate270);
    sheet.draw(&Text::new(text, (middle, NAMES - 6), &column))?;
    Ok(())
}
