//! Whether an image shows a scene, by its pixels alone.

use image::RgbImage;

use super::{Colour, Figure, Scene, Shape, Size};

/// The share of an image that a figure has at least.
const LEAST_AREA: f64 = 0.007;
/// The share of the side that figures are apart at least.
const LEAST_DISTANCE: f64 = 0.1;
/// Pixels that count as the border.
const BORDER: u32 = 2;
/// Pixels around a blob that are looked at, at least.
const MARGIN: u32 = 2;
/// Widths of a drawing's edges as shares of the side: sharp, and as soft as models draw.
const EDGES: [f64; 2] = [0.0, 0.08];
/// Sizes of a drawing against the figure's mass.
const GROWTHS: [f64; 3] = [0.94, 1.0, 1.06];
/// How far a pixel may be from the way between two colours.
const ASIDE: f64 = 60.0;

/// What of a scene an image shows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Verdict {
    /// The background has the right colour.
    pub background: bool,
    /// Figures of both colours are there.
    pub colours: bool,
    /// They are where they should be.
    pub relation: bool,
    /// Both have the right shape.
    pub shapes: bool,
    /// Both have the right size; [`Self::all`] leaves it out.
    pub sizes: bool,
}

impl Verdict {
    /// Whether everything is right but the sizes, which images hint at rather than show.
    pub fn all(&self) -> bool {
        self.background && self.colours && self.relation && self.shapes
    }
}

impl Scene {
    /// The colour behind whatever an image shows: the one most of its border has.
    pub fn background_of(image: &RgbImage) -> Colour {
        Map::of(image).border_colour()
    }

    /// Judges an image.
    pub fn judge(&self, image: &RgbImage) -> Verdict {
        let map = Map::of(image);
        let behind = map.border_colour();
        let background = behind == self.background;
        // What is behind the figures is none, whatever its colour should have been.
        let figures = self.figures.map(|figure| (figure.colour != behind).then_some(figure));
        let blobs = figures.map(|figure| map.largest_blob(figure?.colour));
        let [Some(first), Some(second)] = blobs else {
            let (colours, relation, shapes, sizes) = (false, false, false, false);
            return Verdict { background, colours, relation, shapes, sizes };
        };
        let side = f64::from(image.width());
        let figure = |figure: &Figure, blob: &Blob| {
            let window = blob.window(image, figure.colour, self.background);
            let shape = window.shape(side) == figure.shape;
            [shape, window.size(figure.shape, side) == figure.size]
        };
        let [a, b] = [figure(&self.figures[0], &first), figure(&self.figures[1], &second)];
        Verdict {
            background,
            colours: true,
            relation: self.related(first.centre(), second.centre(), side),
            shapes: a[0] && b[0],
            sizes: a[1] && b[1],
        }
    }

    /// Whether the first centre is where it should be, seen from the second.
    fn related(&self, first: [f64; 2], second: [f64; 2], side: f64) -> bool {
        let [dx, dy] = self.relation.direction();
        let way = [first[0] - second[0], first[1] - second[1]];
        let along = way[0] * dx + way[1] * dy;
        let across = (way[0] * dy).abs() + (way[1] * dx).abs();
        along > across && along > side * LEAST_DISTANCE
    }
}

/// An image in named colours.
struct Map {
    colours: Vec<Colour>,
    width: u32,
    height: u32,
}

impl Map {
    fn of(image: &RgbImage) -> Self {
        let colours = image.pixels().map(|pixel| Colour::nearest(pixel.0)).collect();
        Self { colours, width: image.width(), height: image.height() }
    }

    fn place(&self, index: usize) -> [u32; 2] {
        [index as u32 % self.width, index as u32 / self.width]
    }

    /// The colour most of the border has.
    fn border_colour(&self) -> Colour {
        let mut counts = [0; Colour::ALL.len()];
        for (index, &colour) in self.colours.iter().enumerate() {
            let [x, y] = self.place(index);
            let inwards = x.min(y).min(self.width - 1 - x).min(self.height - 1 - y);
            counts[colour as usize] += u32::from(inwards < BORDER);
        }
        Colour::ALL
            .into_iter()
            .max_by_key(|&colour| counts[colour as usize])
            .expect("there are ten")
    }

    /// The largest blob of a colour, if it is large enough for a figure.
    fn largest_blob(&self, colour: Colour) -> Option<Blob> {
        let mut fresh: Vec<bool> = self.colours.iter().map(|&found| found == colour).collect();
        let mut best = Blob { cells: vec![] };
        for start in 0..fresh.len() {
            let blob = self.take_blob(&mut fresh, start);
            if blob.cells.len() > best.cells.len() {
                best = blob;
            }
        }
        let least = f64::from(self.width * self.height) * LEAST_AREA;
        (best.cells.len() as f64 >= least).then_some(best)
    }

