//! The file of a recipe, as it is written.

use std::collections::BTreeMap;
use std::fmt;

use serde::de::{self, MapAccess, SeqAccess, Visitor};
use serde::{Deserialize, Deserializer};

use super::settings::Settings;

/// The content of a recipe's file.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct RecipeFile {
    /// How many pictures; of a file of prompts by default one a prompt.
    pub(super) pictures: Option<u64>,
    /// The seed of the run.
    #[serde(default)]
    pub(super) seed: u64,
    /// Pictures of a shard.
    #[serde(default = "thousand")]
    pub(super) shard_size: u64,
    #[serde(default)]
    pub(super) settings: Settings,
    /// The prompts with names of lists in braces.
    pub(super) template: Option<Choices>,
    /// What the names stand for.
    #[serde(default)]
    pub(super) lists: BTreeMap<String, Choices>,
    /// Labels that do not occur together, by the name of their slot.
    #[serde(default)]
    pub(super) exclude: Vec<BTreeMap<String, OneOrMore>>,
    /// Slots of one list that never have the same value.
    #[serde(default)]
    pub(super) different: Vec<Vec<String>>,
    /// How often labels have to occur.
    #[serde(default)]
    pub(super) at_least: Vec<AtLeast>,
    /// Prompts of a file, in the place of a template.
    pub(super) prompts: Option<PromptsTable>,
}

/// Labels that have to occur together in N pictures.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct AtLeast {
    pub(super) pictures: u64,
    pub(super) of: BTreeMap<String, String>,
}

/// Where prompts are.
#[derive(Debug, Clone, Deserialize)]
#[serde(deny_unknown_fields)]
pub(super) struct PromptsTable {
    pub(super) file: String,
}

/// Texts to choose from.
#[derive(Debug, Clone)]
pub(super) struct Choices(pub(super) Vec<Choice>);

/// A text, how often it is chosen, and what it says of the picture.
#[derive(Debug, Clone)]
pub(super) struct Choice {
    pub(super) weight: f64,
    pub(super) text: String,
    /// What it is called in labels and coverage; the text itself without one.
    pub(super) label: Option<String>,
    /// Further labels.
    pub(super) labels: BTreeMap<String, String>,
}

/// A label, or several of which any is meant.
#[derive(Debug, Clone)]
pub(super) struct OneOrMore(pub(super) Vec<String>);

fn thousand() -> u64 {
    1000
}

impl Choice {
    fn plain(weight: f64, text: String) -> Self {
        Self { weight, text, label: None, labels: BTreeMap::new() }
    }
}

// By hand, because derived code would lose the line that is wrong.
impl<'de> Deserialize<'de> for Choices {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfChoices;
        impl<'de> Visitor<'de> for OfChoices {
            type Value = Choices;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, or a list of texts, [weight, text] or tables with `text`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Choices, E> {
                Ok(Choices(vec![Choice::plain(1.0, text.to_string())]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choices, A::Error> {
                let mut choices = vec![];
                while let Some(choice) = list.next_element()? {
                    choices.push(choice);
                }
                Ok(Choices(choices))
            }
        }
        deserializer.deserialize_any(OfChoices)
    }
}

impl<'de> Deserialize<'de> for Choice {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfChoice;
        impl<'de> Visitor<'de> for OfChoice {
            type Value = Choice;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a text, a list of a weight and a text, or a table with `text`")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<Choice, E> {
                Ok(Choice::plain(1.0, text.to_string()))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<Choice, A::Error> {
                let missing = |length| de::Error::invalid_length(length, &self);
                let weight = list.next_element()?.ok_or_else(|| missing(0))?;
                let text = list.next_element()?.ok_or_else(|| missing(1))?;
                match list.next_element::<de::IgnoredAny>()? {
                    Some(_) => Err(missing(3)),
                    None => Ok(Choice::plain(weight, text)),
                }
            }

            fn visit_map<A: MapAccess<'de>>(self, mut table: A) -> Result<Choice, A::Error> {
                const KEYS: [&str; 4] = ["text", "weight", "label", "labels"];
                let mut choice = Choice::plain(1.0, String::new());
                let mut has_text = false;
                while let Some(key) = table.next_key::<String>()? {
                    match key.as_str() {
                        "text" => {
                            choice.text = table.next_value()?;
                            has_text = true;
                        }
                        "weight" => choice.weight = table.next_value()?,
                        "label" => choice.label = Some(table.next_value()?),
                        "labels" => choice.labels = table.next_value()?,
                        other => return Err(de::Error::unknown_field(other, &KEYS)),
                    }
                }
                if has_text { Ok(choice) } else { Err(de::Error::missing_field("text")) }
            }
        }
        deserializer.deserialize_any(OfChoice)
    }
}

impl<'de> Deserialize<'de> for OneOrMore {
    fn deserialize<D: Deserializer<'de>>(deserializer: D) -> Result<Self, D::Error> {
        struct OfLabels;
        impl<'de> Visitor<'de> for OfLabels {
            type Value = OneOrMore;

            fn expecting(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
                f.write_str("a label, or a list of labels")
            }

            fn visit_str<E: de::Error>(self, text: &str) -> Result<OneOrMore, E> {
                Ok(OneOrMore(vec![text.to_string()]))
            }

            fn visit_seq<A: SeqAccess<'de>>(self, mut list: A) -> Result<OneOrMore, A::Error> {
                let mut labels = vec![];
                while let Some(label) = list.next_element()? {
                    labels.push(label);
                }
                Ok(OneOrMore(labels))
            }
        }
        deserializer.deserialize_any(OfLabels)
    }
}
