//! Procedural scenes: two figures on a background, and a judge that says whether a picture shows
//! what was asked for.
//!
//! A scene is drawn from its description, so the truth about it is known; the judge looks at pixels
//! alone. It is used on pictures that a model made, where its own score on true drawings is the
//! ceiling.

use image::{Rgb, RgbImage};
use rand::Rng;
use serde::{Deserialize, Serialize};

/// The colours that captions name.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Colour {
    White,
    Black,
    Grey,
    Red,
    Orange,
    Yellow,
    Green,
    Blue,
    Purple,
    Pink,
}

/// The shapes of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
#[expect(missing_docs, reason = "the names say it")]
pub enum Shape {
    Circle,
    Square,
    Triangle,
    Star,
    Heart,
    Diamond,
}

/// Where the first figure is, seen from the second.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub enum Relation {
    /// Left of it.
    #[serde(rename = "left of")]
    LeftOf,
    /// Right of it.
    #[serde(rename = "right of")]
    RightOf,
    /// Above it.
    #[serde(rename = "above")]
    Above,
    /// Below it.
    #[serde(rename = "below")]
    Below,
}

/// The sizes of figures.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
#[serde(rename_all = "lowercase")]
pub enum Size {
    /// About a quarter of the side.
    Small,
    /// About two fifths of the side.
    Large,
}

/// A figure of a scene.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Figure {
    /// Its colour.
    pub colour: Colour,
    /// Its shape.
    pub shape: Shape,
    /// Its size.
    pub size: Size,
}

/// Two figures on a background, in three colours.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Serialize, Deserialize)]
pub struct Scene {
    /// The colour behind them.
    pub background: Colour,
    /// The figures, the one the caption begins with first.
    pub figures: [Figure; 2],
    /// Where the first one is, seen from the second.
    pub relation: Relation,
}

/// What of a scene a picture shows.
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
}

impl Verdict {
    /// Whether everything is right.
    pub fn all(&self) -> bool {
        self.background && self.colours && self.relation && self.shapes
    }
}

impl Colour {
    /// All colours.
    pub const ALL: [Self; 10] = [
        Self::White,
        Self::Black,
        Self::Grey,
        Self::Red,
        Self::Orange,
        Self::Yellow,
        Self::Green,
        Self::Blue,
        Self::Purple,
        Self::Pink,
    ];

    /// Red, green and blue in 8 bits.
    pub fn rgb(self) -> [u8; 3] {
        match self {
            Self::White => [255, 255, 255],
            Self::Black => [25, 25, 28],
            Self::Grey => [150, 152, 158],
            Self::Red => [222, 48, 48],
            Self::Orange => [250, 145, 40],
            Self::Yellow => [252, 222, 70],
            Self::Green => [70, 175, 85],
            Self::Blue => [60, 125, 235],
            Self::Purple => [135, 75, 190],
            Self::Pink => [250, 160, 205],
        }
    }

    /// The name in captions.
    pub fn name(self) -> &'static str {
        match self {
            Self::White => "white",
            Self::Black => "black",
            Self::Grey => "grey",
            Self::Red => "red",
            Self::Orange => "orange",
            Self::Yellow => "yellow",
            Self::Green => "green",
            Self::Blue => "blue",
            Self::Purple => "purple",
            Self::Pink => "pink",
        }
    }

    /// The named colour that a pixel is nearest to.
    pub fn nearest([r, g, b]: [u8; 3]) -> Self {
        let distance = |colour: &Self| {
            let other = colour.rgb();
            // The eye weighs green most, blue least.
            [(r, 0, 3), (g, 1, 4), (b, 2, 2)].map(|(value, channel, weight): (u8, usize, i32)| {
                let difference = i32::from(value) - i32::from(other[channel]);
                weight * difference * difference
            })
        };
        let total = |colour: &Self| distance(colour).into_iter().sum::<i32>();
        Self::ALL.into_iter().min_by_key(total).expect("there are ten")
    }

    /// Whether two colours stay apart in a blurred picture, where a mixture of one of them with a
    /// third may pass for the other.
    fn apart(self, other: Self) -> bool {
        let close = [
            [Self::Red, Self::Orange],
            [Self::Orange, Self::Yellow],
            [Self::Red, Self::Pink],
            [Self::Purple, Self::Blue],
            [Self::White, Self::Yellow],
            [Self::White, Self::Pink],
            [Self::White, Self::Grey],
            [Self::Grey, Self::Pink],
        ];
        self != other && !close.contains(&[self, other]) && !close.contains(&[other, self])
    }
}

