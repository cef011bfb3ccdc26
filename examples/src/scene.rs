//! Procedural scenes: two figures on a background, and a judge that says whether an image shows
//! what was asked for.
//!
//! A scene is drawn from its description, so the truth about it is known; the judge looks at pixels
//! alone. It is used on images that a model made, where its own score on true drawings is the
//! ceiling.

mod judge;

use image::{Rgb, RgbImage};
use rand::Rng;
use serde::{Deserialize, Serialize};

pub use judge::Verdict;

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

    /// The name behind its article, as in captions.
    pub fn with_article(self) -> String {
        let article = if self == Self::Orange { "an" } else { "a" };
        format!("{article} {}", self.name())
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

    /// Whether two colours stay apart in a blurred image, where a mixture of one of them with a
    /// third may pass for the other.
    pub fn apart(self, other: Self) -> bool {
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

    /// Draws it alone in the middle of an image, `radius` of the side from its middle to its edge.
    pub fn draw(&self, background: Colour, radius: f64, side: u32) -> RgbImage {
        paint(side, |x, y| {
            let is_inside = self.shape.contains((x - 0.5) / radius, (y - 0.5) / radius);
            if is_inside { self.colour } else { background }
        })
    }
}

/// An image of the colours at its points, from 0 to 1 along x and y, with soft edges.
fn paint(side: u32, colour: impl Fn(f64, f64) -> Colour) -> RgbImage {
    /// Points along each side of a pixel.
    const FINE: u32 = 4;
    RgbImage::from_fn(side, side, |px, py| {
        let mut sum = [0u32; 3];
        for sub in 0..FINE * FINE {
            let at = |p: u32, s: u32| {
                (f64::from(p) + (f64::from(s) + 0.5) / f64::from(FINE)) / f64::from(side)
            };
            let there = colour(at(px, sub % FINE), at(py, sub / FINE)).rgb();
            sum.iter_mut().zip(there).for_each(|(sum, value)| *sum += u32::from(value));
        }
        Rgb(sum.map(|value| ((value + FINE * FINE / 2) / (FINE * FINE)) as u8))
    })
}

impl Scene {
    /// A scene at random.
    pub fn random(draws: &mut impl Rng) -> Self {
        let mut below = |count: usize| (draws.next_u64() % count as u64) as usize;
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

    /// The same scene, told from its other figure.
    pub fn reversed(&self) -> Self {
        let [first, second] = self.figures;
        Self { figures: [second, first], relation: self.relation.inverse(), ..*self }
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
        let (relation, background) = (self.relation.name(), self.background.with_article());
        format!("a {first} {relation} a {second} on {background} background")
    }

    /// Draws the scene `side` pixels a side; figures are moved a little at random.
    pub fn draw(&self, side: u32, draws: &mut impl Rng) -> RgbImage {
        let mut shift = || (draws.next_u32() as f64 / f64::from(u32::MAX) - 0.5) * 0.06;
        let [dx, dy] = self.relation.direction();
        let centres = [1.0, -1.0]
            .map(|sign| [0.5 + sign * dx * 0.25 + shift(), 0.5 + sign * dy * 0.25 + shift()]);
        paint(side, |x, y| {
            let hit = self.figures.iter().zip(centres).find(|(figure, [cx, cy])| {
                let radius = figure.size.radius();
                figure.shape.contains((x - cx) / radius, (y - cy) / radius)
            });
            hit.map_or(self.background, |(figure, _)| figure.colour)
        })
    }
}