    /// Takes the cells that are connected with one out of those that are left.
    fn take_blob(&self, fresh: &mut [bool], start: usize) -> Blob {
        let (mut found, mut cells) = (vec![start], vec![]);
        while let Some(index) = found.pop() {
            if !std::mem::take(&mut fresh[index]) {
                continue;
            }
            let [x, y] = self.place(index);
            cells.push([x, y]);
            let width = self.width as usize;
            found.extend((x > 0).then(|| index - 1));
            found.extend((x + 1 < self.width).then_some(index + 1));
            found.extend((y > 0).then(|| index - width));
            found.extend((y + 1 < self.height).then_some(index + width));
        }
        Blob { cells }
    }
}

/// Connected pixels of one colour.
struct Blob {
    cells: Vec<[u32; 2]>,
}

impl Blob {
    fn centre(&self) -> [f64; 2] {
        let sum = |axis: usize| self.cells.iter().map(|cell| f64::from(cell[axis])).sum::<f64>();
        [0, 1].map(|axis| sum(axis) / self.cells.len() as f64)
    }

    /// How much of the figure's colour the pixels around the blob have.
    fn window(&self, image: &RgbImage, colour: Colour, background: Colour) -> Window {
        let margin = MARGIN.max(image.width() / 16);
        let span = |axis: usize, length: u32| {
            let values = || self.cells.iter().map(|cell| cell[axis]);
            let (low, high) = (values().min().unwrap_or(0), values().max().unwrap_or(0));
            low.saturating_sub(margin)..(high + margin + 1).min(length)
        };
        let mut shares = vec![];
        for y in span(1, image.height()) {
            for x in span(0, image.width()) {
                let share = share(image.get_pixel(x, y).0, colour.rgb(), background.rgb());
                shares.push(([f64::from(x), f64::from(y)], share));
            }
        }
        let mass = shares.iter().map(|(_, share)| share).sum::<f64>();
        let mean = |axis: usize| {
            shares.iter().map(|(at, share)| at[axis] * share).sum::<f64>() / mass.max(1.0)
        };
        Window { mass, centre: [mean(0), mean(1)], shares }
    }
}

/// The pixels around a blob, with their shares of the figure's colour.
struct Window {
    shares: Vec<([f64; 2], f64)>,
    /// The sum of the shares, and where its middle is. Blur changes neither.
    mass: f64,
    centre: [f64; 2],
}

impl Window {
    /// The shape whose drawing is most like the pixels, in an image of this side.
    fn shape(&self, side: f64) -> Shape {
        let difference = |shape: Shape| {
            let outline = Outline::of(shape);
            let fits = EDGES.iter().flat_map(|&edge| GROWTHS.map(|growth| (edge, growth)));
            let soft = |edge: f64| (edge * side).max(1.0);
            let difference = |(edge, growth)| self.difference(shape, outline, soft(edge), growth);
            fits.map(difference).fold(f64::INFINITY, f64::min)
        };
        let all = Shape::ALL.map(|shape| (shape, difference(shape)));
        all.into_iter().min_by(|a, b| a.1.total_cmp(&b.1)).expect("there are six").0
    }

    /// The size of a figure of this shape that has the same mass.
    fn size(&self, shape: Shape, side: f64) -> Size {
        let radius = (self.mass / Outline::of(shape).area).sqrt() / side;
        let middle = (Size::Small.radius() * Size::Large.radius()).sqrt();
        if radius < middle { Size::Small } else { Size::Large }
    }

    /// How a drawing of a shape with the same middle, `growth` as large as its mass says, differs
    /// from the pixels: squared, on average over the figure. Its edges are `edge` pixels wide.
    fn difference(&self, shape: Shape, outline: Outline, edge: f64, growth: f64) -> f64 {
        let radius = (self.mass / outline.area).sqrt() * growth;
        let at = |value: f64, axis: usize, offset: f64| {
            (value - self.centre[axis] + offset * edge) / radius + outline.centre[axis]
        };
        const OFFSETS: [f64; 3] = [-1.0 / 3.0, 0.0, 1.0 / 3.0];
        let coverage = |[x, y]: [f64; 2]| {
            let inside = |dx, dy| u32::from(shape.contains(at(x, 0, dx), at(y, 1, dy)));
            let row = |dy| OFFSETS.iter().map(|&dx| inside(dx, dy)).sum::<u32>();
            f64::from(OFFSETS.iter().map(|&dy| row(dy)).sum::<u32>()) / 9.0
        };
        let squares = self.shares.iter().map(|&(place, share)| (coverage(place) - share).powi(2));
        squares.sum::<f64>() / self.mass.max(1.0)
    }
}

/// The area and the centre of mass of a shape that fills the square from -1 to 1.
#[derive(Debug, Clone, Copy)]
struct Outline {
    area: f64,
    centre: [f64; 2],
}

