//! The file of a grammar.

use std::collections::{BTreeMap, BTreeSet};
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer, Serialize};

use super::noise::Noise;

/// Slots that a record's things fill.
pub(super) const THINGS: [&str; 3] = ["noun", "a", "plural"];

/// The column with the place of the first thing seen from the second, and that of the second seen
/// from the first.
pub(super) const RELATION: &str = "relation";
pub(super) const INVERSE: &str = "inverse";

/// The case of values that have no list of their own.
pub(super) const OTHER: &str = "other";

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
    /// Words that are not trained, with what to say instead: no caption has them, but a user is
    /// told.
    #[serde(default)]
    pub(super) synonyms: BTreeMap<String, String>,
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
#[derive(Debug, Clone, Serialize)]
pub(super) enum Rule {
    Always(Alternatives),
    ByColumn {
        /// The column.
        by: String,
        /// Alternatives for its values; `other` for those that are not listed.
        cases: BTreeMap<String, Alternatives>,
    },
}

/// Texts with their weights.
pub(super) type Alternatives = Vec<Alternative>;

/// A text with its weight, 1 if the file has none.
#[derive(Debug, Clone, Serialize)]
pub(super) struct Alternative {
    pub(super) weight: f64,
    pub(super) text: String,
}

impl Rule {
    /// The lists of alternatives that it has, with the value of the column that they are for.
    pub(super) fn lists(&self) -> impl Iterator<Item = (Option<&str>, &Alternatives)> {
        let (always, cases) = match self {
            Self::Always(list) => (Some((None, list)), None),
            Self::ByColumn { cases, .. } => (None, Some(cases)),
        };
        let cases = cases.into_iter().flatten();
        always.into_iter().chain(cases.map(|(value, list)| (Some(value.as_str()), list)))
    }

    /// All that the texts of its lists consist of, those that are used.
    pub(super) fn pieces(
        &self,
        uses: &dyn Fn(&Self, Option<&str>) -> bool,
    ) -> impl Iterator<Item = Piece<'_>> {
        let lists = self.lists().filter(|(case, _)| uses(self, *case));
        let texts: Vec<&Alternative> = lists.flat_map(|(_, list)| list).collect();
        texts.into_iter().flat_map(|alternative| pieces(&alternative.text).unwrap_or_default())
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

/// The pieces of a text; `None` when a brace is without its other.
pub(super) fn pieces(text: &str) -> Option<Vec<Piece<'_>>> {
    let (mut found, mut rest) = (vec![], text);
    while let Some((before, after)) = rest.split_once('{') {
        let (slot, behind) = after.split_once('}')?;
        if before.contains('}') || slot.contains('{') {
            return None;
        }
        let (name, rule) = match slot.split_once(':') {
            Some((name, rule)) => (name, Some(rule)),
            None => (slot, None),
        };
        found.extend([Piece::Text(before), Piece::Slot(name, rule)]);
        rest = behind;
    }
    found.push(Piece::Text(rest));
    (!rest.contains('}')).then_some(found)
}

/// The kind of a slot that a thing fills, and the place of the thing; `None` for other slots.
pub(super) fn of_thing(slot: &str) -> Option<(&str, usize)> {
    let (kind, place) = match slot.strip_suffix('2') {
        Some(kind) => (kind, 1),
        None => (slot, 0),
    };
    THINGS.contains(&kind).then_some((kind, place))
}

// By hand, because derived code would lose the line that is wrong.
impl<'de> Deserialize<'de> for Rule {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfRule;
        impl<'de> Visitor<'de> for OfRule {
            type Value = Rule;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a list of alternatives, or a table of them with `by`, a column")
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Rule, A::Error> {
                let mut alternatives = vec![];
                while let Some(alternative) = list.next_element()? {
                    alternatives.push(alternative);
                }
                Ok(Rule::Always(alternatives))
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Rule, A::Error> {
                let (mut by, mut cases) = (None, BTreeMap::new());
                while let Some(key) = table.next_key::<String>()? {
                    if key == "by" {
                        by = Some(table.next_value()?);
                    } else {
                        cases.insert(key, table.next_value()?);
                    }
                }
                let by = by.ok_or_else(|| de::Error::missing_field("by"))?;
                Ok(Rule::ByColumn { by, cases })
            }
        }
        deserializer.deserialize_any(OfRule)
    }
}

impl<'de> Deserialize<'de> for Alternative {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfAlternative;
        impl<'de> Visitor<'de> for OfAlternative {
            type Value = Alternative;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of a weight and a text")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Alternative, E> {
                Ok(Alternative { weight: 1.0, text: text.to_string() })
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Alternative, A::Error> {
                let missing = |length| de::Error::invalid_length(length, &self);
                let weight = list.next_element()?.ok_or_else(|| missing(0))?;
                let text = list.next_element()?.ok_or_else(|| missing(1))?;
                match list.next_element::<de::IgnoredAny>()? {
                    Some(_) => Err(missing(3)),
                    None => Ok(Alternative { weight, text }),
                }
            }
        }
        deserializer.deserialize_any(OfAlternative)
    }
}

fn half() -> f64 {
    0.5
}
