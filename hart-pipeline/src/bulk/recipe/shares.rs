//! How often the values of a grammar are to be expected.

use std::collections::{BTreeMap, BTreeSet};

use super::grammar::{Form, Grammar};
use crate::problem::Problem;

/// The most combinations of slots that exclusions join.
const MOST: usize = 1 << 20;
/// The least share of draws that exclusions have to leave.
const LEAST: f64 = 1e-3;

/// The most labels of a slot that pairs are told of, and of all these slots together: more pairs than
/// anyone reads.
const MOST_LABELS: [usize; 2] = [100, 1000];

/// A slot with one of its labels.
pub(super) type Key = (String, String);

/// The shares of all pictures that show a value, and a pair of values of two slots.
#[derive(Debug, Clone, Default)]
pub(super) struct Shares {
    pub(super) values: BTreeMap<Key, f64>,
    pub(super) pairs: BTreeMap<(Key, Key), f64>,
    /// The slots that pairs are told of.
    pub(super) paired: BTreeSet<String>,
}

impl Shares {
    /// Those of a grammar.
    ///
    /// # Errors
    /// When exclusions leave too little, or join too much to tell.
    pub(super) fn of(grammar: &Grammar) -> Result<Self, Problem> {
        let mut shares = Self { paired: paired(grammar), ..Self::default() };
        let total: f64 = grammar.forms.iter().map(|form| form.weight).sum();
        for form in &grammar.forms {
            let joint = Joint::of(form)?;
            shares.add(form, form.weight / total, &joint);
        }
        Ok(shares)
    }

    fn add(&mut self, form: &Form, weight: f64, joint: &Joint) {
        let key = |slot: usize, value: usize| {
            let slot = &form.slots[slot];
            (slot.name.clone(), slot.values[value].label.clone())
        };
        for (one, values) in joint.values.iter().enumerate() {
            for (v, share) in values.iter().enumerate() {
                *self.values.entry(key(one, v)).or_default() += weight * share;
            }
            for (other, others) in joint.values.iter().enumerate().skip(one + 1) {
                if ![one, other].iter().all(|&s| self.paired.contains(&form.slots[s].name)) {
                    continue;
                }
                for v in 0..values.len() {
                    for w in 0..others.len() {
                        let [mut a, mut b] = [key(one, v), key(other, w)];
                        if a > b {
                            std::mem::swap(&mut a, &mut b);
                        }
                        let share = weight * joint.pair([one, v], [other, w]);
                        *self.pairs.entry((a, b)).or_default() += share;
                    }
                }
            }
        }
    }
}

/// The slots that pairs are told of.
fn paired(grammar: &Grammar) -> BTreeSet<String> {
    let slots = grammar.forms.iter().flat_map(|form| &form.slots);
    let few = slots.filter(|slot| slot.values.len() <= MOST_LABELS[0]);
    let few: BTreeMap<&str, usize> =
        few.map(|slot| (slot.name.as_str(), slot.values.len())).collect();
    let are_few = few.values().sum::<usize>() <= MOST_LABELS[1];
    few.into_keys().filter(|_| are_few).map(str::to_string).collect()
}

/// The shares of a form alone, by slots and values.
struct Joint {
    values: Vec<Vec<f64>>,
    /// Those of pairs of slots that exclusions join; others are independent.
    joined: BTreeMap<[usize; 4], f64>,
    /// For each slot the first of those that it is joined with.
    group: Vec<usize>,
}

impl Joint {
    fn of(form: &Form) -> Result<Self, Problem> {
        let values = form.slots.iter().map(|slot| {
            let total: f64 = slot.values.iter().map(|value| value.weight).sum();
            slot.values.iter().map(|value| value.weight / total).collect()
        });
        let mut joint =
            Self { values: values.collect(), joined: BTreeMap::new(), group: groups(form) };
        for first in 0..form.slots.len() {
            let members: Vec<usize> =
                (0..form.slots.len()).filter(|&slot| joint.group[slot] == first).collect();
            if members.len() > 1 || form.exclusions.iter().any(|e| e.slots() == members) {
                joint.condition(form, &members)?;
            }
        }
        Ok(joint)
    }

    /// The share of two values of different slots.
    fn pair(&self, [one, v]: [usize; 2], [other, w]: [usize; 2]) -> f64 {
        if self.group[one] != self.group[other] {
            return self.values[one][v] * self.values[other][w];
        }
        self.joined.get(&[one, v, other, w]).copied().unwrap_or(0.0)
    }

    /// Takes out what is excluded among some slots, by looking at every combination.
    fn condition(&mut self, form: &Form, members: &[usize]) -> Result<(), Problem> {
        let sizes = members.iter().map(|&slot| form.slots[slot].values.len());
        let count = sizes.clone().try_fold(1usize, |all, size| all.checked_mul(size));
        let Some(count) = count.filter(|count| *count <= MOST) else {
            let found = format!("about more than {MOST} combinations of values together");
            return Err(Problem::new(
                &["exclude"],
                found,
                "exclusions about fewer or smaller lists",
            ));
        };
        let before = self.values.clone();
        members.iter().for_each(|&slot| self.values[slot].fill(0.0));
        let (mut chosen, mut left) = (vec![0; form.slots.len()], 0.0);
        for combination in 0..count {
            let mut rest = combination;
            let mut share = 1.0;
            for &slot in members {
                let size = form.slots[slot].values.len();
                chosen[slot] = rest % size;
                rest /= size;
                share *= before[slot][chosen[slot]];
            }
            if !allowed(form, members, &chosen) {
                continue;
            }
            left += share;
            for (place, &one) in members.iter().enumerate() {
                self.values[one][chosen[one]] += share;
                for &other in &members[place + 1..] {
                    let key = [one, chosen[one], other, chosen[other]];
                    *self.joined.entry(key).or_default() += share;
                }
            }
        }
        if left < LEAST {
            let names: Vec<&str> =
                members.iter().map(|&slot| form.slots[slot].name.as_str()).collect();
            let found = format!("leaving {left:.2e} of what is drawn for {}", names.join(", "));
            return Err(Problem::new(
                &["exclude"],
                found,
                format!("exclusions that leave {LEAST}"),
            ));
        }
        for &slot in members {
            self.values[slot].iter_mut().for_each(|share| *share /= left);
        }
        let joined = self.joined.iter_mut().filter(|(key, _)| members.contains(&key[0]));
        joined.for_each(|(_, share)| *share /= left);
        Ok(())
    }
}

/// Whether the exclusions that are about these slots allow the values chosen for them.
fn allowed(form: &Form, members: &[usize], chosen: &[usize]) -> bool {
    let mut about =
        form.exclusions.iter().filter(|e| e.slots().iter().all(|slot| members.contains(slot)));
    !about.any(|exclusion| exclusion.excludes(&form.slots, chosen))
}

/// For each slot the first one that exclusions join it with, perhaps over others.
fn groups(form: &Form) -> Vec<usize> {
    let mut group: Vec<usize> = (0..form.slots.len()).collect();
    for exclusion in &form.exclusions {
        let slots = exclusion.slots();
        let first = slots.iter().map(|&slot| group[slot]).min().unwrap_or(0);
        let joined: Vec<usize> = slots.iter().map(|&slot| group[slot]).collect();
        group.iter_mut().filter(|g| joined.contains(g)).for_each(|g| *g = first);
    }
    group
}