impl Shape {
    /// All shapes.
    pub const ALL: [Self; 6] =
        [Self::Circle, Self::Square, Self::Triangle, Self::Star, Self::Heart, Self::Diamond];

    /// The name in captions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Circle => "circle",
            Self::Square => "square",
            Self::Triangle => "triangle",
            Self::Star => "star",
            Self::Heart => "heart",
            Self::Diamond => "diamond",
        }
    }

    /// Whether a point is inside the shape that fills the square from -1 to 1, y down.
    fn contains(self, x: f64, y: f64) -> bool {
        match self {
            Self::Circle => x * x + y * y <= 1.0,
            Self::Square => x.abs().max(y.abs()) <= 0.9,
            Self::Triangle => y <= 0.9 && x.abs() <= (y + 0.95) / 1.85,
            Self::Diamond => x.abs() * 1.25 + y.abs() <= 1.0,
            Self::Star => {
                let turn = std::f64::consts::TAU / 5.0;
                let angle = (x.atan2(-y).rem_euclid(turn) - turn / 2.0).abs();
                // Between the tip, where the angle is half a turn, and the notch, where it is 0.
                let (tip, notch) = (1.0, 0.42);
                let (sin, cos) = (turn / 2.0).sin_cos();
                let radius = x.hypot(y);
                let (px, py) = (radius * angle.cos(), radius * angle.sin());
                // Left of the line from notch (notch, 0) to tip (tip·cos, tip·sin).
                let cross = (tip * cos - notch) * py - tip * sin * (px - notch);
                cross >= 0.0
            }
            Self::Heart => {
                let (x, y) = (x * 1.18, -y * 1.15 + 0.08);
                let round = x * x + y * y - 1.0;
                round * round * round - x * x * y * y * y <= 0.0
            }
        }
    }
}

impl Relation {
    /// All relations.
    pub const ALL: [Self; 4] = [Self::LeftOf, Self::RightOf, Self::Above, Self::Below];

    /// The name in captions.
    pub fn name(self) -> &'static str {
        match self {
            Self::LeftOf => "left of",
            Self::RightOf => "right of",
            Self::Above => "above",
            Self::Below => "below",
        }
    }

    /// The relation as seen from the other figure.
    pub fn inverse(self) -> Self {
        match self {
            Self::LeftOf => Self::RightOf,
            Self::RightOf => Self::LeftOf,
            Self::Above => Self::Below,
            Self::Below => Self::Above,
        }
    }

    /// The way from the second figure to the first.
    pub fn direction(self) -> [f64; 2] {
        match self {
            Self::LeftOf => [-1.0, 0.0],
            Self::RightOf => [1.0, 0.0],
            Self::Above => [0.0, -1.0],
            Self::Below => [0.0, 1.0],
        }
    }
}

impl Size {
    /// Half the extent, as a share of the side.
    fn radius(self) -> f64 {
        match self {
            Self::Small => 0.15,
            Self::Large => 0.21,
        }
    }

    /// The name in captions.
    pub fn name(self) -> &'static str {
        match self {
            Self::Small => "small",
            Self::Large => "large",
        }
    }
}

impl Figure {
    fn name(&self) -> String {
        format!("{} {} {}", self.size.name(), self.colour.name(), self.shape.name())
    }
}

impl Scene {
    /// A scene at random.
    pub fn random(draws: &mut impl Rng) -> Self {
        let mut below = |count: usize| draws.next_u64() as usize % count;
        loop {
            let colours = [(); 3].map(|()| Colour::ALL[below(10)]);
            let [a, b, c] = colours;
            let mut figure = |colour| Figure {
                colour,
                shape: Shape::ALL[below(6)],
                size: [Size::Small, Size::Large][below(2)],
            };
            let figures = [figure(b), figure(c)];
            let relation = Relation::ALL[below(4)];
            if a.apart(b) && a.apart(c) && b.apart(c) {
                return Self { background: a, figures, relation };
            }
        }
    }

