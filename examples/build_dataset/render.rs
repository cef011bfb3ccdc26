//! Drawings as pixels with transparency.

use anyhow::Context;
use image::imageops::FilterType;
use image::{Rgb, RgbImage, Rgba, Rgba32FImage};
use resvg::tiny_skia::{Pixmap, Transform};
use resvg::usvg::{Options, Tree};

/// The least opacity that counts as visible.
const VISIBLE: f32 = 0.1;
/// The side of drawings before they are cropped and scaled, in pixels.
const CANVAS: u32 = 256;

/// A square drawing that touches its border, colours multiplied by their opacity.
#[derive(Debug, Clone)]
pub(crate) struct Drawing(Rgba32FImage);

impl Drawing {
    /// From SVG, with `side` × `side` pixels.
    pub(crate) fn from_svg(svg: &str, side: u32) -> anyhow::Result<Self> {
        let tree = Tree::from_str(svg, &Options::default()).context("a drawing is not SVG")?;
        let mut pixels = Pixmap::new(CANVAS, CANVAS).context("not enough memory for a drawing")?;
        let size = tree.size();
        let scale = CANVAS as f32 / size.width().max(size.height());
        let shift = |length: f32| (CANVAS as f32 - length * scale) / 2.0;
        let (dx, dy) = (shift(size.width()), shift(size.height()));
        resvg::render(
            &tree,
            Transform::from_row(scale, 0.0, 0.0, scale, dx, dy),
            &mut pixels.as_mut(),
        );
        let image = Rgba32FImage::from_fn(CANVAS, CANVAS, |x, y| {
            let pixel = pixels.pixel(x, y).expect("a pixel inside the drawing");
            let values = [pixel.red(), pixel.green(), pixel.blue(), pixel.alpha()];
            Rgba(values.map(|value| f32::from(value) / 255.0))
        });
        Self::cut_out(&image, side)
    }

    /// From an encoded image with an alpha channel, with `side` × `side` pixels.
    pub(crate) fn from_image(bytes: &[u8], side: u32) -> anyhow::Result<Self> {
        let image = image::load_from_memory(bytes).context("a drawing is unreadable")?.into_rgba8();
        let (width, height) = image.dimensions();
        let image = Rgba32FImage::from_fn(width, height, |x, y| {
            let [r, g, b, a] = image.get_pixel(x, y).0.map(|value| f32::from(value) / 255.0);
            Rgba([r * a, g * a, b * a, a])
        });
        Self::cut_out(&image, side)
    }

    /// The smallest square around the visible pixels, so that all styles have the same size.
    fn cut_out(image: &Rgba32FImage, side: u32) -> anyhow::Result<Self> {
        let visible = || image.enumerate_pixels().filter(|(_, _, pixel)| pixel.0[3] > VISIBLE);
        let span = |values: &mut dyn Iterator<Item = u32>| {
            values.fold(None, |span: Option<(u32, u32)>, value| {
                let (low, high) = span.unwrap_or((value, value));
                Some((low.min(value), high.max(value)))
            })
        };
        let across = span(&mut visible().map(|(x, _, _)| x)).context("a drawing is empty")?;
        let down = span(&mut visible().map(|(_, y, _)| y)).context("a drawing is empty")?;
        let (width, height) = (across.1 - across.0 + 1, down.1 - down.0 + 1);
        let whole = width.max(height);
        let part = image::imageops::crop_imm(image, across.0, down.0, width, height);
        let mut square = Rgba32FImage::new(whole, whole);
        let corner = [(whole - width) / 2, (whole - height) / 2].map(i64::from);
        image::imageops::replace(&mut square, &part.to_image(), corner[0], corner[1]);
        Ok(Self(square).resized(side))
    }

    /// The drawing, resized.
    pub(crate) fn resized(&self, side: u32) -> Self {
        Self(image::imageops::resize(&self.0, side, side, FilterType::CatmullRom))
    }

    /// The drawing, mirrored.
    pub(crate) fn mirrored(&self) -> Self {
        Self(image::imageops::flip_horizontal(&self.0))
    }

    /// The side, in pixels.
    pub(crate) fn side(&self) -> u32 {
        self.0.width()
    }

    /// Draws over an image, with the upper left corner at `corner`; pixels outside of the image are
    /// cut off.
    pub(crate) fn over(&self, image: &mut RgbImage, corner: [i64; 2]) {
        for (x, y, pixel) in self.0.enumerate_pixels() {
            let [x, y] = [corner[0] + i64::from(x), corner[1] + i64::from(y)];
            let (Ok(x), Ok(y)) = (u32::try_from(x), u32::try_from(y)) else { continue };
            let Some(below) = image.get_pixel_mut_checked(x, y) else { continue };
            let [r, g, b, a] = pixel.0;
            let through = 1.0 - a.clamp(0.0, 1.0);
            let mix = |above: f32, below: u8| {
                ((above.max(0.0) + f32::from(below) / 255.0 * through) * 255.0).round() as u8
            };
            *below = Rgb([mix(r, below.0[0]), mix(g, below.0[1]), mix(b, below.0[2])]);
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::Drawing;

    const HALF_RED: &str = r##"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8">
        <rect x="2" y="3" width="4" height="2" fill="#f00" fill-opacity="0.5"/></svg>"##;

    #[test]
    fn drawings_fill_their_square_and_let_the_background_through() {
        let drawing = Drawing::from_svg(HALF_RED, 16).unwrap();
        let mut image = RgbImage::from_pixel(16, 16, Rgb([0, 0, 255]));
        drawing.over(&mut image, [0, 0]);
        assert_eq!(image.get_pixel(1, 1).0, [0, 0, 255]);
        for x in [1, 8, 14] {
            let [r, g, b] = image.get_pixel(x, 8).0;
            assert!((126..=130).contains(&r) && g == 0 && (125..=129).contains(&b), "{x}");
        }
    }

    #[test]
    fn what_is_outside_is_cut_off() {
        let mut image = RgbImage::new(4, 4);
        let drawing = Drawing::from_svg(HALF_RED, 16).unwrap();
        for corner in [[-20, 0], [-6, -6], [3, 2], [50, 50]] {
            drawing.over(&mut image, corner);
        }
    }

    #[test]
    fn what_shows_nothing_is_refused() {
        let empty = r#"<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 8 8"></svg>"#;
        assert!(Drawing::from_svg(empty, 16).is_err());
        assert!(Drawing::from_svg("no svg", 16).is_err());
        assert!(Drawing::from_image(b"no image", 16).is_err());
    }
}
