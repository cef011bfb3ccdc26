//! The file of a grammar.

use std::collections::{BTreeMap, BTreeSet};

use serde::Deserialize;

use super::noise::Noise;

/// Slots that a record's things fill.
pub(super) const THINGS: [&str; 3] = ["noun", "a", "plural"];

/// The content of a grammar's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct GrammarFile {
    /// The captions to train on.
    pub(super) forms: Rule,
    /// Forms that are kept from training.
    pub(super) withheld: Option<Rule>,
    /// What names in braces stand for.
    #[serde(default)]
    pub(super) rules: BTreeMap<String, Rule>,
    /// Rules whose words say what is to be drawn: noise leaves them alone.
    #[serde(default)]
    pub(super) keep: BTreeSet<String>,
    /// Further names of things, by the first name that records have, without its article.
    #[serde(default)]
    pub(super) names: BTreeMap<String, Vec<String>>,
    /// The share of things that are called by their first name, or one of `names`; the others by
    /// any name that the record has.
    #[serde(default = "half")]
    pub(super) plain_names: f64,
    /// The share of pairs of things that are told from the second one.
    #[serde(default)]
    pub(super) reversed: f64,
    #[serde(default)]
    pub(super) noise: Noise,
}

/// Alternatives, perhaps others for each value of a column.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Rule {
    Always(Alternatives),
    ByColumn {
        /// The column.
        by: String,
        /// Alternatives for its values; `other` for those that are not listed.
        #[serde(flatten)]
        cases: BTreeMap<String, Alternatives>,
    },
}

/// Texts with their weights.
pub(super) type Alternatives = Vec<Alternative>;

/// A text with its weight.
#[derive(Debug, Clone, Deserialize)]
#[serde(untagged)]
pub(super) enum Alternative {
    Plain(String),
    Weighted(f64, String),
}

impl Alternative {
    pub(super) fn weight(&self) -> f64 {
        match self {
            Self::Plain(_) => 1.0,
            Self::Weighted(weight, _) => *weight,
        }
    }

    pub(super) fn text(&self) -> &str {
        match self {
            Self::Plain(text) | Self::Weighted(_, text) => text,
        }
    }
}

impl Rule {
    /// The lists of alternatives that it has.
    fn lists(&self) -> impl Iterator<Item = &Alternatives> {
        let (always, cases) = match self {
            Self::Always(list) => (Some(list), None),
            Self::ByColumn { cases, .. } => (None, Some(cases)),
        };
        always.into_iter().chain(cases.into_iter().flat_map(BTreeMap::values))
    }
}

/// A piece of a text.
#[derive(Debug, PartialEq, Eq)]
pub(super) enum Piece<'a> {
    /// Words as they are.
    Text(&'a str),
    /// What is in braces: a name, and the rule after a colon.
    Slot(&'a str, Option<&'a str>),
}

/// The pieces of a text; the error says what is wrong with it.
pub(super) fn pieces(text: &str) -> Result<Vec<Piece<'_>>, String> {
    let wrong = || format!("`{text}` has a brace without its other");
    let (mut found, mut rest) = (vec![], text);
    while let Some((before, after)) = rest.split_once('{') {
        let (slot, behind) = after.split_once('}').ok_or_else(wrong)?;
        if before.contains('}') || slot.contains('{') {
            return Err(wrong());
        }
        let (name, rule) = match slot.split_once(':') {
            Some((name, rule)) => (name, Some(rule)),
            None => (slot, None),
        };
        found.extend([Piece::Text(before), Piece::Slot(name, rule)]);
        rest = behind;
    }
    if rest.contains('}') {
        return Err(wrong());
    }
    found.push(Piece::Text(rest));
    Ok(found)
}

impl GrammarFile {
    /// All rules with their names.
    fn all(&self) -> impl Iterator<Item = (&str, &Rule)> {
        let rules = self.rules.iter().map(|(name, rule)| (name.as_str(), rule));
        let withheld = self.withheld.iter().map(|rule| ("withheld", rule));
        [("forms", &self.forms)].into_iter().chain(withheld).chain(rules)
    }

    /// The words of all texts, but for those of withheld forms.
    pub(super) fn texts(&self) -> impl Iterator<Item = &str> {
        let lists = self.all().filter(|(name, _)| *name != "withheld");
        let texts = lists.flat_map(|(_, rule)| rule.lists()).flatten();
        let plain = texts.flat_map(|alternative| {
            let pieces = pieces(alternative.text()).unwrap_or_default();
            let words = pieces.into_iter().filter_map(|piece| match piece {
                Piece::Text(text) => Some(text),
                Piece::Slot(..) => None,
            });
            words.collect::<Vec<_>>()
        });
        plain.chain(self.noise.fillers.iter().map(String::as_str))
    }

    /// Checks every value; the error says which is wrong.
    pub(super) fn check(&self) -> Result<(), String> {
        for (name, rule) in self.all() {
            for list in rule.lists() {
                check_list(list).map_err(|problem| format!("`{name}`: {problem}"))?;
            }
            self.check_cycles(name, rule, &mut vec![])?;
        }
        let unknown = self.keep.iter().find(|name| !self.rules.contains_key(*name));
        if let Some(name) = unknown {
            return Err(format!("`keep` has `{name}`, expected the name of a rule"));
        }
        for (key, share) in [("plain_names", self.plain_names), ("reversed", self.reversed)] {
            check_share(key, share)?;
        }
        self.noise.check()
    }

    /// Refuses a rule that stands for itself, which would never end.
    fn check_cycles<'a>(
        &'a self,
        name: &str,
        rule: &'a Rule,
        above: &mut Vec<&'a str>,
    ) -> Result<(), String> {
        for text in rule.lists().flatten().map(Alternative::text) {
            for piece in pieces(text)? {
                let Piece::Slot(slot, inner) = piece else { continue };
                let named = inner.filter(|inner| !self.rules.contains_key(*inner));
                if let Some(missing) = named {
                    return Err(format!("`{name}` has `{{{slot}:{missing}}}`, which is no rule"));
                }
                let Some((key, rule)) = self.rules.get_key_value(inner.unwrap_or(slot)) else {
                    continue;
                };
                if above.contains(&key.as_str()) {
                    return Err(format!("the rule `{key}` stands for itself"));
                }
                above.push(key);
                self.check_cycles(key, rule, above)?;
                above.pop();
            }
        }
        Ok(())
    }
}

fn check_list(list: &Alternatives) -> Result<(), String> {
    let fits =
        |alternative: &Alternative| alternative.weight().is_finite() && alternative.weight() >= 0.0;
    if let Some(wrong) = list.iter().find(|alternative| !fits(alternative)) {
        let (text, weight) = (wrong.text(), wrong.weight());
        return Err(format!("the weight of `{text}` is {weight}, expected 0 or above"));
    }
    if list.iter().map(Alternative::weight).sum::<f64>() <= 0.0 {
        return Err("expected an alternative with a weight above 0".to_string());
    }
    list.iter().try_for_each(|alternative| pieces(alternative.text()).map(drop))
}

/// Checks a share of something; the error says what is wrong.
pub(super) fn check_share(key: &str, share: f64) -> Result<(), String> {
    if (0.0..=1.0).contains(&share) {
        return Ok(());
    }
    Err(format!("`{key}` is {share}, expected from 0 to 1"))
}

fn half() -> f64 {
    0.5
}
