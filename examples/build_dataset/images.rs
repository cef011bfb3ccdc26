//! Finished images with their records.

use hart_examples::scene::{Colour, Figure, Relation, Scene};
use image::{Rgb, RgbImage};
use rand::Rng;
use serde::Serialize;
use serde_json::json;

use crate::captions::{self, slug};
use crate::concepts::Concept;
use crate::render::Drawing;

/// The styles of every concept.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub(crate) enum Style {
    /// Noto.
    Cartoon,
    /// Fluent, flat.
    Flat,
    /// Fluent, three-dimensional.
    Round,
}

impl Style {
    pub(crate) const ALL: [Self; 3] = [Self::Cartoon, Self::Flat, Self::Round];

    /// Its name in captions and records.
    pub(crate) fn name(self) -> &'static str {
        match self {
            Self::Cartoon => "cartoon",
            Self::Flat => "flat",
            Self::Round => "3D",
        }
    }
}

/// A line of a JSONL file.
#[derive(Debug, Clone, Serialize)]
pub(crate) struct Record {
    /// The image, relative to the file.
    pub(crate) image: String,
    /// Prompts that should give it, the plainest first.
    pub(crate) captions: Vec<String>,
    /// What it shows, by its kind.
    #[serde(flatten)]
    pub(crate) details: serde_json::Value,
}

/// A concept with its drawings in the most common sizes.
pub(crate) struct Drawn {
    pub(crate) concept: Concept,
    /// Twice the side of an image, for all other sizes.
    large: [Drawing; 3],
    /// As an object alone.
    whole: [Drawing; 3],
    /// As one of a pair.
    half: [Drawing; 3],
}

impl Drawn {
    /// Draws a concept for images with this side.
    pub(crate) fn new(concept: &Concept, side: u32) -> anyhow::Result<Self> {
        let large = [
            Drawing::from_svg(&concept.noto, 2 * side)?,
            Drawing::from_svg(&concept.flat, 2 * side)?,
            Drawing::from_image(&concept.round, 2 * side)?,
        ];
        let share = |share: f64| (f64::from(side) * share).round() as u32;
        let whole = large.each_ref().map(|drawing| drawing.resized(share(0.9)));
        let half = large.each_ref().map(|drawing| drawing.resized(share(0.47)));
        Ok(Self { concept: concept.clone(), large, whole, half })
    }
}

fn plain(side: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(side, side, Rgb(colour))
}

/// Draws with the centre at a point, given in fractions of the side.
fn lay(drawing: &Drawing, image: &mut RgbImage, middle: [f64; 2]) {
    let side = f64::from(image.width());
    let corner = middle.map(|at| (at * side - f64::from(drawing.side()) / 2.0).round() as i64);
    drawing.over(image, corner);
}

/// One concept in the middle of a plain background.
pub(crate) fn object(
    drawn: &Drawn,
    style: Style,
    background: Colour,
    side: u32,
) -> (Record, RgbImage) {
    let mut image = plain(side, background.rgb());
    lay(&drawn.whole[style as usize], &mut image, [0.5; 2]);
    let Concept { name, keywords, .. } = &drawn.concept;
    let words: Vec<&str> = keywords.iter().map(|keyword| keyword.text).collect();
    let file = format!("{}.{}.{}", slug(name.text), style.name(), background.name());
    let record = Record {
        image: format!("images/object/{}.png", file.to_lowercase()),
        captions: captions::object(*name, keywords, style, background),
        details: json!({
            "kind": "object",
            "concept": name.text,
            "keywords": words,
            "style": style.name(),
            "background": background.name(),
            "things": [captions::names(&drawn.concept)],
        }),
    };
    (record, image)
}

