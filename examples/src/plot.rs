//! Curves: the metrics of a run, and the results of experiments; one panel a column.

use std::ops::Range;
use std::path::Path;

use anyhow::Context;
use hart_core::write_atomically;
use plotters::prelude::*;

/// Width and height of a panel.
const PANEL: [u32; 2] = [360, 200];
/// Panels a row.
const COLUMNS: usize = 3;
/// The most points of a curve that are marked.
const MARKED: usize = 20;
const LINE: RGBColor = RGBColor(30, 100, 200);

/// A column: its name, and its values by the step or the setting.
pub(crate) struct Curve {
    pub(crate) name: String,
    pub(crate) points: Vec<(f64, f64)>,
}

/// Draws every column of `metrics.csv` in a run's folder, as `metrics.svg` beside it.
///
/// # Errors
/// When the one cannot be read or the other cannot be written.
pub(crate) fn draw_metrics(folder: &Path) -> anyhow::Result<()> {
    draw_curves(&folder.join("metrics.svg"), &read(&folder.join("metrics.csv"))?, None)
}

/// Draws curves as an SVG file, a panel each, with marks where their points are few; `axis` is what
/// they are drawn over, if it is to be said.
///
/// # Errors
/// When the file cannot be written.
pub(crate) fn draw_curves(path: &Path, curves: &[Curve], axis: Option<&str>) -> anyhow::Result<()> {
    let rows = curves.len().div_ceil(COLUMNS).max(1);
    let size = (PANEL[0] * COLUMNS as u32, PANEL[1] * rows as u32);
    let mut svg = String::new();
    let sheet = SVGBackend::with_string(&mut svg, size).into_drawing_area();
    sheet.fill(&WHITE)?;
    for (curve, panel) in curves.iter().zip(sheet.split_evenly((rows, COLUMNS))) {
        draw(curve, &panel, axis).with_context(|| format!("cannot draw `{}`", curve.name))?;
    }
    sheet.present()?;
    drop(sheet);
    Ok(write_atomically(path, svg.as_bytes())?)
}

fn read(path: &Path) -> anyhow::Result<Vec<Curve>> {
    let mut reader = csv::Reader::from_path(path)?;
    let names: Vec<String> = reader.headers()?.iter().skip(1).map(str::to_string).collect();
    let mut curves: Vec<Curve> =
        names.into_iter().map(|name| Curve { name, points: vec![] }).collect();
    for row in reader.records() {
        let row = row?;
        let number = |index: usize| row.get(index).and_then(|field| field.parse::<f64>().ok());
        let Some(step) = number(0) else { continue };
        for (index, curve) in curves.iter_mut().enumerate() {
            let value = number(index + 1).filter(|value| value.is_finite());
            curve.points.extend(value.map(|value| (step, value)));
        }
    }
    Ok(curves)
}

fn draw(
    curve: &Curve,
    panel: &DrawingArea<SVGBackend<'_>, plotters::coord::Shift>,
    axis: Option<&str>,
) -> anyhow::Result<()> {
    let Some((_, last)) = curve.points.last() else { return Ok(()) };
    let caption = match axis {
        Some(axis) => format!("{} by {axis}", curve.name),
        None => format!("{}: {last:.4}", curve.name),
    };
    let steps = range(curve.points.iter().map(|(step, _)| *step));
    let values = range(curve.points.iter().map(|(_, value)| *value));
    let mut chart = ChartBuilder::on(panel)
        .caption(caption, ("sans-serif", 14))
        .margin(8)
        .x_label_area_size(20)
        .y_label_area_size(52)
        .build_cartesian_2d(steps, values)?;
    chart.configure_mesh().x_labels(4).y_labels(4).disable_mesh().draw()?;
    let line = LineSeries::new(curve.points.iter().copied(), &LINE);
    chart.draw_series(if curve.points.len() <= MARKED { line.point_size(3) } else { line })?;
    Ok(())
}

/// From the smallest value to the largest, never empty.
fn range(values: impl Iterator<Item = f64> + Clone) -> Range<f64> {
    let low = values.clone().fold(f64::INFINITY, f64::min);
    let high = values.fold(f64::NEG_INFINITY, f64::max);
    if high > low { low..high } else { low - 0.5..high + 0.5 }
}
