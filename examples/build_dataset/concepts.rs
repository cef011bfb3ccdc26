//! Which things are drawn and what they are called.

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::path::Path;

use anyhow::{Context, ensure};
use serde_json::Value;

use crate::packages::{EMOJIBASE, EMOJILIB, FLAT, NOTO, ROUND, json};

/// The concepts that are trained, by their labels in emojibase, a line a kind.
const TRAINED: &str = include_str!("concepts.txt");

/// Names nearer to what people ask for than the label.
const NAMES: [(&str, &str); 24] = [
    ("hot beverage", "coffee"),
    ("automobile", "car"),
    ("honeybee", "bee"),
    ("mobile phone", "phone"),
    ("wrapped gift", "gift"),
    ("red apple", "apple"),
    ("lady beetle", "ladybug"),
    ("T-Rex", "dinosaur"),
    ("evergreen tree", "pine tree"),
    ("deciduous tree", "tree"),
    ("spouting whale", "whale"),
    ("locomotive", "steam train"),
    ("closed book", "book"),
    ("beer mug", "beer"),
    ("soft ice cream", "soft serve"),
    ("snow-capped mountain", "mountain"),
    ("high voltage", "lightning"),
    ("poultry leg", "chicken leg"),
    ("locked", "lock"),
    ("carpentry saw", "saw"),
    ("magnifying glass tilted left", "magnifying glass"),
    ("smiling face with sunglasses", "cool face"),
    ("smiling face with heart-eyes", "love face"),
    ("artist palette", "paint palette"),
];

/// How many concepts are drawn that no model is trained on.
pub(crate) const UNSEEN: usize = 80;

/// Groups of emojibase that unseen concepts are taken from: animals and nature to objects.
const UNSEEN_GROUPS: std::ops::RangeInclusive<u64> = 3..=7;

