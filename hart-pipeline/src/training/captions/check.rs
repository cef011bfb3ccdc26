//! What is wrong with a grammar.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt::Display;

use super::file::{Alternatives, GrammarFile, Piece, Rule, of_thing, pieces};
use super::reach::{Reached, Values};
use crate::problem::Problem;
use crate::text::words::words;

/// How deep rules may be in each other.
const DEEPEST: usize = 32;
/// The most pieces of one text, with those of the rules it leads to.
const LONGEST: usize = 10_000;

/// A list of a file: the keys that lead to it.
#[derive(Clone, Copy)]
struct Place<'a> {
    rule: &'a str,
    /// Whether it is among the rules, not one of the forms.
    is_inner: bool,
    case: Option<&'a str>,
}

impl<'a> Place<'a> {
    fn keys(&self) -> Vec<&'a str> {
        let inner = self.is_inner.then_some("rules");
        inner.into_iter().chain([self.rule]).chain(self.case).collect()
    }

    fn problem(&self, place: usize, found: impl Display, expected: impl Display) -> Problem {
        Problem::new(&self.keys(), found, expected).at(place)
    }
}

/// Checks every value.
pub(super) fn check(file: &GrammarFile) -> Result<(), Problem> {
    let withheld = file.withheld.iter().map(|rule| ("withheld", false, rule));
    let rules = file.rules.iter().map(|(name, rule)| (name.as_str(), true, rule));
    for (name, is_inner, rule) in
        [("forms", false, &file.forms)].into_iter().chain(withheld).chain(rules)
    {
        for (case, list) in rule.lists() {
            check_list(file, Place { rule: name, is_inner, case }, list)?;
        }
        if rule.lists().next().is_none() {
            let keys = Place { rule: name, is_inner, case: None }.keys();
            return Err(Problem::new(&keys, "without a list", "alternatives for some value"));
        }
    }
    let mut extents = BTreeMap::new();
    for name in file.rules.keys() {
        if of_thing(name).is_some() {
            let expected = "another name: things are called so";
            return Err(Problem::new(&["rules", name], format!("`{name}`"), expected));
        }
        extent(file, name, &mut vec![], &mut extents)?;
    }
    check_names(file)?;
    let shares = [("plain_names", file.plain_names), ("reversed", file.reversed)];
    let shares = shares.map(|(key, share)| (vec![key], share));
    let noise = file.noise.shares().map(|(key, share)| (vec!["noise", key], share));
    for (keys, share) in shares.into_iter().chain(noise) {
        if !(0.0..=1.0).contains(&share) {
            return Err(Problem::new(&keys, share, "from 0 to 1"));
        }
    }
    let keys = ["noise", "fillers"];
    if file.noise.needs_fillers() && file.noise.fillers.is_empty() {
        return Err(Problem::new(&keys, "empty", "words: `filler` or `replace` is above 0"));
    }
    check_words(&keys, &file.noise.fillers)?;
    let keys = ["noise", "strangers"];
    if file.noise.needs_strangers() && file.noise.strangers.is_empty() {
        return Err(Problem::new(&keys, "empty", "words: `talk` is above 0"));
    }
    check_words(&keys, &file.noise.strangers)
}

/// Checks the alternatives of a rule.
fn check_list(file: &GrammarFile, at: Place<'_>, list: &Alternatives) -> Result<(), Problem> {
    for (place, alternative) in list.iter().enumerate() {
        let (weight, text) = (alternative.weight, &alternative.text);
        if !(weight.is_finite() && weight >= 0.0) {
            let found = format!("{weight}, the weight of `{text}`");
            return Err(at.problem(place, found, "a finite weight, 0 or above"));
        }
        let Some(pieces) = pieces(text) else {
            return Err(at.problem(place, format!("`{text}`"), "every brace with its other"));
        };
        for piece in pieces {
            let Piece::Slot(slot, inner) = piece else { continue };
            let slotted =
                || format!("`{{{slot}{}}}`", inner.map_or(String::new(), |i| format!(":{i}")));
            if slot.trim().is_empty() {
                return Err(at.problem(place, slotted(), "a name in braces"));
            }
            let Some(inner) = inner else { continue };
            if of_thing(slot).is_none() || !file.rules.contains_key(inner) {
                let expected = "the slot of a thing and, after the colon, a rule of this file";
                return Err(at.problem(place, slotted(), expected));
            }
        }
    }
    if list.iter().map(|alternative| alternative.weight).sum::<f64>() > 0.0 {
        return Ok(());
    }
    let found = if list.is_empty() { "empty" } else { "without a weight above 0" };
    Err(Problem::new(&at.keys(), found, "an alternative with a weight above 0"))
}

/// How far a rule leads.
#[derive(Clone, Copy, Default)]
struct Extent {
    /// Rules in each other, itself among them.
    depth: usize,
    /// The most pieces that one text of it becomes.
    pieces: usize,
}

