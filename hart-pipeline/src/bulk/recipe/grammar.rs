//! A template and its lists, ready to be drawn from.

use std::collections::BTreeMap;

use hart_core::random::{generator, uniform};
use rand::Rng;
use serde_json::Value;

use super::Labels;

/// The stream of a run's seed from which what a picture shows is drawn.
const SHOWN: u64 = 200;

/// What pictures may show.
#[derive(Debug, Clone)]
pub(super) struct Grammar {
    pub(super) forms: Vec<Form>,
}

/// One of the templates.
#[derive(Debug, Clone)]
pub(super) struct Form {
    pub(super) weight: f64,
    pub(super) pieces: Vec<Piece>,
    pub(super) slots: Vec<Slot>,
    pub(super) exclusions: Vec<Exclusion>,
}

/// A piece of a template.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// Words as they are.
    Text(String),
    /// The value of a slot of the form, by its place.
    Slot(usize),
}

/// What is chosen for a name in braces. A list that a template names twice, as `{colour}` and
/// `{colour.2}`, makes two slots.
#[derive(Debug, Clone)]
pub(super) struct Slot {
    pub(super) name: String,
    pub(super) values: Vec<SlotValue>,
}

/// A value of a slot, with a weight above 0.
#[derive(Debug, Clone)]
pub(super) struct SlotValue {
    pub(super) weight: f64,
    pub(super) text: String,
    pub(super) label: String,
    /// Further labels, with the key that they have in this slot.
    pub(super) labels: Vec<(String, String)>,
}

/// Values that do not occur together.
#[derive(Debug, Clone)]
pub(super) enum Exclusion {
    /// For each of some slots whether a value is among those excluded.
    Together(Vec<(usize, Vec<bool>)>),
    /// Slots with the same label.
    Same(Vec<usize>),
}

impl Exclusion {
    /// The slots that it is about.
    pub(super) fn slots(&self) -> Vec<usize> {
        match self {
            Self::Together(parts) => parts.iter().map(|(slot, _)| *slot).collect(),
            Self::Same(slots) => slots.clone(),
        }
    }

    /// Whether it excludes these values, of all slots.
    pub(super) fn excludes(&self, slots: &[Slot], chosen: &[usize]) -> bool {
        match self {
            Self::Together(parts) => parts.iter().all(|(slot, values)| values[chosen[*slot]]),
            Self::Same(same) => {
                let label = |slot: usize| &slots[slot].values[chosen[slot]].label;
                let pairs = same.iter().enumerate();
                pairs.into_iter().any(|(place, &one)| {
                    same[place + 1..].iter().any(|&other| label(one) == label(other))
                })
            }
        }
    }
}

impl Grammar {
    /// The prompt and the labels of a picture of a run: a function of the run's seed and the
    /// picture's index.
    pub(super) fn draw(&self, seed: u64, index: u64) -> (String, Labels) {
        let mut draws = generator(seed, SHOWN, [index, 0]);
        let form = &self.forms[choose(self.forms.iter().map(|form| form.weight), &mut draws)];
        let chosen = form.choose(&mut draws);
        (form.text(&chosen), form.labels(&chosen))
    }
}

impl Form {
    /// A value of every slot. Of combinations that are excluded another one is drawn: the rest keep
    /// their shares of each other. The check of a recipe has seen to it that enough is left.
    fn choose(&self, draws: &mut impl Rng) -> Vec<usize> {
        loop {
            let mut value = |slot: &Slot| choose(slot.values.iter().map(|v| v.weight), draws);
            let chosen: Vec<usize> = self.slots.iter().map(&mut value).collect();
            if self.allows(&chosen) {
                return chosen;
            }
        }
    }

    /// Whether no exclusion is about these values.
    pub(super) fn allows(&self, chosen: &[usize]) -> bool {
        !self.exclusions.iter().any(|exclusion| exclusion.excludes(&self.slots, chosen))
    }

    fn text(&self, chosen: &[usize]) -> String {
        let pieces = self.pieces.iter().map(|piece| match piece {
            Piece::Text(text) => text.as_str(),
            Piece::Slot(slot) => self.slots[*slot].values[chosen[*slot]].text.as_str(),
        });
        pieces.collect()
    }

    fn labels(&self, chosen: &[usize]) -> Labels {
        let mut labels = BTreeMap::new();
        for (slot, &value) in self.slots.iter().zip(chosen) {
            let value = &slot.values[value];
            labels.insert(slot.name.clone(), Value::from(value.label.as_str()));
            let further = value.labels.iter();
            labels.extend(further.map(|(key, label)| (key.clone(), Value::from(label.as_str()))));
        }
        labels
    }
}

/// A place by weights, which sum to more than 0.
fn choose(weights: impl Iterator<Item = f64> + Clone, draws: &mut impl Rng) -> usize {
    let total: f64 = weights.clone().sum();
    let mut left = uniform(draws.next_u64()) * total;
    let mut last = 0;
    for (place, weight) in weights.enumerate() {
        left -= weight;
        if left < 0.0 {
            return place;
        }
        last = place;
    }
    // Rounding may leave a little of the last one.
    last
}