    /// The triples (colour, shape, relation) that the scene shows, seen from either figure.
    pub fn triples(&self) -> [(Colour, Shape, Relation); 2] {
        let [first, second] = self.figures;
        [
            (first.colour, first.shape, self.relation),
            (second.colour, second.shape, self.relation.inverse()),
        ]
    }

    /// Its caption.
    pub fn caption(&self) -> String {
        let [first, second] = self.figures.map(|figure| figure.name());
        let article = if self.background == Colour::Orange { "an" } else { "a" };
        format!(
            "a {first} {} a {second} on {article} {} background",
            self.relation.name(),
            self.background.name()
        )
    }

    /// Draws the scene `side` pixels a side; figures are moved a little at random.
    pub fn draw(&self, side: u32, draws: &mut impl Rng) -> RgbImage {
        let mut shift = || (draws.next_u32() as f64 / f64::from(u32::MAX) - 0.5) * 0.08;
        let [dx, dy] = self.relation.direction();
        let centres = [1.0, -1.0].map(|sign| {
            [0.5 + sign * dx * 0.24 + shift(), 0.5 + sign * dy * 0.24 + shift()]
        });
        const FINE: u32 = 4;
        RgbImage::from_fn(side, side, |px, py| {
            let mut sum = [0u32; 3];
            for sub in 0..FINE * FINE {
                let at = |p: u32, s: u32| {
                    (f64::from(p) + (f64::from(s) + 0.5) / f64::from(FINE)) / f64::from(side)
                };
                let (x, y) = (at(px, sub % FINE), at(py, sub / FINE));
                let hit = self.figures.iter().zip(centres).find(|(figure, [cx, cy])| {
                    let radius = figure.size.radius();
                    figure.shape.contains((x - cx) / radius, (y - cy) / radius)
                });
                let colour = hit.map_or(self.background, |(figure, _)| figure.colour).rgb();
                sum.iter_mut().zip(colour).for_each(|(sum, value)| *sum += u32::from(value));
            }
            Rgb(sum.map(|value| ((value + FINE * FINE / 2) / (FINE * FINE)) as u8))
        })
    }

    /// Judges a picture.
    pub fn judge(&self, picture: &RgbImage) -> Verdict {
        let (width, height) = picture.dimensions();
        let colours: Vec<Colour> = picture.pixels().map(|p| Colour::nearest(p.0)).collect();
        let background = border_colour(&colours, width, height) == self.background;
        let blobs = self
            .figures
            .map(|figure| Blob::largest(&colours, width, height, figure.colour, self.background));
        let least = f64::from(width * height) * 0.007;
        let seen = |blob: &Option<Blob>| blob.as_ref().is_some_and(|b| b.cells.len() as f64 >= least);
        let colours = blobs.iter().all(seen);
        let [Some(first), Some(second)] = &blobs else {
            return Verdict { background, colours: false, relation: false, shapes: false };
        };
        let (a, b) = (first.centre(), second.centre());
        let [dx, dy] = self.relation.direction();
        let way = [a[0] - b[0], a[1] - b[1]];
        let along = way[0] * dx + way[1] * dy;
        let across = (way[0] * dy).abs() + (way[1] * dx).abs();
        let relation = colours && along > across && along > f64::from(width) * 0.1;
        let shape = |blob: &Blob, figure: Figure| {
            blob.shape(picture, figure.colour, self.background) == figure.shape
        };
        let shapes =
            colours && shape(first, self.figures[0]) && shape(second, self.figures[1]);
        Verdict { background, colours, relation, shapes }
    }
}

/// The colour most of the border has.
fn border_colour(colours: &[Colour], width: u32, height: u32) -> Colour {
    let is_border = |i: usize| {
        let (x, y) = (i as u32 % width, i as u32 / width);
        x.min(y).min(width - 1 - x).min(height - 1 - y) < 2
    };
    let border = colours.iter().enumerate().filter(|(i, _)| is_border(*i));
    let mut counts = [0; 10];
    border.for_each(|(_, &colour)| counts[colour as usize] += 1);
    let most = (0..10).max_by_key(|&i| counts[i]).expect("there are ten");
    Colour::ALL[most]
}

