//! Finished pictures with their captions.

use hart_examples::scene::{Colour, Relation, Scene};
use image::{Rgb, RgbImage};
use rand::Rng;
use serde::Serialize;
use serde_json::json;

use crate::concepts::Concept;
use crate::render::Drawing;

/// The designs of every concept, as captions call them.
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
    pub(crate) image: String,
    pub(crate) captions: Vec<String>,
    #[serde(flatten)]
    pub(crate) details: serde_json::Map<String, serde_json::Value>,
}

/// A concept with its three drawings.
pub(crate) struct Drawn {
    pub(crate) concept: Concept,
    drawings: [Drawing; 3],
}

impl Drawn {
    pub(crate) fn new(concept: &Concept) -> anyhow::Result<Self> {
        let drawings = [
            Drawing::from_svg(&concept.noto)?,
            Drawing::from_svg(&concept.flat)?,
            Drawing::from_picture(&concept.round)?,
        ];
        Ok(Self { concept: concept.clone(), drawings })
    }

    pub(crate) fn drawing(&self, style: Style) -> &Drawing {
        &self.drawings[style as usize]
    }
}

/// A name with its article: none for several things and for what cannot be counted.
pub(crate) fn with_article(name: &str) -> String {
    const NONE: [&str; 49] = [
        "glasses", "sunglasses", "jeans", "gloves", "socks", "scissors", "grapes", "cherries",
        "blueberries", "peanuts", "pancakes", "french fries", "books", "fireworks", "paw prints",
        "fire", "bread", "bacon", "popcorn", "spaghetti", "sushi", "coffee", "beer", "bubble tea",
        "soap", "yarn", "thread", "tennis", "bowling", "ice hockey", "ping pong", "lightning",
        "garlic", "broccoli", "cooking", "ice cream", "soft serve", "candy", "camping", "chips",
        "flowers", "gifts", "money", "music", "noodles", "pasta", "rain", "tea", "milk",
    ];
    if NONE.contains(&name) || name.starts_with("1st") {
        return name.to_string();
    }
    let vowel = name.starts_with(['a', 'e', 'i', 'o', 'u']) && !name.starts_with("uni");
    format!("{} {name}", if vowel { "an" } else { "a" })
}

/// What a caption ends with.
fn ending(style: Style, background: Colour) -> String {
    let article = if background == Colour::Orange { "an" } else { "a" };
    match background {
        Colour::White => format!(", {} style", style.name()),
        other => format!(", {} style, on {article} {} background", style.name(), other.name()),
    }
}

fn slug(text: &str) -> String {
    text.chars().map(|c| if c.is_ascii_alphanumeric() { c } else { '-' }).collect()
}

fn plain(side: u32, colour: [u8; 3]) -> RgbImage {
    RgbImage::from_pixel(side, side, Rgb(colour))
}

/// One concept in the middle of a plain background.
pub(crate) fn object(
    drawn: &Drawn,
    style: Style,
    background: Colour,
    side: u32,
) -> (Record, RgbImage) {
    let mut picture = plain(side, background.rgb());
    let size = (f64::from(side) * 0.9).round() as u32;
    let corner = i64::from((side - size) / 2);
    drawn.drawing(style).resized(size).over(&mut picture, [corner; 2]);
    let concept = &drawn.concept;
    let words = std::iter::once(&concept.name).chain(&concept.keywords);
    let record = Record {
        image: format!("objects/{}.{}.{}.png", slug(&concept.name), style.name(), background.name()),
        captions: words.map(|word| with_article(word) + &ending(style, background)).collect(),
        details: details(json!({
            "kind": "object",
            "concept": concept.name,
            "style": style.name(),
            "background": background.name(),
        })),
    };
    (record, picture)
}

fn details(value: serde_json::Value) -> serde_json::Map<String, serde_json::Value> {
    value.as_object().cloned().unwrap_or_default()
}

/// Two concepts of one style beside each other.
pub(crate) fn pair(
    index: usize,
    [first, second]: [&Drawn; 2],
    style: Style,
    relation: Relation,
    background: Colour,
    side: u32,
) -> (Record, RgbImage) {
    let mut picture = plain(side, background.rgb());
    let size = (f64::from(side) * 0.47).round() as u32;
    let [dx, dy] = relation.direction();
    for (drawn, sign) in [(first, 1.0), (second, -1.0)] {
        let at = |way: f64| {
            let centre = f64::from(side) * (0.5 + sign * way * 0.25);
            (centre - f64::from(size) / 2.0).round() as i64
        };
        drawn.drawing(style).resized(size).over(&mut picture, [at(dx), at(dy)]);
    }
    let names = [first, second].map(|drawn| with_article(&drawn.concept.name));
    let caption = format!("{} {} {}", names[0], relation.name(), names[1]);
    let record = Record {
        image: format!("pairs/{index:05}.png"),
        captions: vec![caption + &ending(style, background)],
        details: details(json!({
            "kind": "pair",
            "first": first.concept.name,
            "second": second.concept.name,
            "relation": relation.name(),
            "style": style.name(),
            "background": background.name(),
        })),
    };
    (record, picture)
}

/// A procedural scene.
pub(crate) fn scene(
    folder: &str,
    index: usize,
    scene: &Scene,
    side: u32,
    draws: &mut impl Rng,
) -> (Record, RgbImage) {
    let record = Record {
        image: format!("{folder}/{index:05}.png"),
        captions: vec![scene.caption()],
        details: details(json!({ "kind": "scene", "scene": scene })),
    };
    (record, scene.draw(side, draws))
}

/// One or two concepts anywhere, of any size, on any colour: for tokenizers, which need to see more
/// than what is asked for.
pub(crate) fn extra(
    index: usize,
    choices: &[(&Drawn, Style)],
    side: u32,
    draws: &mut impl Rng,
) -> (Record, RgbImage) {
    let mut uniform = || (draws.next_u64() >> 11) as f64 / (1u64 << 53) as f64;
    let colour = match (uniform() * 4.0) as usize {
        0 => [255; 3],
        1 => Colour::ALL[(uniform() * 10.0) as usize].rgb(),
        _ => [(); 3].map(|()| (uniform() * 256.0) as u8),
    };
    let mut picture = plain(side, colour);
    for &(drawn, style) in choices {
        let share = match choices.len() {
            1 => 0.5 + 0.6 * uniform(),
            _ => 0.35 + 0.3 * uniform(),
        };
        let size = ((f64::from(side) * share) as u32).max(4);
        let drawing = drawn.drawing(style);
        let drawing = if uniform() < 0.5 { drawing.mirrored() } else { drawing.clone() };
        let mut at = || (uniform() * (f64::from(side) - f64::from(size) * 0.9)) as i64 - 2;
        let corner = [at(), at()];
        drawing.resized(size).over(&mut picture, corner);
    }
    let record = Record {
        image: format!("extra/{index:05}.png"),
        captions: vec!["a drawing".to_string()],
        details: details(json!({ "kind": "extra" })),
    };
    (record, picture)
}