impl Outline {
    fn of(shape: Shape) -> Self {
        const CELLS: usize = 50;
        let at = |cell: usize| (cell as f64 + 0.5) * 2.0 / CELLS as f64 - 1.0;
        let cells = (0..CELLS * CELLS).map(|cell| [at(cell % CELLS), at(cell / CELLS)]);
        let inside: Vec<_> = cells.filter(|&[x, y]| shape.contains(x, y)).collect();
        let mean =
            |axis: usize| inside.iter().map(|place| place[axis]).sum::<f64>() / inside.len() as f64;
        let area = 4.0 * inside.len() as f64 / (CELLS * CELLS) as f64;
        Self { area, centre: [mean(0), mean(1)] }
    }
}

/// How far a pixel is from one colour (0) towards another (1); 0 where it is on no such way.
fn share(pixel: [u8; 3], towards: [u8; 3], from: [u8; 3]) -> f64 {
    let difference = |a: [u8; 3], b: [u8; 3]| {
        [0, 1, 2].map(|channel| f64::from(a[channel]) - f64::from(b[channel]))
    };
    let dot = |a: [f64; 3], b: [f64; 3]| a.into_iter().zip(b).map(|(a, b)| a * b).sum::<f64>();
    let (way, gone) = (difference(towards, from), difference(pixel, from));
    let share = (dot(way, gone) / dot(way, way)).clamp(0.0, 1.0);
    let aside = [0, 1, 2].map(|channel| gone[channel] - share * way[channel]);
    if dot(aside, aside) > ASIDE * ASIDE { 0.0 } else { share }
}

#[cfg(test)]
mod tests {
    use hart_core::random::generator;
    use image::RgbImage;
    use image::imageops::blur;
    use rand::Rng;

    use super::{Scene, Verdict};

    /// The shares of background, colours, relation, shapes, sizes and all that are right.
    fn shares(images: &[(Scene, RgbImage)]) -> [f64; 6] {
        let verdicts = images.iter().map(|(scene, image)| scene.judge(image));
        let verdicts: Vec<Verdict> = verdicts.collect();
        let share = |right: fn(&Verdict) -> bool| {
            verdicts.iter().filter(|verdict| right(verdict)).count() as f64 / verdicts.len() as f64
        };
        [
            share(|verdict| verdict.background),
            share(|verdict| verdict.colours),
            share(|verdict| verdict.relation),
            share(|verdict| verdict.shapes),
            share(|verdict| verdict.sizes),
            share(Verdict::all),
        ]
    }

    fn drawn(side: u32, count: usize) -> Vec<(Scene, RgbImage)> {
        let mut draws = generator(5, 900, [u64::from(side), 0]);
        let mut draw = || {
            let scene = Scene::random(&mut draws);
            (scene, scene.draw(side, &mut draws))
        };
        (0..count).map(|_| draw()).collect()
    }

    fn assert_at_least(found: [f64; 6], least: [f64; 6]) {
        let enough = found.iter().zip(least).all(|(&found, least)| found >= least);
        assert!(enough, "{found:?} is below {least:?}");
    }

    #[test]
    fn what_was_drawn_is_seen() {
        assert_at_least(shares(&drawn(64, 150)), [1.0, 0.99, 0.99, 0.98, 0.98, 0.97]);
        assert_at_least(shares(&drawn(32, 150)), [1.0, 0.98, 0.98, 0.97, 0.97, 0.97]);
    }

    #[test]
    fn what_is_blurred_is_seen() {
        for (side, sigma) in [(32, 0.8), (64, 1.6)] {
            let mut images = drawn(side, 150);
            images.iter_mut().for_each(|(_, image)| *image = blur(image, sigma));
            assert_at_least(shares(&images), [0.98, 0.95, 0.95, 0.95, 0.95, 0.93]);
        }
    }

    #[test]
    fn what_is_noisy_is_seen() {
        let mut draws = generator(5, 901, [0, 0]);
        let mut images = drawn(32, 150);
        for value in images.iter_mut().flat_map(|(_, image)| image.iter_mut()) {
            let noise = (0..4).map(|_| draws.next_u32() % 11).sum::<u32>() as i32 - 20;
            *value = (i32::from(*value) + noise).clamp(0, 255) as u8;
        }
        assert_at_least(shares(&images), [0.98, 0.95, 0.95, 0.95, 0.95, 0.93]);
    }

    #[test]
    fn another_scene_scores_at_chance() {
        let mut images = drawn(32, 1000);
        let mut draws = generator(6, 900, [0, 0]);
        images.iter_mut().for_each(|(scene, _)| *scene = Scene::random(&mut draws));
        let [background, colours, relation, shapes, _, all] = shares(&images);
        assert!((0.05..0.15).contains(&background), "{background}");
        assert!(colours < 0.1 && relation < 0.03 && shapes < 0.01, "{colours} {relation} {shapes}");
        assert!(all < 0.003, "{all}");
    }

    #[test]
    fn an_image_of_nothing_shows_the_background_alone() {
        let (scene, _) = drawn(32, 1)[0];
        let empty = RgbImage::from_pixel(32, 32, image::Rgb(scene.background.rgb()));
        let verdict = scene.judge(&empty);
        assert!(verdict.background && !verdict.colours && !verdict.shapes && !verdict.relation);
    }
}