/// Two concepts of one style beside each other.
pub(crate) fn pair(
    index: usize,
    both: [&Drawn; 2],
    style: Style,
    relation: Relation,
    background: Colour,
    side: u32,
) -> (Record, RgbImage) {
    let mut image = plain(side, background.rgb());
    let direction = relation.direction();
    for (drawn, sign) in both.into_iter().zip([0.25, -0.25]) {
        lay(&drawn.half[style as usize], &mut image, direction.map(|way| 0.5 + sign * way));
    }
    let (forward, things) = captions::in_order(relation, both.map(|d| captions::names(&d.concept)));
    let names = both.map(|drawn| drawn.concept.name);
    let [first, second] = names.map(|name| name.text);
    let told = captions::pair(names, relation, style, background);
    let [a, b] = names;
    let reversed = captions::pair([b, a], relation.inverse(), style, background);
    let record = Record {
        image: format!("images/pair/{index:05}.png"),
        captions: captions::both_ways(relation, told, reversed),
        details: json!({
            "kind": "pair",
            "pair": { "first": first, "relation": relation, "second": second },
            "style": style.name(),
            "background": background.name(),
            "things": things,
            "relation": forward,
            "inverse": forward.inverse(),
        }),
    };
    (record, image)
}

/// A procedural scene, described from either figure, or from the first alone.
pub(crate) fn scene(
    folder: &str,
    index: usize,
    scene: &Scene,
    both_ways: bool,
    side: u32,
    draws: &mut impl Rng,
) -> (Record, RgbImage) {
    let (forward, things) = captions::in_order(scene.relation, scene.figures.map(captions::figure));
    let captions = if both_ways {
        captions::both_ways(scene.relation, scene.caption(), scene.reversed().caption())
    } else {
        vec![scene.caption()]
    };
    let record = Record {
        image: format!("images/{folder}/{index:05}.png"),
        captions,
        details: json!({
            "kind": "scene",
            "scene": scene,
            "background": scene.background,
            "things": things,
            "relation": forward,
            "inverse": forward.inverse(),
        }),
    };
    (record, scene.draw(side, draws))
}

/// A figure alone, `radius` of the side from its middle to its edge.
pub(crate) fn shape(
    index: usize,
    figure: Figure,
    background: Colour,
    radius: f64,
    side: u32,
) -> (Record, RgbImage) {
    let name = captions::plain_figure(figure);
    let record = Record {
        image: format!("images/shape/{index:05}.png"),
        captions: vec![format!("{name} on {} background", background.with_article())],
        details: json!({
            "kind": "shape",
            "background": background,
            "things": [[name]],
        }),
    };
    (record, figure.draw(background, radius, side))
}

/// One or two concepts anywhere, of any size, on any colour: for tokenizers, which need more
/// variety than prompts have.
pub(crate) fn extra(
    index: usize,
    choices: &[(&Drawn, Style)],
    background: [u8; 3],
    side: u32,
    draws: &mut impl Rng,
) -> (Record, RgbImage) {
    let mut image = plain(side, background);
    let (least, most) = if choices.len() == 1 { (0.5, 1.1) } else { (0.35, 0.65) };
    for &(drawn, style) in choices {
        let drawing = &drawn.large[style as usize];
        let share = least + (most - least) * uniform(draws);
        let drawing = drawing.resized((f64::from(side) * share).round() as u32);
        let mirrored = draws.next_u32().is_multiple_of(2);
        let drawing = if mirrored { drawing.mirrored() } else { drawing };
        // At most a tenth of a drawing is cut off, unless it is larger than the image.
        let reach = (1.0 - 0.8 * share).abs();
        let middle = [(); 2].map(|()| 0.5 + reach * (uniform(draws) - 0.5));
        lay(&drawing, &mut image, middle);
    }
    let shows: Vec<_> = choices
        .iter()
        .map(|(drawn, style)| json!({ "concept": drawn.concept.name.text, "style": style.name() }))
        .collect();
    let record = Record {
        image: format!("images/extra/{index:05}.png"),
        captions: vec!["a drawing".to_string()],
        details: json!({ "kind": "extra", "shows": shows }),
    };
    (record, image)
}

/// A number in [0, 1).
pub(crate) fn uniform(draws: &mut impl Rng) -> f64 {
    (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64
}
