//! The things that are drawn: their drawings in three styles and their names, joined by code point.

use std::collections::{HashMap, HashSet};
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::lists::{self, Entry, Noun};
use crate::packages::{EMOJIBASE, EMOJILIB, FLAT, NOTO, Package, ROUND};

/// The most synonyms of a concept.
const KEYWORDS: usize = 8;
/// The most concepts that may share a word of the packages; a more common word identifies none.
const SHARED: usize = 2;
/// Groups of emojibase by their numbers.
const GROUPS: [&str; 10] = [
    "smileys & emotion",
    "people & body",
    "component",
    "animals & nature",
    "food & drink",
    "travel & places",
    "activities",
    "objects",
    "symbols",
    "flags",
];

/// A thing with drawings in all three styles.
#[derive(Debug, Clone)]
pub(crate) struct Concept {
    /// What captions call it.
    pub(crate) name: Noun,
    /// Further names.
    pub(crate) keywords: Vec<Noun>,
    /// Where emojibase files it.
    pub(crate) group: &'static str,
    /// The SVG of Noto.
    pub(crate) noto: String,
    /// The SVG of Fluent, flat.
    pub(crate) flat: String,
    /// The WebP of Fluent, three-dimensional.
    pub(crate) round: Vec<u8>,
}

/// The concepts to train on, and those to keep unseen.
pub(crate) struct Concepts {
    pub(crate) trained: Vec<Concept>,
    pub(crate) unseen: Vec<Concept>,
}

/// Reads the packages and keeps `limit` concepts to train on.
pub(crate) fn read(packages: &Path, limit: usize) -> anyhow::Result<Concepts> {
    let entries = choose(lists::trained(), limit)?;
    let mut source = Source::open(packages)?;
    let find = |source: &mut Source, entries: &[Entry]| -> anyhow::Result<Vec<Concept>> {
        entries.iter().map(|entry| source.concept(entry)).collect()
    };
    let unseen = find(&mut source, &lists::unseen())?;
    let mut trained = find(&mut source, &entries)?;
    let synonyms = lists::synonyms();
    let users = source.users();
    let names: HashSet<&str> =
        trained.iter().chain(&unseen).map(|concept| concept.name.text).collect();
    for (entry, concept) in entries.iter().zip(&mut trained) {
        let words = &source.words[entry.label];
        for synonym in synonyms.get(entry.label).into_iter().flatten() {
            ensure!(
                words.contains(synonym.word)
                    && users[synonym.word] <= SHARED
                    && !names.contains(synonym.noun.text),
                "`{}` does not distinguish `{}` from other concepts",
                synonym.word,
                entry.label
            );
            concept.keywords.push(synonym.noun);
        }
        concept.keywords.truncate(KEYWORDS);
    }
    Ok(Concepts { trained, unseen })
}

/// `limit` entries in the order of the list. Marked entries have priority; the others are chosen
/// evenly.
pub(crate) fn choose(mut entries: Vec<Entry>, limit: usize) -> anyhow::Result<Vec<Entry>> {
    let all = entries.len();
    ensure!((32..=all).contains(&limit), "`--concepts` is {limit}, expected 32 to {all}");
    let musts = entries.iter().filter(|entry| entry.must).count();
    let (of_musts, of_others) = (limit.min(musts), limit.saturating_sub(musts));
    let mut seen = [0, 0];
    entries.retain(|entry| {
        let (kept, of) = if entry.must { (of_musts, musts) } else { (of_others, all - musts) };
        let before = &mut seen[usize::from(entry.must)];
        *before += 1;
        // The first of each of `kept` even parts.
        (*before - 1) * kept % of < kept
    });
    Ok(entries)
}

/// The opened packages.
struct Source {
    noto: Icons,
    flat: Icons,
    round: HashMap<String, Vec<u8>>,
    emojibase: HashMap<String, Value>,
    keywords: Value,
    /// The words of the concepts found so far, by label.
    words: HashMap<String, HashSet<String>>,
}

impl Source {
    fn open(packages: &Path) -> anyhow::Result<Self> {
        let emojibase = EMOJIBASE.open(packages)?.json("en/data.json")?;
        let Value::Array(emojibase) = emojibase else {
            anyhow::bail!("en/data.json of {} is not a list", EMOJIBASE.name)
        };
        let by_label = |entry: Value| Some((entry["label"].as_str()?.to_string(), entry));
        let code =
            |path: &str| Some(plain_code(path.strip_prefix("assets/")?.strip_suffix(".webp")?));
        let round = ROUND.open(packages)?.into_iter();
        Ok(Self {
            noto: Icons::open(&NOTO, packages)?,
            flat: Icons::open(&FLAT, packages)?,
            round: round.filter_map(|(path, bytes)| Some((code(&path)?, bytes))).collect(),
            emojibase: emojibase.into_iter().filter_map(by_label).collect(),
            keywords: EMOJILIB.open(packages)?.json("dist/emoji-en-US.json")?,
            words: HashMap::new(),
        })
    }

