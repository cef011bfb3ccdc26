//! Which images are for training and which are withheld.

use std::collections::HashSet;

use hart_core::random::generator;
use hart_examples::scene::{Colour, Figure, Relation, Scene, Shape, Size};
use image::RgbImage;
use rand::Rng;

use crate::images::{Drawn, Record, Style, extra, object, pair, scene, shape, uniform};

/// The seed of all choices.
const SEED: u64 = 1;
/// Concepts whose three-dimensional drawing is withheld, at most a quarter of all.
const WITHHELD_STYLES: usize = 100;
/// One in this many (concept, background) and (colour, shape, relation) combinations is withheld.
const WITHHELD_ONE_IN: usize = 10;
/// Scenes made of withheld combinations.
const WITHHELD_SCENES: usize = 500;
/// One in this many training scenes is for tokenizers too.
const TOKENIZED_SCENES: usize = 4;

/// An image that is not made yet.
type Make<'a> = Box<dyn Fn() -> (Record, RgbImage) + Sync + Send + 'a>;

/// The images of one JSONL file.
pub(crate) struct Set<'a> {
    pub(crate) name: &'static str,
    pub(crate) images: Vec<Make<'a>>,
}

/// The numbers of images.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Plan {
    pub(crate) side: u32,
    pub(crate) white: usize,
    pub(crate) pairs: usize,
    pub(crate) scenes: usize,
    pub(crate) shapes: usize,
    pub(crate) extra: usize,
}

/// Streams of the seed.
#[derive(Clone, Copy)]
enum Stream {
    Styles = 1000,
    Backgrounds,
    Triples,
    Pairs,
    Scenes,
    HeldOutScenes,
    Extra,
    Shapes,
}

fn draws(stream: Stream, index: usize) -> impl Rng {
    generator(SEED, stream as u64, [index as u64, 0])
}

fn below(draws: &mut impl Rng, count: usize) -> usize {
    (draws.next_u64() % count as u64) as usize
}

/// `count` of some things, chosen at random from a fixed seed.
fn choose<T>(things: Vec<T>, count: usize, stream: Stream) -> impl Iterator<Item = T> {
    let mut draws = draws(stream, 0);
    let mut marked: Vec<(u64, T)> =
        things.into_iter().map(|thing| (draws.next_u64(), thing)).collect();
    marked.sort_by_key(|(mark, _)| *mark);
    marked.into_iter().take(count).map(|(_, thing)| thing)
}

/// What is withheld from training.
struct Withheld {
    styles: HashSet<usize>,
    backgrounds: HashSet<(usize, Colour)>,
    triples: HashSet<(Colour, Shape, Relation)>,
}

impl Withheld {
    fn choose(concepts: usize) -> Self {
        let coloured = || Colour::ALL.into_iter().filter(|&colour| colour != Colour::White);
        let backgrounds: Vec<_> = (0..concepts)
            .flat_map(|concept| coloured().map(move |colour| (concept, colour)))
            .collect();
        let figures = Colour::ALL.into_iter().flat_map(|c| Shape::ALL.map(|shape| (c, shape)));
        let triples: Vec<_> =
            figures.flat_map(|(c, shape)| Relation::ALL.map(|r| (c, shape, r))).collect();
        let (some, few) = (backgrounds.len() / WITHHELD_ONE_IN, triples.len() / WITHHELD_ONE_IN);
        let styles = WITHHELD_STYLES.min(concepts / 4);
        Self {
            styles: choose((0..concepts).collect(), styles, Stream::Styles).collect(),
            backgrounds: choose(backgrounds, some, Stream::Backgrounds).collect(),
            triples: choose(triples, few, Stream::Triples).collect(),
        }
    }

    fn style(&self, concept: usize, style: Style) -> bool {
        style == Style::Round && self.styles.contains(&concept)
    }

    fn object(&self, concept: usize, style: Style, background: Colour) -> bool {
        self.style(concept, style) || self.backgrounds.contains(&(concept, background))
    }
}

impl Plan {
    /// All sets.
    pub(crate) fn sets<'a>(&self, trained: &'a [Drawn], unseen: &'a [Drawn]) -> Vec<Set<'a>> {
        let withheld = Withheld::choose(trained.len());
        let (mut train, mut tokenizer): (Vec<Make<'a>>, Vec<Make<'a>>) = (vec![], vec![]);
        let (mut styles, mut backgrounds) = (vec![], vec![]);
        for (index, drawn) in trained.iter().enumerate() {
            for (style, colour) in variants() {
                let make = || self.object(drawn, style, colour);
                if withheld.style(index, style) {
                    styles.extend((colour == Colour::White).then(make));
                } else if withheld.backgrounds.contains(&(index, colour)) {
                    backgrounds.push(make());
                } else {
                    let times = if colour == Colour::White { self.white } else { 1 };
                    train.extend((0..times).map(|_| make()));
                    tokenizer.push(make());
                }
            }
        }
        train.extend((0..self.pairs).map(|index| self.pair(index, trained, &withheld)));
        let scene = |index| self.scene(Stream::Scenes, index, &withheld);
        train.extend((0..self.scenes).map(scene));
        train.extend((0..self.shapes).map(|index| self.shape(index, trained)));
        tokenizer.extend((0..self.scenes / TOKENIZED_SCENES).map(scene));
        tokenizer.extend((0..self.extra).map(|index| self.extra(index, trained, &withheld)));
        let heldout = |index| self.scene(Stream::HeldOutScenes, index, &withheld);
        let never = unseen
            .iter()
            .flat_map(|drawn| Style::ALL.map(|style| self.object(drawn, style, Colour::White)));
        vec![
            Set { name: "train", images: train },
            Set { name: "tokenizer", images: tokenizer },
            Set { name: "heldout_style", images: styles },
            Set { name: "heldout_background", images: backgrounds },
            Set { name: "heldout_scenes", images: (0..WITHHELD_SCENES).map(heldout).collect() },
            Set { name: "unseen", images: never.collect() },
        ]
    }

