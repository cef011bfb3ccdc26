//! Which pictures are trained on and which are held out.

use std::collections::HashSet;
use std::path::Path;

use hart_core::random::generator;
use hart_examples::scene::{Colour, Relation, Scene, Shape};
use image::RgbImage;
use rand::Rng;
use serde_json::json;

use crate::concepts::Concepts;
use crate::packages::ALL;
use crate::pictures::{Drawn, Record, Style, extra, object, pair, scene};

/// The seed of everything that is chosen.
const SEED: u64 = 1;
/// Concepts whose three-dimensional drawing is withheld.
const WITHHELD_STYLES: usize = 100;
/// One in so many (concept, background) and (colour, shape, relation) combinations is withheld.
const WITHHELD_ONE_IN: u64 = 10;
/// Scenes made of withheld combinations.
const WITHHELD_SCENES: usize = 500;
/// How often an object on white is in the training set: it is what most people ask for.
const WHITE_WEIGHT: usize = 3;

/// Makes one picture.
type Make<'a> = Box<dyn Fn() -> (Record, RgbImage) + Sync + Send + 'a>;

/// The pictures of one JSONL file.
pub(crate) struct Set<'a> {
    pub(crate) name: &'static str,
    pub(crate) pictures: Vec<Make<'a>>,
}

/// How much of everything is made.
pub(crate) struct Plan {
    pub(crate) side: u32,
    pub(crate) pairs: usize,
    pub(crate) scenes: usize,
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
}

fn draws(stream: Stream, index: usize) -> impl Rng {
    generator(SEED, stream as u64, [index as u64, 0])
}

/// What training never sees.
struct Withheld {
    styles: HashSet<usize>,
    backgrounds: HashSet<(usize, Colour)>,
    triples: HashSet<(Colour, Shape, Relation)>,
}

impl Withheld {
    fn choose(concepts: usize) -> Self {
        let mut order: Vec<usize> = (0..concepts).collect();
        order.sort_by_key(|&concept| draws(Stream::Styles, concept).next_u64());
        let mut choice = draws(Stream::Backgrounds, 0);
        let mut chosen = || choice.next_u64().is_multiple_of(WITHHELD_ONE_IN);
        let coloured = Colour::ALL.into_iter().filter(|&colour| colour != Colour::White);
        let all = (0..concepts).flat_map(|concept| coloured.clone().map(move |c| (concept, c)));
        let backgrounds = all.filter(|_| chosen()).collect();
        let mut choice = draws(Stream::Triples, 0);
        let mut triples = HashSet::new();
        for colour in Colour::ALL {
            for shape in Shape::ALL {
                for relation in Relation::ALL {
                    if choice.next_u64().is_multiple_of(WITHHELD_ONE_IN) {
                        triples.insert((colour, shape, relation));
                    }
                }
            }
        }
        let styles = order.into_iter().take(WITHHELD_STYLES.min(concepts / 4)).collect();
        Self { styles, backgrounds, triples }
    }

    fn style(&self, concept: usize, style: Style) -> bool {
        style == Style::Round && self.styles.contains(&concept)
    }
}

impl Plan {
    /// All sets.
    pub(crate) fn sets<'a>(&self, trained: &'a [Drawn], unseen: &'a [Drawn]) -> Vec<Set<'a>> {
        let withheld = Withheld::choose(trained.len());
        let mut train: Vec<Make<'a>> = vec![];
        let mut tokenizer: Vec<Make<'a>> = vec![];
        let (mut styles, mut backgrounds) = (vec![], vec![]);
        for (index, drawn) in trained.iter().enumerate() {
            for style in Style::ALL {
                for colour in Colour::ALL {
                    let make = || self.object(drawn, style, colour);
                    if withheld.style(index, style) {
                        if colour == Colour::White {
                            styles.push(make());
                        }
                    } else if withheld.backgrounds.contains(&(index, colour)) {
                        backgrounds.push(make());
                    } else if colour == Colour::White {
                        train.extend((0..WHITE_WEIGHT).map(|_| make()));
                        tokenizer.push(make());
                    } else {
                        train.push(make());
                    }
                }
            }
        }
        train.extend(self.pairs(trained, &withheld));
        let (scenes, heldout) = self.scenes(&withheld);
        train.extend(scenes);
        tokenizer.extend(self.scenes(&withheld).0.into_iter().take(self.scenes / 4));
        tokenizer.extend(self.extras(trained, &withheld));
        let never = unseen.iter().flat_map(|drawn| {
            Style::ALL.map(|style| self.object(drawn, style, Colour::White))
        });
        vec![
            Set { name: "train", pictures: train },
            Set { name: "tokenizer", pictures: tokenizer },
            Set { name: "heldout_style", pictures: styles },
            Set { name: "heldout_background", pictures: backgrounds },
            Set { name: "heldout_scenes", pictures: heldout },
            Set { name: "unseen", pictures: never.collect() },
        ]
    }