    fn concept(&mut self, entry: &Entry) -> anyhow::Result<Concept> {
        let label = entry.label;
        let data = self
            .emojibase
            .get(label)
            .with_context(|| format!("{} has no label `{label}`", EMOJIBASE.name))?;
        let code = plain_code(data["hexcode"].as_str().unwrap_or_default());
        let missing = |package: &Package| format!("{} has no drawing of `{label}`", package.name);
        let group = data["group"].as_u64().and_then(|group| GROUPS.get(group as usize));
        let listed = [&data["tags"], &self.keywords[data["emoji"].as_str().unwrap_or_default()]];
        let listed = listed.into_iter().filter_map(Value::as_array).flatten();
        let plain = |word: &str| word.replace('_', " ").to_lowercase().trim().to_string();
        let mut words: HashSet<String> = listed.filter_map(Value::as_str).map(plain).collect();
        words.insert(label.to_string());
        self.words.insert(label.to_string(), words);
        Ok(Concept {
            name: entry.name,
            keywords: vec![],
            group: group.copied().unwrap_or("none"),
            noto: self.noto.svg(&code).with_context(|| missing(&NOTO))?,
            flat: self.flat.svg(&code).with_context(|| missing(&FLAT))?,
            round: self.round.get(&code).with_context(|| missing(&ROUND))?.clone(),
        })
    }

    /// How many of the concepts found so far have each word.
    fn users(&self) -> HashMap<&str, usize> {
        let mut users = HashMap::new();
        for word in self.words.values().flatten() {
            *users.entry(word.as_str()).or_default() += 1;
        }
        users
    }
}

/// The SVG icons of one package.
struct Icons {
    icons: serde_json::Map<String, Value>,
    names: HashMap<String, String>,
    side: f64,
}

impl Icons {
    fn open(package: &Package, folder: &Path) -> anyhow::Result<Self> {
        let files = package.open(folder)?;
        let mut all = files.json("icons.json")?;
        let codes = files.json("chars.json")?;
        let named =
            |(code, name): (&String, &Value)| Some((plain_code(code), name.as_str()?.to_string()));
        let names = codes.as_object().into_iter().flatten().filter_map(named).collect();
        let side = all["width"].as_f64().unwrap_or(16.0);
        let Value::Object(icons) = all["icons"].take() else {
            anyhow::bail!("icons.json of {} has no icons", package.name)
        };
        Ok(Self { icons, names, side })
    }

    fn svg(&self, code: &str) -> Option<String> {
        let icon = self.icons.get(self.names.get(code)?)?;
        let body = icon["body"].as_str()?;
        let size = |key: &str| icon[key].as_f64().unwrap_or(self.side);
        let (width, height) = (size("width"), size("height"));
        Some(format!(
            "<svg xmlns=\"http://www.w3.org/2000/svg\" \
             xmlns:xlink=\"http://www.w3.org/1999/xlink\" \
             viewBox=\"0 0 {width} {height}\">{body}</svg>"
        ))
    }
}

/// A code point sequence in lower case without variation selectors.
fn plain_code(code: &str) -> String {
    let parts = code.to_lowercase();
    parts.split('-').filter(|part| *part != "fe0f").collect::<Vec<_>>().join("-")
}

#[cfg(test)]
mod tests {
    use super::{choose, plain_code};
    use crate::lists::trained;

    #[test]
    fn small_sets_have_what_everybody_asks_for() {
        let names = |limit| -> Vec<&str> {
            choose(trained(), limit).unwrap().iter().map(|entry| entry.name.text).collect()
        };
        for limit in [32, 100, 200, 399, 400] {
            assert_eq!(names(limit).len(), limit);
            assert_eq!(names(limit)[0], "red heart");
        }
        let small = names(200);
        assert!(
            ["red heart", "cat face", "rocket", "pizza"].iter().all(|name| small.contains(name))
        );
        assert!(choose(trained(), 401).is_err());
    }

    #[test]
    fn variation_selectors_do_not_matter() {
        assert_eq!(plain_code("2764-FE0F"), "2764");
        assert_eq!(plain_code("1f441-fe0f-200d-1f5e8"), "1f441-200d-1f5e8");
    }
}
