//! What captions of some forms can be made of.

use std::collections::{BTreeMap, BTreeSet};

use super::file::{GrammarFile, INVERSE, Piece, RELATION, Rule, of_thing};

/// The rules that forms lead to, and the columns of records that they read.
#[derive(Debug, Default)]
pub(super) struct Reached<'a> {
    pub(super) rules: BTreeMap<&'a str, &'a Rule>,
    pub(super) columns: BTreeSet<&'a str>,
    /// Those of them whose values are words of captions.
    pub(super) spoken: BTreeSet<&'a str>,
}

impl<'a> Reached<'a> {
    /// All that forms of a file lead to.
    pub(super) fn of(file: &'a GrammarFile, forms: &'a Rule) -> Self {
        let mut reached = Self::default();
        let mut open = vec![forms];
        while let Some(rule) = open.pop() {
            if let Rule::ByColumn { by, .. } = rule {
                reached.columns.extend(columns(by));
            }
            for piece in rule.pieces() {
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
        let pieces = [forms].into_iter().chain(self.rules.values().copied()).flat_map(Rule::pieces);
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