    fn object<'a>(&self, drawn: &'a Drawn, style: Style, colour: Colour) -> Make<'a> {
        let side = self.side;
        Box::new(move || object(drawn, style, colour, side))
    }

    fn pairs<'a>(&self, trained: &'a [Drawn], withheld: &Withheld) -> Vec<Make<'a>> {
        let side = self.side;
        let make = |index: usize| -> Make<'a> {
            let mut draws = draws(Stream::Pairs, index);
            let mut below = |count: usize| draws.next_u64() as usize % count;
            loop {
                let (first, second) = (below(trained.len()), below(trained.len()));
                let style = Style::ALL[below(3)];
                let relation = Relation::ALL[below(4)];
                let colour = if below(2) == 0 { Colour::White } else { Colour::ALL[below(10)] };
                let hidden = [first, second].iter().any(|&concept| {
                    withheld.style(concept, style) || withheld.backgrounds.contains(&(concept, colour))
                });
                if first != second && !hidden {
                    let both = [&trained[first], &trained[second]];
                    return Box::new(move || pair(index, both, style, relation, colour, side));
                }
            }
        };
        (0..self.pairs).map(make).collect()
    }

    /// Scenes to train on, without any withheld triple, and scenes whose first figure shows one.
    fn scenes<'a>(&self, withheld: &Withheld) -> (Vec<Make<'a>>, Vec<Make<'a>>) {
        let side = self.side;
        let many = |stream: Stream, folder: &'static str, count: usize, held: bool| {
            let make = |index: usize| -> Make<'a> {
                let mut choice = draws(stream, index);
                loop {
                    let found = Scene::random(&mut choice);
                    let hidden = found.triples().map(|triple| withheld.triples.contains(&triple));
                    if (held && hidden[0]) || (!held && hidden == [false; 2]) {
                        return Box::new(move || {
                            let mut jitter = generator(SEED, stream as u64, [index as u64, 1]);
                            scene(folder, index, &found, side, &mut jitter)
                        });
                    }
                }
            };
            (0..count).map(make).collect()
        };
        (
            many(Stream::Scenes, "scenes", self.scenes, false),
            many(Stream::HeldOutScenes, "heldout-scenes", WITHHELD_SCENES, true),
        )
    }

    fn extras<'a>(&self, trained: &'a [Drawn], withheld: &Withheld) -> Vec<Make<'a>> {
        let side = self.side;
        let make = |index: usize| -> Make<'a> {
            let mut choice = draws(Stream::Extra, index);
            let count = if choice.next_u32().is_multiple_of(3) { 2 } else { 1 };
            let mut choices = vec![];
            while choices.len() < count {
                let concept = choice.next_u64() as usize % trained.len();
                let style = Style::ALL[choice.next_u32() as usize % 3];
                if !withheld.style(concept, style) {
                    choices.push((&trained[concept], style));
                }
            }
            Box::new(move || {
                let mut places = generator(SEED, Stream::Extra as u64, [index as u64, 1]);
                extra(index, &choices, side, &mut places)
            })
        };
        (0..self.extra).map(make).collect()
    }
}

/// Writes `dataset.json` and `SOURCES.md`.
pub(crate) fn describe(
    folder: &Path,
    plan: &Plan,
    sets: &[Set<'_>],
    concepts: &Concepts,
) -> anyhow::Result<()> {
    let names = |list: &[crate::concepts::Concept]| -> Vec<String> {
        list.iter().map(|concept| concept.name.clone()).collect()
    };
    let packages = ALL.map(|package| {
        json!({ "name": package.name, "version": package.version, "sha256": package.sha256,
                "licence": package.licence })
    });
    let counts: serde_json::Map<_, _> =
        sets.iter().map(|set| (set.name.to_string(), json!(set.pictures.len()))).collect();
    let colours: serde_json::Map<_, _> =
        Colour::ALL.iter().map(|c| (c.name().to_string(), json!(c.rgb()))).collect();
    let description = json!({
        "side": plan.side,
        "records": counts,
        "colours": colours,
        "concepts": names(&concepts.trained),
        "unseen": names(&concepts.unseen),
        "packages": packages,
    });
    hart_core::write_atomically(
        folder.join("dataset.json"),
        &serde_json::to_vec_pretty(&description)?,
    )?;
    hart_core::write_atomically(folder.join("SOURCES.md"), sources().as_bytes())?;
    Ok(())
}

/// Where everything comes from.
pub(crate) fn sources() -> String {
    let mut text = "# Sources\n\n| package | version | licence | by | SHA-256 |\n|---|---|---|---|---|\n"
        .to_string();
    for package in ALL {
        text += &format!(
            "| {} | {} | {} | {} | {} |\n",
            package.name, package.version, package.licence, package.origin, package.sha256
        );
    }
    text += "\nThe drawings were scaled and laid over plain backgrounds. Scenes of plain shapes are \
             drawn by the program itself.\n";
    text
}
