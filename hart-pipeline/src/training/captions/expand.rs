//! From a form to the words of a caption.

use hart_core::random::uniform;
use rand::Rng;
use serde_json::Value;

use super::file::{
    Alternative, Alternatives, GrammarFile, INVERSE, OTHER, Piece, RELATION, Rule, of_thing, pieces,
};
use super::noise::{Word, below, chance};
use super::nouns;
use crate::training::data::Record;

/// The names of each thing that a record shows: the record's own, and those of the grammar behind
/// the first one.
pub(super) fn names(record: &Record, file: &GrammarFile) -> Vec<Vec<String>> {
    let things = record.details.get("things").and_then(Value::as_array);
    let thing = |names: &Value| -> Vec<String> {
        let names = names.as_array().into_iter().flatten();
        let names: Vec<String> = names.filter_map(Value::as_str).map(str::to_string).collect();
        let further = names.first().and_then(|first| file.names.get(nouns::bare(first).0));
        names.into_iter().chain(further.into_iter().flatten().cloned()).collect()
    };
    things.into_iter().flatten().map(thing).filter(|names| !names.is_empty()).collect()
}

/// What a caption tells of a record.
pub(super) struct Shown<'a> {
    record: &'a Record,
    file: &'a GrammarFile,
    /// The name by which each thing is called.
    things: Vec<String>,
    /// Whether it is told from the second thing.
    reversed: bool,
}

/// A caption on its way: texts with the part that each belongs to.
#[derive(Default)]
struct Caption {
    texts: Vec<(String, Option<usize>)>,
    parts: usize,
}

impl<'a> Shown<'a> {
    /// Chooses the names of things, and from which one to tell. `None` for a record without things.
    pub(super) fn of(
        record: &'a Record,
        file: &'a GrammarFile,
        draws: &mut impl Rng,
    ) -> Option<Self> {
        let all = names(record, file);
        let mut things: Vec<String> = vec![];
        for names in &all {
            let plain = chance(file.plain_names, draws);
            let further = file.names.get(nouns::bare(&names[0]).0).map_or(0, Vec::len);
            let place = if plain {
                // The first one, or one of the grammar's, which are the last.
                let chosen = below(1 + further, draws);
                if chosen == 0 { 0 } else { names.len() - chosen }
            } else {
                below(names.len(), draws)
            };
            things.push(names[place].clone());
        }
        let reversed = record.details.contains_key(INVERSE) && chance(file.reversed, draws);
        if reversed {
            things.reverse();
        }
        (!things.is_empty()).then_some(Self { record, file, things, reversed })
    }

    /// The words of a caption, by one of some forms. `None` when a column is missing.
    pub(super) fn expand(&self, forms: &Rule, draws: &mut impl Rng) -> Option<Vec<Word>> {
        let mut caption = Caption::default();
        self.rule(forms, None, &mut caption, draws)?;
        Some(caption.words())
    }

    fn column(&self, name: &str) -> Option<&str> {
        let name = if name == RELATION && self.reversed { INVERSE } else { name };
        self.record.text(name)
    }

    /// Adds an alternative of a rule.
    fn rule(
        &self,
        rule: &Rule,
        part: Option<usize>,
        caption: &mut Caption,
        draws: &mut impl Rng,
    ) -> Option<()> {
        let list = match rule {
            Rule::Always(list) => list,
            Rule::ByColumn { by, cases } => {
                let value = self.column(by).unwrap_or(OTHER);
                cases.get(value).or_else(|| cases.get(OTHER))?
            }
        };
        for piece in pieces(&choose(list, draws).text)? {
            match piece {
                Piece::Text(text) => caption.texts.push((text.to_string(), part)),
                Piece::Slot(name, inner) => self.slot([Some(name), inner], part, caption, draws)?,
            }
        }
        Some(())
    }

    /// Adds what is in braces: a name, and the rule after a colon.
    fn slot(
        &self,
        [name, inner]: [Option<&str>; 2],
        part: Option<usize>,
        caption: &mut Caption,
        draws: &mut impl Rng,
    ) -> Option<()> {
        let name = name?;
        if let Some(rule) = self.file.rules.get(name) {
            let kept = self.file.keep.contains(name).then(|| caption.new_part());
            return self.rule(rule, part.or(kept), caption, draws);
        }
        let part = part.or_else(|| Some(caption.new_part()));
        let Some((kind, place)) = of_thing(name) else {
            caption.texts.push((self.column(name)?.to_string(), part));
            return Some(());
        };
        let thing = self.things.get(place)?;
        let (noun, counted) = nouns::bare(thing);
        let between = match inner {
            Some(rule) => self.between(rule, draws)?,
            None => String::new(),
        };
        let text = match kind {
            "plural" => between + &nouns::plural(thing),
            "a" if counted => {
                let words = between + noun;
                format!("{} {words}", nouns::article(&words))
            }
            _ => between + noun,
        };
        caption.texts.push((text, part));
        Some(())
    }

    /// The words between an article and a name.
    fn between(&self, rule: &str, draws: &mut impl Rng) -> Option<String> {
        let mut caption = Caption::default();
        self.rule(self.file.rules.get(rule)?, None, &mut caption, draws)?;
        let texts = caption.texts.into_iter().filter(|(text, _)| !text.is_empty());
        Some(texts.map(|(text, _)| text + " ").collect())
    }
}

impl Caption {
    fn new_part(&mut self) -> usize {
        self.parts += 1;
        self.parts
    }

    /// Its words. Texts that meet without a blank make one word.
    fn words(self) -> Vec<Word> {
        let mut words: Vec<Word> = vec![];
        let mut is_open = false;
        for (text, part) in self.texts.iter().filter(|(text, _)| !text.is_empty()) {
            let begins_anew = text.starts_with(' ');
            for (place, word) in text.split_whitespace().enumerate() {
                match words.last_mut().filter(|_| place == 0 && is_open && !begins_anew) {
                    Some(last) => {
                        last.text += word;
                        last.part = last.part.or(*part);
                    }
                    None => words.push(Word { text: word.to_string(), part: *part }),
                }
            }
            is_open = !text.ends_with(' ');
        }
        words
    }
}

/// One of some alternatives, by their weights.
fn choose<'a>(list: &'a Alternatives, draws: &mut impl Rng) -> &'a Alternative {
    let total: f64 = list.iter().map(|alternative| alternative.weight).sum();
    let mut left = uniform(draws.next_u64()) * total;
    let chosen = list.iter().find(|alternative| {
        left -= alternative.weight;
        left < 0.0
    });
    chosen.unwrap_or(&list[list.len() - 1])
}