/// Connected pixels of one colour.
struct Blob {
    cells: Vec<[u32; 2]>,
}

impl Blob {
    /// The largest one of a colour that is not the background's.
    fn largest(
        colours: &[Colour],
        width: u32,
        height: u32,
        colour: Colour,
        background: Colour,
    ) -> Option<Self> {
        if colour == background {
            return None;
        }
        let mut seen = vec![false; colours.len()];
        let mut best: Option<Self> = None;
        for start in 0..colours.len() {
            if seen[start] || colours[start] != colour {
                continue;
            }
            seen[start] = true;
            let (mut stack, mut cells) = (vec![start], vec![]);
            while let Some(i) = stack.pop() {
                let (x, y) = (i as u32 % width, i as u32 / width);
                cells.push([x, y]);
                let around = [(-1, 0), (1, 0), (0, -1), (0, 1)];
                for (dx, dy) in around {
                    let (nx, ny) = (x as i32 + dx, y as i32 + dy);
                    if nx < 0 || ny < 0 || nx >= width as i32 || ny >= height as i32 {
                        continue;
                    }
                    let next = (ny as u32 * width + nx as u32) as usize;
                    if !seen[next] && colours[next] == colour {
                        seen[next] = true;
                        stack.push(next);
                    }
                }
            }
            if best.as_ref().is_none_or(|best| cells.len() > best.cells.len()) {
                best = Some(Self { cells });
            }
        }
        best
    }

    fn centre(&self) -> [f64; 2] {
        let sum = |axis: usize| self.cells.iter().map(|cell| f64::from(cell[axis])).sum::<f64>();
        [0, 1].map(|axis| sum(axis) / self.cells.len() as f64)
    }

    /// The shape whose drawing covers the blob best, over a few placements. Pixels at an edge count
    /// in part, by how far they are from the background's colour towards the figure's.
    fn shape(&self, picture: &RgbImage, colour: Colour, background: Colour) -> Shape {
        let bound = |axis: usize| {
            let values = self.cells.iter().map(move |cell| cell[axis]);
            (values.clone().min().unwrap_or(0), values.max().unwrap_or(0))
        };
        let ((left, right), (top, bottom)) = (bound(0), bound(1));
        let mut window = vec![];
        for y in top.saturating_sub(MARGIN)..=(bottom + MARGIN).min(picture.height() - 1) {
            for x in left.saturating_sub(MARGIN)..=(right + MARGIN).min(picture.width() - 1) {
                let share = share(picture.get_pixel(x, y).0, colour.rgb(), background.rgb());
                window.push((f64::from(x), f64::from(y), share));
            }
        }
        let middle = |low: u32, high: u32| f64::from(low + high) / 2.0;
        let centre = [middle(left, right), middle(top, bottom)];
        let size = f64::from(right - left + 1).max(f64::from(bottom - top + 1)) / 2.0;
        let score = |shape: Shape| {
            let mut best = 0.0f64;
            for (dx, dy) in SHIFTS.iter().flat_map(|&dx| SHIFTS.map(|dy| (dx, dy))) {
                for grow in [0.95, 1.05, 1.15, 1.25] {
                    let placed = [centre[0] + dx, centre[1] + dy];
                    best = best.max(overlap(shape, &window, placed, size * grow));
                }
            }
            best
        };
        let scores = Shape::ALL.map(|shape| (shape, score(shape)));
        scores.into_iter().max_by(|a, b| a.1.total_cmp(&b.1)).expect("there are six").0
    }
}

/// Pixels around a blob that are looked at.
const MARGIN: u32 = 2;
/// Shifts of a drawing against a blob, in pixels.
const SHIFTS: [f64; 3] = [-0.5, 0.0, 0.5];

