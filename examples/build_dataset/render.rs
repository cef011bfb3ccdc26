//! Drawings as pixels with transparency.

use anyhow::Context;
use image::imageops::FilterType;
use image::{Rgb, RgbImage, Rgba, Rgba32FImage};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// The side that drawings are made with before they are scaled to where they are used.
pub(crate) const MASTER: u32 = 256;

/// A drawing, colours multiplied by their opacity.
#[derive(Debug, Clone)]
pub(crate) struct Drawing(Rgba32FImage);

impl Drawing {
    /// From SVG.
    pub(crate) fn from_svg(svg: &str) -> anyhow::Result<Self> {
        let tree = Tree::from_str(svg, &Options::default()).context("a drawing is no SVG")?;
        let mut pixels = Pixmap::new(MASTER, MASTER).context("no memory for a drawing")?;
        let size = tree.size();
        let scale = MASTER as f32 / size.width().max(size.height());
        let shift = |length: f32| (MASTER as f32 - length * scale) / 2.0;
        let place = Transform::from_row(
            scale,
            0.0,
            0.0,
            scale,
            shift(size.width()),
            shift(size.height()),
        );
        resvg::render(&tree, place, &mut pixels.as_mut());
        let image = Rgba32FImage::from_fn(MASTER, MASTER, |x, y| {
            let pixel = pixels.pixel(x, y).expect("a pixel inside the drawing");
            let values = [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()];
            Rgba(values.map(|value| f32::from(value) / 255.0))
        });
        Ok(Self(image).tight())
    }

    /// From an encoded picture.
    pub(crate) fn from_picture(bytes: &[u8]) -> anyhow::Result<Self> {
        let image = image::load_from_memory(bytes).context("a drawing is no picture")?.into_rgba8();
        let (width, height) = image.dimensions();
        let side = width.max(height);
        let (left, top) = ((side - width) / 2, (side - height) / 2);
        let mut square = Rgba32FImage::new(side, side);
        for (x, y, pixel) in image.enumerate_pixels() {
            let [r, g, b, a] = pixel.0.map(|value| f32::from(value) / 255.0);
            square.put_pixel(left + x, top + y, Rgba([r * a, g * a, b * a, a]));
        }
        Ok(Self(square).tight())
    }

    /// The smallest square around what is visible, so that all designs are alike in size.
    fn tight(self) -> Self {
        let visible: Vec<(u32, u32)> = self
            .0
            .enumerate_pixels()
            .filter(|(_, _, pixel)| pixel.0[3] > 0.1)
            .map(|(x, y, _)| (x, y))
            .collect();
        let Some(&(x, y)) = visible.first() else { return self };
        let (mut low, mut high) = ([x, y], [x, y]);
        for (x, y) in visible {
            low = [low[0].min(x), low[1].min(y)];
            high = [high[0].max(x), high[1].max(y)];
        }
        let size = [high[0] - low[0] + 1, high[1] - low[1] + 1];
        let side = size[0].max(size[1]);
        let margin = [(side - size[0]) / 2, (side - size[1]) / 2];
        let part = image::imageops::crop_imm(&self.0, low[0], low[1], size[0], size[1]).to_image();
        let mut square = Rgba32FImage::new(side, side);
        image::imageops::replace(&mut square, &part, i64::from(margin[0]), i64::from(margin[1]));
        Self(square)
    }

    /// The drawing in another size.
    pub(crate) fn resized(&self, side: u32) -> Self {
        Self(image::imageops::resize(&self.0, side, side, FilterType::CatmullRom))
    }

    /// The drawing seen in a mirror.
    pub(crate) fn mirrored(&self) -> Self {
        Self(image::imageops::flip_horizontal(&self.0))
    }

    /// Lays the drawing over a picture with its upper left corner at `corner`.
    pub(crate) fn over(&self, picture: &mut RgbImage, corner: [i64; 2]) {
        for (x, y, pixel) in self.0.enumerate_pixels() {
            let at = [corner[0] + i64::from(x), corner[1] + i64::from(y)];
            let inside = |at: i64, length: u32| (0..i64::from(length)).contains(&at);
            if !inside(at[0], picture.width()) || !inside(at[1], picture.height()) {
                continue;
            }
            let below = picture.get_pixel_mut(at[0] as u32, at[1] as u32);
            let [r, g, b, a] = pixel.0;
            let a = a.clamp(0.0, 1.0);
            let mix = |above: f32, below: u8| {
                ((above.max(0.0) + f32::from(below) / 255.0 * (1.0 - a)) * 255.0).round() as u8
            };
            *below = Rgb([mix(r, below.0[0]), mix(g, below.0[1]), mix(b, below.0[2])]);
        }
    }
}
