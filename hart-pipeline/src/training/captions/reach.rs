//! What captions of some forms can be made of.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{GrammarFile, INVERSE, OTHER, Piece, RELATION, Rule, of_thing};
use crate::training::data::Record;

/// The rules that forms lead to, and the columns of records that they read.
#[derive(Debug, Default)]
pub(super) struct Reached<'a> {
    pub(super) rules: BTreeMap<&'a str, &'a Rule>,
    pub(super) columns: BTreeSet<&'a str>,
    /// Those of them whose values are words of captions.
    pub(super) spoken: BTreeSet<&'a str>,
}

/// The values that records have in their columns of text.
#[derive(Debug, Default)]
pub(super) struct Values<'a> {
    values: BTreeMap<&'a str, BTreeSet<&'a str>>,
    /// Columns that some record has not.
    missed: BTreeSet<&'a str>,
}

impl<'a> Values<'a> {
    /// Those of some records.
    pub(super) fn of(records: impl Iterator<Item = &'a Record> + Clone) -> Self {
        let mut all = Self::default();
        for record in records.clone() {
            for (column, value) in &record.details {
                if let Some(value) = value.as_str() {
                    all.values.entry(column.as_str()).or_default().insert(value);
                }
            }
        }
        for record in records {
            let has = |column: &&&str| record.text(column).is_some();
            all.missed.extend(all.values.keys().filter(|column| !has(column)));
        }
        all
    }

    /// Whether some record has a column.
    pub(super) fn has(&self, column: &str) -> bool {
        self.values.contains_key(column)
    }

    /// Whether the list for a value of a rule's column is used for some record.
    pub(super) fn uses(&self, rule: &Rule, case: Option<&str>) -> bool {
        let (Rule::ByColumn { by, cases }, Some(case)) = (rule, case) else { return true };
        let Some(values) = self.values.get(by.as_str()) else { return case == OTHER };
        let is_listed = |value: &&str| *value != OTHER && cases.contains_key(*value);
        let others = || self.missed.contains(by.as_str()) || !values.iter().all(is_listed);
        values.contains(case) || case == OTHER && others()
    }
}

impl<'a> Reached<'a> {
    /// All that forms of a file lead to, whatever records there are.
    pub(super) fn of(file: &'a GrammarFile, forms: &'a Rule) -> Self {
        Self::with(file, forms, &|_, _| true)
    }

    /// All that forms of a file lead to by the lists that are used.
    pub(super) fn with(
        file: &'a GrammarFile,
        forms: &'a Rule,
        uses: &dyn Fn(&Rule, Option<&str>) -> bool,
    ) -> Self {
        let mut reached = Self::default();
        let mut open = vec![forms];
        while let Some(rule) = open.pop() {
            if let Rule::ByColumn { by, .. } = rule {
                reached.columns.extend(columns(by));
            }
            for piece in rule.pieces(uses) {
                let Piece::Slot(slot, inner) = piece else { continue };
                if let Some((name, rule)) = file.rules.get_key_value(inner.unwrap_or(slot)) {
                    if reached.rules.insert(name, rule).is_none() {
                        open.push(rule);
                    }
                } else if of_thing(slot).is_none() {
                    reached.columns.extend(columns(slot));
                    reached.spoken.extend(columns(slot));
                }
            }
        }
        reached
    }

    /// The words that stand in texts of forms and of the rules they lead to.
    pub(super) fn texts(&self, forms: &'a Rule) -> impl Iterator<Item = &'a str> {
        let rules = [forms].into_iter().chain(self.rules.values().copied());
        let pieces = rules.flat_map(|rule| rule.pieces(&|_, _| true));
        pieces.filter_map(|piece| match piece {
            Piece::Text(text) => Some(text),
            Piece::Slot(..) => None,
        })
    }
}

/// The columns that one of this name stands for: what is told from the second thing has the inverse
/// relation.
fn columns(name: &str) -> impl Iterator<Item = &str> {
    [name].into_iter().chain((name == RELATION).then_some(INVERSE))
}