/// How far a pixel is from one colour (0) towards another (1).
fn share(pixel: [u8; 3], towards: [u8; 3], from: [u8; 3]) -> f64 {
    let (mut dot, mut length) = (0.0, 0.0);
    for channel in 0..3 {
        let way = f64::from(towards[channel]) - f64::from(from[channel]);
        dot += way * (f64::from(pixel[channel]) - f64::from(from[channel]));
        length += way * way;
    }
    (dot / length).clamp(0.0, 1.0)
}

/// Intersection over union of a shape with the pixels of a window.
fn overlap(shape: Shape, window: &[(f64, f64, f64)], centre: [f64; 2], size: f64) -> f64 {
    // The extent of the shape itself inside its unit square.
    let extent: [f64; 4] = match shape {
        Shape::Circle => [-1.0, 1.0, -1.0, 1.0],
        Shape::Square => [-0.9, 0.9, -0.9, 0.9],
        Shape::Triangle => [-1.0, 1.0, -0.95, 0.9],
        Shape::Diamond => [-0.8, 0.8, -1.0, 1.0],
        Shape::Star => [-0.95, 0.95, -1.0, 0.81],
        Shape::Heart => [-0.97, 0.97, -0.99, 0.94],
    };
    // One scale for both axes: a shape is not stretched.
    let half = (extent[1] - extent[0]).max(extent[3] - extent[2]) / 2.0;
    let scale = half / size;
    let middle = [(extent[0] + extent[1]) / 2.0, (extent[2] + extent[3]) / 2.0];
    let (mut both, mut either) = (0.0, 0.0);
    for &(x, y, share) in window {
        let inside = |dx: f64, dy: f64| {
            let at = |value: f64, axis: usize| (value - centre[axis]) * scale + middle[axis];
            f64::from(u8::from(shape.contains(at(x + dx, 0), at(y + dy, 1))))
        };
        let drawn = (inside(-0.25, -0.25)
            + inside(0.25, -0.25)
            + inside(-0.25, 0.25)
            + inside(0.25, 0.25))
            / 4.0;
        both += share.min(drawn);
        either += share.max(drawn);
    }
    both / either.max(1e-9)
}

#[cfg(test)]
mod tests {
    use hart_core::random::generator;
    use image::imageops::blur;

    use super::{Scene, Verdict};

    /// The shares of background, colours, relation and shapes that are right.
    fn shares(verdicts: &[Verdict]) -> [f64; 4] {
        let share = |f: &dyn Fn(&Verdict) -> bool| {
            verdicts.iter().filter(|v| f(v)).count() as f64 / verdicts.len() as f64
        };
        [
            share(&|v| v.background),
            share(&|v| v.colours),
            share(&|v| v.relation),
            share(&|v| v.shapes),
        ]
    }

    #[test]
    fn the_judge_sees_what_was_drawn() {
        for side in [32, 64] {
            let mut draws = generator(5, 900, [u64::from(side), 0]);
            let scenes: Vec<Scene> = (0..300).map(|_| Scene::random(&mut draws)).collect();
            let clean: Vec<Verdict> =
                scenes.iter().map(|scene| scene.judge(&scene.draw(side, &mut draws))).collect();
            let [background, colours, relation, shapes] = shares(&clean);
            let seen = [background, colours, relation];
            assert!(seen.iter().all(|&share| share > 0.98), "{side}: {seen:?}");
            assert!(shapes > 0.95, "{side}: {shapes}");

            let sigma = side as f32 / 40.0;
            let blurred: Vec<Verdict> = scenes
                .iter()
                .map(|scene| scene.judge(&blur(&scene.draw(side, &mut draws), sigma)))
                .collect();
            let [background, colours, relation, _] = shares(&blurred);
            let seen = [background, colours, relation];
            assert!(seen.iter().all(|&share| share > 0.95), "{side}: {seen:?}");
        }
    }

    #[test]
    fn another_scene_is_not_taken_for_the_right_one() {
        let mut draws = generator(6, 900, [0, 0]);
        let wrong = (0..500).filter(|_| {
            let drawn = Scene::random(&mut draws).draw(32, &mut draws);
            Scene::random(&mut draws).judge(&drawn).all()
        });
        assert!(wrong.count() < 5);
    }
}