/// How far a rule leads; `above` are the rules that led to it, `known` those that were looked at.
fn extent<'a>(
    file: &'a GrammarFile,
    name: &'a str,
    above: &mut Vec<&'a str>,
    known: &mut BTreeMap<&'a str, Extent>,
) -> Result<Extent, Problem> {
    if let Some(extent) = known.get(name) {
        return Ok(*extent);
    }
    let problem = |found: String, expected: &str| Problem::new(&["rules", name], found, expected);
    if above.contains(&name) {
        let way = above.iter().skip_while(|other| **other != name);
        let way: Vec<&str> = way.copied().chain([name]).collect();
        let found = format!("in itself ({})", way.join(" → "));
        return Err(problem(found, "rules that come to an end"));
    }
    if above.len() >= DEEPEST {
        return Err(problem("more than 32 rules deep".to_string(), "at most 32"));
    }
    above.push(name);
    let mut found = Extent::default();
    for alternative in file.rules[name].lists().flat_map(|(_, list)| list) {
        let mut all = 0usize;
        for piece in pieces(&alternative.text).unwrap_or_default() {
            all = all.saturating_add(1);
            let Piece::Slot(slot, inner) = piece else { continue };
            if let Some((name, _)) = file.rules.get_key_value(inner.unwrap_or(slot)) {
                let inner = extent(file, name, above, known)?;
                found.depth = found.depth.max(inner.depth);
                all = all.saturating_add(inner.pieces);
            }
        }
        found.pieces = found.pieces.max(all);
    }
    above.pop();
    found.depth += 1;
    if above.len() + found.depth > DEEPEST {
        return Err(problem("more than 32 rules deep".to_string(), "at most 32"));
    }
    if found.pieces > LONGEST {
        let text = format!("a text of {} pieces", found.pieces);
        return Err(problem(text, "at most 10000"));
    }
    known.insert(name, found);
    Ok(found)
}

/// Checks names and words that are listed.
fn check_names(file: &GrammarFile) -> Result<(), Problem> {
    if let Some(name) = file.keep.iter().find(|name| !file.rules.contains_key(*name)) {
        return Err(Problem::new(&["keep"], format!("`{name}`"), "names of rules"));
    }
    for (name, further) in &file.names {
        check_words(&["names", name], further)?;
    }
    for (word, meant) in &file.synonyms {
        let keys = ["synonyms", word];
        if words(word).collect::<Vec<_>>() != [word.as_str()] {
            let expected = "a key that is one word in small letters";
            return Err(Problem::new(&keys, format!("`{meant}`"), expected));
        }
        if words(meant).next().is_none() {
            return Err(Problem::new(&keys, format!("`{meant}`"), "a word"));
        }
    }
    Ok(())
}

/// Checks that texts have words.
fn check_words(keys: &[&str], texts: &[String]) -> Result<(), Problem> {
    let wrong = texts.iter().position(|text| words(text).next().is_none());
    match wrong {
        Some(place) => Err(Problem::new(keys, format!("`{}`", texts[place]), "a word").at(place)),
        None => Ok(()),
    }
}

/// Refuses lines of talk with a word that is known from captions: it would no longer mean nothing.
pub(super) fn check_strangers(lines: &[String], known: &BTreeSet<String>) -> Result<(), Problem> {
    for (place, line) in lines.iter().enumerate() {
        if let Some(word) = words(line).find(|word| known.contains(word)) {
            let expected = "words that captions do not have otherwise";
            return Err(
                Problem::new(&["noise", "strangers"], format!("`{word}`"), expected).at(place)
            );
        }
    }
    Ok(())
}

/// Refuses names that are neither a rule nor a column of any record: of the lists that are used for
/// some record.
pub(super) fn check_columns(file: &GrammarFile, values: &Values<'_>) -> Result<(), Problem> {
    let uses = |rule: &Rule, case: Option<&str>| values.uses(rule, case);
    let inner = Reached::with(file, &file.forms, &uses).rules.into_iter();
    let inner = inner.map(|(name, rule)| (name, true, rule));
    for (name, is_inner, rule) in [("forms", false, &file.forms)].into_iter().chain(inner) {
        if let Rule::ByColumn { by, .. } = rule
            && !values.has(by)
        {
            let mut keys = Place { rule: name, is_inner, case: None }.keys();
            keys.push("by");
            return Err(Problem::new(&keys, format!("`{by}`"), "a column of the records"));
        }
        for (case, list) in rule.lists().filter(|(case, _)| values.uses(rule, *case)) {
            for (place, alternative) in list.iter().enumerate() {
                let pieces = pieces(&alternative.text).unwrap_or_default();
                let unknown = pieces.into_iter().find_map(|piece| match piece {
                    Piece::Slot(slot, _) if of_thing(slot).is_some() => None,
                    Piece::Slot(slot, _) if file.rules.contains_key(slot) => None,
                    Piece::Slot(slot, _) if !values.has(slot) => Some(slot),
                    _ => None,
                });
                if let Some(slot) = unknown {
                    let expected = "a rule of this file or a column of the records";
                    let at = Place { rule: name, is_inner, case };
                    return Err(at.problem(place, format!("`{{{slot}}}`"), expected));
                }
            }
        }
    }
    Ok(())
}