/// A thing that was drawn in all three designs.
#[derive(Debug, Clone)]
pub(crate) struct Concept {
    /// What captions call it.
    pub(crate) name: String,
    /// Further words for it, which at most one other concept shares.
    pub(crate) keywords: Vec<String>,
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

/// Joins the packages by code point.
pub(crate) fn read(packages: &Path, limit: usize) -> anyhow::Result<Concepts> {
    let noto = Icons::open(&NOTO, packages)?;
    let flat = Icons::open(&FLAT, packages)?;
    let round = ROUND.files(packages)?;
    let round: HashMap<String, Vec<u8>> = round
        .into_iter()
        .filter_map(|(name, bytes)| {
            let code = name.strip_prefix("assets/")?.strip_suffix(".webp")?;
            Some((plain_code(code), bytes))
        })
        .collect();
    let emojibase = json(&EMOJIBASE, &EMOJIBASE.files(packages)?, "en/data.json")?;
    let words = json(&EMOJILIB, &EMOJILIB.files(packages)?, "dist/emoji-en-US.json")?;

    let mut found = BTreeMap::new();
    for (order, entry) in emojibase.as_array().into_iter().flatten().enumerate() {
        let text = |key: &str| entry[key].as_str().unwrap_or_default();
        let code = plain_code(text("hexcode"));
        let drawings = (noto.svg(&code), flat.svg(&code), round.get(&code));
        let (Some(noto), Some(flat), Some(round)) = drawings else { continue };
        let label = text("label");
        let name = NAMES.iter().find(|(from, _)| *from == label).map_or(label, |(_, to)| to);
        let listed = |value: &Value| -> Vec<String> {
            let words = value.as_array().into_iter().flatten().filter_map(Value::as_str);
            words.map(|word| word.replace('_', " ")).collect()
        };
        let mut keywords = vec![label.to_string()];
        keywords.extend(listed(&words[text("emoji")]));
        keywords.extend(listed(&entry["tags"]));
        let concept = Concept {
            name: name.to_lowercase(),
            keywords,
            noto,
            flat,
            round: round.clone(),
        };
        found.insert(label.to_string(), (order, entry["group"].as_u64(), concept));
    }
    choose(found, limit)
}

type Found = BTreeMap<String, (usize, Option<u64>, Concept)>;

fn choose(mut found: Found, limit: usize) -> anyhow::Result<Concepts> {
    let mut trained = vec![];
    for label in TRAINED.lines().flat_map(|line| line.split(';')).map(str::trim) {
        if label.is_empty() || label.starts_with('#') {
            continue;
        }
        let (_, _, concept) =
            found.remove(label).with_context(|| format!("no package draws `{label}`"))?;
        trained.push(concept);
    }
    ensure!(
        (32..=trained.len()).contains(&limit),
        "`--concepts` is {limit}, expected 32 to {}",
        trained.len()
    );
    // Evenly over the list, so that fewer concepts are still of all kinds.
    let all = trained.len();
    let kept = (0..limit).map(|i| trained[i * all / limit].clone()).collect::<Vec<_>>();
    let mut rest: Vec<_> = found
        .into_values()
        .filter(|(_, group, _)| group.is_some_and(|group| UNSEEN_GROUPS.contains(&group)))
        .collect();
    rest.sort_by_key(|(order, _, _)| *order);
    let count = rest.len();
    let unseen = (0..UNSEEN).map(|i| rest[i * count / UNSEEN].2.clone()).collect();
    let mut concepts = Concepts { trained: kept, unseen };
    keep_telling_keywords(&mut concepts.trained);
    Ok(concepts)
}

/// Keeps plain words that say which concept is meant: at most two concepts may share one.
fn keep_telling_keywords(concepts: &mut [Concept]) {
    let is_plain = |word: &str| {
        word.len() > 2
            && word.split(' ').count() <= 2
            && word.chars().all(|letter| letter.is_ascii_lowercase() || letter == ' ')
    };
    let mut users: HashMap<String, usize> = HashMap::new();
    for concept in concepts.iter_mut() {
        let words = concept.keywords.iter().map(|word| word.trim().to_lowercase());
        // In the order of the packages: what says most comes first.
        let mut seen = BTreeSet::from([concept.name.clone()]);
        let words = words.filter(|word| is_plain(word));
        concept.keywords = words.filter(|word| seen.insert(word.clone())).collect();
        for word in &concept.keywords {
            *users.entry(word.clone()).or_default() += 1;
        }
    }
    let names: BTreeSet<String> = concepts.iter().map(|concept| concept.name.clone()).collect();
    for concept in concepts.iter_mut() {
        concept.keywords.retain(|word| users[word] <= 2 && !names.contains(word));
        concept.keywords.truncate(6);
    }
}

/// The SVG icons of one package.
struct Icons {
    icons: serde_json::Map<String, Value>,
    codes: HashMap<String, String>,
    side: f64,
}

impl Icons {
    fn open(package: &crate::packages::Package, folder: &Path) -> anyhow::Result<Self> {
        let files = package.files(folder)?;
        let mut all = json(package, &files, "icons.json")?;
        let codes = json(package, &files, "chars.json")?;
        let codes = codes.as_object().into_iter().flatten();
        let codes = codes
            .filter_map(|(code, name)| Some((plain_code(code), name.as_str()?.to_string())))
            .collect();
        let side = all["width"].as_f64().unwrap_or(16.0);
        let Value::Object(icons) = all["icons"].take() else {
            anyhow::bail!("icons.json of {} has no icons", package.name)
        };
        Ok(Self { icons, codes, side })
    }

    fn svg(&self, code: &str) -> Option<String> {
        let icon = self.icons.get(self.codes.get(code)?)?;
        let body = icon["body"].as_str()?;
        let size = |key: &str| icon[key].as_f64().unwrap_or(self.side);
        let (width, height) = (size("width"), size("height"));
        Some(format!(
            r#"<svg xmlns="http://www.w3.org/2000/svg" xmlns:xlink="http://www.w3.org/1999/xlink" viewBox="0 0 {width} {height}">{body}</svg>"#
        ))
    }
}

/// A code point sequence in small letters without variation selectors.
fn plain_code(code: &str) -> String {
    let parts = code.to_lowercase();
    parts.split('-').filter(|part| *part != "fe0f").collect::<Vec<_>>().join("-")
}