    fn object<'a>(&self, drawn: &'a Drawn, style: Style, colour: Colour) -> Make<'a> {
        let side = self.side;
        Box::new(move || object(drawn, style, colour, side))
    }

    /// Two concepts, neither of them withheld in this style or on this background.
    fn pair<'a>(&self, index: usize, trained: &'a [Drawn], withheld: &Withheld) -> Make<'a> {
        let (side, mut draws) = (self.side, draws(Stream::Pairs, index));
        loop {
            let both = [(); 2].map(|()| below(&mut draws, trained.len()));
            let style = Style::ALL[below(&mut draws, 3)];
            let relation = Relation::ALL[below(&mut draws, 4)];
            let white = below(&mut draws, 2) == 0;
            let colour = if white { Colour::White } else { Colour::ALL[below(&mut draws, 10)] };
            if both[0] != both[1]
                && !both.iter().any(|&concept| withheld.object(concept, style, colour))
            {
                let both = both.map(|concept| &trained[concept]);
                return Box::new(move || pair(index, both, style, relation, colour, side));
            }
        }
    }

    /// A scene without any withheld triple, or one whose first figure shows one.
    fn scene<'a>(&self, stream: Stream, index: usize, withheld: &Withheld) -> Make<'a> {
        let (side, mut choice) = (self.side, draws(stream, index));
        let heldout = matches!(stream, Stream::HeldOutScenes);
        let folder = if heldout { "heldout-scene" } else { "scene" };
        loop {
            let found = Scene::random(&mut choice);
            let hidden = found.triples().map(|triple| withheld.triples.contains(&triple));
            if if heldout { hidden[0] } else { hidden == [false; 2] } {
                return Box::new(move || {
                    let mut jitter = generator(SEED, stream as u64, [index as u64, 1]);
                    scene(folder, index, &found, !heldout, side, &mut jitter)
                });
            }
        }
    }

    /// A figure alone, unless a concept has its name; half of them are on white.
    fn shape<'a>(&self, index: usize, trained: &[Drawn]) -> Make<'a> {
        let (side, mut draws) = (self.side, draws(Stream::Shapes, index));
        loop {
            let shape = Shape::ALL[below(&mut draws, 6)];
            let colour = Colour::ALL[below(&mut draws, 10)];
            let white = below(&mut draws, 2) == 0;
            let background = if white { Colour::White } else { Colour::ALL[below(&mut draws, 10)] };
            let radius = 0.22 + 0.14 * uniform(&mut draws);
            let name = format!("{} {}", colour.name(), shape.name());
            let is_concept = trained.iter().any(|drawn| drawn.concept.name.text == name)
                || (colour, shape) == (Colour::Yellow, Shape::Star);
            if colour.apart(background) && !is_concept {
                let figure = Figure { colour, shape, size: Size::Large };
                return Box::new(move || self::shape(index, figure, background, radius, side));
            }
        }
    }

    /// One or two concepts anywhere; a quarter on white, a quarter on other named colours.
    fn extra<'a>(&self, index: usize, trained: &'a [Drawn], withheld: &Withheld) -> Make<'a> {
        let (side, mut choice) = (self.side, draws(Stream::Extra, index));
        let (named, background) = match below(&mut choice, 4) {
            0 => (Some(Colour::White), Colour::White.rgb()),
            1 => {
                let colour = Colour::ALL[below(&mut choice, 10)];
                (Some(colour), colour.rgb())
            }
            _ => (None, [(); 3].map(|()| (uniform(&mut choice) * 256.0) as u8)),
        };
        let count = if below(&mut choice, 3) == 0 { 2 } else { 1 };
        let mut choices = vec![];
        while choices.len() < count {
            let concept = below(&mut choice, trained.len());
            let style = Style::ALL[below(&mut choice, 3)];
            let on_named = |colour| withheld.object(concept, style, colour);
            if !withheld.style(concept, style) && !named.is_some_and(on_named) {
                choices.push((&trained[concept], style));
            }
        }
        Box::new(move || {
            let mut places = generator(SEED, Stream::Extra as u64, [index as u64, 1]);
            extra(index, &choices, background, side, &mut places)
        })
    }
}

/// Every style on every background.
fn variants() -> impl Iterator<Item = (Style, Colour)> {
    Style::ALL.into_iter().flat_map(|style| Colour::ALL.map(|colour| (style, colour)))
}

#[cfg(test)]
mod tests {
    use hart_examples::scene::{Colour, Scene};

    use super::{Stream, Withheld, draws};

    #[test]
    fn a_tenth_is_withheld_and_white_never() {
        let withheld = Withheld::choose(400);
        assert_eq!(withheld.styles.len(), 100);
        assert_eq!(withheld.backgrounds.len(), 360);
        assert_eq!(withheld.triples.len(), 24);
        assert!(withheld.backgrounds.iter().all(|(_, colour)| *colour != Colour::White));
    }

    #[test]
    fn every_withheld_triple_can_be_shown() {
        let withheld = Withheld::choose(400);
        let mut draws = draws(Stream::HeldOutScenes, 7);
        let shown = (0..20_000).map(|_| Scene::random(&mut draws).triples()[0]);
        let shown: std::collections::HashSet<_> = shown.collect();
        assert!(withheld.triples.iter().all(|triple| shown.contains(triple)));
    }
}
