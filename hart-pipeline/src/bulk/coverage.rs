//! How often each label comes, and each pair of labels.

use std::collections::BTreeMap;

use super::recipe::{Labels, Recipe};

/// A column of a file of prompts with more values than this is not counted.
const MOST_VALUES: usize = 100;

/// How a run is spread over what its recipe names: for each label, and each pair of labels of two
/// names, the share that the recipe aims at and how many pictures have it.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Coverage {
    /// Pictures of the run.
    pub pictures: u64,
    /// Labels, by name and label.
    pub labels: Vec<LabelCount>,
    /// Pairs of labels, the first one before the second by the alphabet.
    pub pairs: Vec<PairCount>,
}

/// How often a label comes.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct LabelCount {
    /// The name, such as `weather`.
    pub name: String,
    /// The label, such as `rain`.
    pub label: String,
    /// The share of pictures that is aimed at, from 0 to 1; `None` where prompts come from a file.
    pub wanted: Option<f64>,
    /// Pictures that have it.
    pub drawn: u64,
}

/// How often two labels come together.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct PairCount {
    /// The names.
    pub names: [String; 2],
    /// The labels.
    pub labels: [String; 2],
    /// The share of pictures that is aimed at, from 0 to 1, 0 where they exclude each other; `None`
    /// where prompts come from a file.
    pub wanted: Option<f64>,
    /// Pictures that have both.
    pub drawn: u64,
}

/// A name and a label.
type Key = (String, String);

impl Coverage {
    /// Draws every picture of a recipe and counts.
    pub(super) fn of(recipe: &Recipe) -> Self {
        let mut counts = Counts::default();
        if let Some(shares) = recipe.shares() {
            for ((name, label), _) in shares.values() {
                counts.place(name, label);
            }
        }
        for index in 0..recipe.pictures() {
            counts.add(recipe, &recipe.picture(index).labels);
        }
        counts.into_coverage(recipe)
    }
}

/// Counts by the place of a label.
#[derive(Default)]
struct Counts {
    places: BTreeMap<String, BTreeMap<String, usize>>,
    keys: Vec<Key>,
    labels: Vec<u64>,
    pairs: BTreeMap<[usize; 2], u64>,
}

impl Counts {
    fn known(&self, name: &str, label: &str) -> Option<usize> {
        self.places.get(name)?.get(label).copied()
    }

    /// The place of a label, a new one if it has none.
    fn place(&mut self, name: &str, label: &str) -> usize {
        if let Some(place) = self.known(name, label) {
            return place;
        }
        self.keys.push((name.to_string(), label.to_string()));
        self.labels.push(0);
        let place = self.keys.len() - 1;
        self.places.entry(name.to_string()).or_default().insert(label.to_string(), place);
        place
    }

    /// The place of a label if it is counted: of a grammar what its lists have, of a file of prompts
    /// columns without too many values.
    fn counted(&mut self, recipe: &Recipe, name: &str, label: &str) -> Option<usize> {
        if recipe.shares().is_some() || self.is_full(name) {
            return self.known(name, label);
        }
        Some(self.place(name, label))
    }

    fn is_full(&self, name: &str) -> bool {
        self.places.get(name).is_some_and(|labels| labels.len() > MOST_VALUES)
    }

    /// Counts a picture with these labels.
    fn add(&mut self, recipe: &Recipe, labels: &Labels) {
        let mut before: Vec<usize> = vec![];
        for (name, label) in labels {
            let label = label.as_str().map_or_else(|| label.to_string(), str::to_string);
            let Some(place) = self.counted(recipe, name, &label) else { continue };
            self.labels[place] += 1;
            if recipe.shares().is_none_or(|shares| shares.is_paired(name)) {
                for &other in &before {
                    *self.pairs.entry([other, place]).or_default() += 1;
                }
                before.push(place);
            }
        }
    }

    fn into_coverage(self, recipe: &Recipe) -> Coverage {
        let counted = |name: &str| recipe.shares().is_some() || !self.is_full(name);
        let mut labels: BTreeMap<Key, (Option<f64>, u64)> = BTreeMap::new();
        let mut pairs: BTreeMap<[Key; 2], (Option<f64>, u64)> = BTreeMap::new();
        for (key, drawn) in self.keys.iter().zip(&self.labels).filter(|(key, _)| counted(&key.0)) {
            labels.insert(key.clone(), (None, *drawn));
        }
        for (places, drawn) in &self.pairs {
            let keys = places.map(|place| self.keys[place].clone());
            if keys.iter().all(|(name, _)| counted(name)) {
                pairs.insert(keys, (None, *drawn));
            }
        }
        if let Some(shares) = recipe.shares() {
            let owned = |(name, label): (&str, &str)| (name.to_string(), label.to_string());
            for (key, share) in shares.values() {
                labels.entry(owned(key)).or_default().0 = Some(share);
            }
            for (keys, share) in shares.pairs() {
                pairs.entry(keys.map(owned)).or_default().0 = Some(share);
            }
        }
        let labels = labels.into_iter().map(|((name, label), (wanted, drawn))| LabelCount {
            name,
            label,
            wanted,
            drawn,
        });
        let pairs = pairs.into_iter().map(|([one, other], (wanted, drawn))| PairCount {
            names: [one.0, other.0],
            labels: [one.1, other.1],
            wanted,
            drawn,
        });
        Coverage { pictures: recipe.pictures(), labels: labels.collect(), pairs: pairs.collect() }
    }
}
