//! Curves as a small picture: one panel a curve.

use std::path::Path;

use anyhow::Context;
use font8x8::UnicodeFonts;
use hart_core::write_atomically;
use image::{ImageFormat, Rgb, RgbImage};

const PANEL: [u32; 2] = [360, 180];
const MARGIN: u32 = 24;
const INK: Rgb<u8> = Rgb([40, 40, 40]);
const LINE: Rgb<u8> = Rgb([30, 100, 200]);
const FRAME: Rgb<u8> = Rgb([200, 200, 200]);

/// Draws every curve, points by increasing x, into a panel of its own with its name and its range.
///
/// # Errors
/// When the picture cannot be written.
pub fn plot(path: &Path, curves: &[(&str, Vec<(f64, f64)>)]) -> anyhow::Result<()> {
    let columns = (curves.len() as u32).clamp(1, 3);
    let rows = (curves.len() as u32).div_ceil(columns);
    let mut picture =
        RgbImage::from_pixel(columns * PANEL[0], rows.max(1) * PANEL[1], Rgb([255; 3]));
    for (i, (name, points)) in curves.iter().enumerate() {
        let corner = [i as u32 % columns * PANEL[0], i as u32 / columns * PANEL[1]];
        panel(&mut picture, corner, name, points);
    }
    let mut bytes = vec![];
    picture
        .write_to(&mut std::io::Cursor::new(&mut bytes), ImageFormat::Png)
        .context("cannot encode the plot")?;
    write_atomically(path, &bytes).context("cannot write the plot")
}

fn panel(picture: &mut RgbImage, corner: [u32; 2], name: &str, points: &[(f64, f64)]) {
    let (left, top) = (corner[0] + MARGIN / 2, corner[1] + MARGIN);
    let (width, height) = (PANEL[0] - MARGIN, PANEL[1] - 2 * MARGIN);
    for x in 0..=width {
        picture.put_pixel(left + x, top, FRAME);
        picture.put_pixel(left + x, top + height, FRAME);
    }
    for y in 0..=height {
        picture.put_pixel(left, top + y, FRAME);
        picture.put_pixel(left + width, top + y, FRAME);
    }
    write(picture, [left, corner[1] + 8], name);
    let (Some(first), Some(last)) = (points.first(), points.last()) else { return };
    let low = points.iter().fold(f64::INFINITY, |low, point| low.min(point.1));
    let high = points.iter().fold(f64::NEG_INFINITY, |high, point| high.max(point.1));
    let foot = format!("{low:.4} .. {high:.4}   last {:.4}   to {:.0}", last.1, last.0);
    write(picture, [left, top + height + 6], &foot);
    let x = |value: f64| scale(value, first.0, last.0) * f64::from(width);
    let y = |value: f64| (1.0 - scale(value, low, high)) * f64::from(height);
    for pair in points.windows(2) {
        let from = [x(pair[0].0), y(pair[0].1)];
        let to = [x(pair[1].0), y(pair[1].1)];
        let steps = (to[0] - from[0]).abs().max((to[1] - from[1]).abs()).ceil().max(1.0);
        for step in 0..=steps as u32 {
            let t = f64::from(step) / steps;
            let at = [0, 1].map(|i| (from[i] + (to[i] - from[i]) * t).round() as u32);
            picture.put_pixel(left + at[0].min(width), top + at[1].min(height), LINE);
        }
    }
}

fn scale(value: f64, low: f64, high: f64) -> f64 {
    if high > low { (value - low) / (high - low) } else { 0.5 }
}

/// Text in letters of 8×8 pixels, cut at the edge.
pub fn write(picture: &mut RgbImage, corner: [u32; 2], text: &str) {
    for (i, letter) in text.chars().enumerate() {
        let Some(glyph) = font8x8::BASIC_FONTS.get(letter) else { continue };
        for (y, row) in glyph.iter().enumerate() {
            for x in (0..8).filter(|x| row >> x & 1 == 1) {
                let at = [corner[0] + 8 * i as u32 + x, corner[1] + y as u32];
                if at[0] < picture.width() && at[1] < picture.height() {
                    picture.put_pixel(at[0], at[1], INK);
                }
            }
        }
    }
}
