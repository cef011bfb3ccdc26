//! The hand-written lists: concepts to train on, concepts to keep unseen, and synonyms.

use std::collections::HashMap;

const TRAINED: &str = include_str!("concepts.txt");
const UNSEEN: &str = include_str!("unseen.txt");
const SYNONYMS: &str = include_str!("synonyms.txt");

/// An entry of a list of concepts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Entry {
    /// Emojibase's label.
    pub(crate) label: &'static str,
    /// What captions call it.
    pub(crate) name: Noun,
    /// Whether small sets have it too.
    pub(crate) must: bool,
}

/// A name as captions use it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Noun {
    /// The name.
    pub(crate) text: &'static str,
    /// Whether it takes an article: plurals and uncountable nouns do not.
    pub(crate) counted: bool,
}

/// A word of the packages and its form in captions.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Synonym {
    /// Its form in the packages.
    pub(crate) word: &'static str,
    /// Its form in captions.
    pub(crate) noun: Noun,
}

impl Noun {
    fn parse(text: &'static str) -> Self {
        let bare = text.trim_start_matches('~');
        Self { text: bare, counted: bare.len() == text.len() }
    }

    /// With its article.
    pub(crate) fn with_article(self) -> String {
        // A vowel that is pronounced as a consonant takes `a`.
        let vowel = self.text.starts_with(['a', 'e', 'i', 'o', 'u'])
            && !["uni", "one", "use", "eu"].iter().any(|sound| self.text.starts_with(sound));
        match (self.counted, vowel) {
            (false, _) => self.text.to_string(),
            (true, true) => format!("an {}", self.text),
            (true, false) => format!("a {}", self.text),
        }
    }
}

/// The concepts to train on.
pub(crate) fn trained() -> Vec<Entry> {
    entries(TRAINED)
}

/// The concepts that no model is trained on.
pub(crate) fn unseen() -> Vec<Entry> {
    entries(UNSEEN)
}

/// The words of the packages that name a trained concept well, by its label.
pub(crate) fn synonyms() -> HashMap<&'static str, Vec<Synonym>> {
    let line = |line: &'static str| {
        let (label, words) = line.split_once(':')?;
        Some((label, words.split(';').map(|word| synonym(word.trim())).collect()))
    };
    lines(SYNONYMS).filter_map(line).collect()
}

fn synonym(text: &'static str) -> Synonym {
    match text.split_once('=') {
        Some((word, noun)) => Synonym { word, noun: Noun::parse(noun) },
        None => Synonym { word: text.trim_start_matches('~'), noun: Noun::parse(text) },
    }
}

fn entries(list: &'static str) -> Vec<Entry> {
    let entry = |text: &'static str| {
        let bare = text.trim().trim_start_matches('*');
        let noun = Noun::parse(bare);
        let (label, name) = noun.text.split_once('=').unwrap_or((noun.text, noun.text));
        Entry { label, name: Noun { text: name, ..noun }, must: bare.len() < text.trim().len() }
    };
    lines(list).flat_map(|line| line.split(';')).map(entry).collect()
}

fn lines(list: &'static str) -> impl Iterator<Item = &'static str> {
    list.lines().filter(|line| !line.is_empty() && !line.starts_with('#'))
}

#[cfg(test)]
mod tests {
    use std::collections::HashSet;

    use super::{Noun, entries, synonym, synonyms, trained, unseen};

    #[test]
    fn marks_are_read() {
        let found = entries("# a note\n*~fire; hot beverage=coffee");
        assert!(found[0].must && !found[0].name.counted && found[0].label == "fire");
        assert_eq!((found[1].label, found[1].name.text), ("hot beverage", "coffee"));
        assert_eq!(synonym("~cheese").noun.with_article(), "cheese");
        assert_eq!(synonym("top=big top").noun.with_article(), "a big top");
    }

    #[test]
    fn articles_follow_the_sound() {
        let article = |text| Noun { text, counted: true }.with_article();
        assert_eq!(article("owl"), "an owl");
        assert_eq!(article("unicorn"), "a unicorn");
        assert_eq!(article("umbrella"), "an umbrella");
    }

    #[test]
    fn no_name_is_used_twice() {
        let names: Vec<&str> =
            trained().iter().chain(&unseen()).map(|entry| entry.name.text).collect();
        let distinct: HashSet<&str> = names.iter().copied().collect();
        assert_eq!(names.len(), distinct.len());
        assert_eq!((trained().len(), unseen().len()), (400, 80));
        assert!(trained().iter().filter(|entry| entry.must).count() >= 100);
    }

    #[test]
    fn further_names_of_the_caption_grammar_belong_to_trained_concepts() {
        let names: HashSet<&str> = trained().iter().map(|entry| entry.name.text).collect();
        let (_, section) = include_str!("../data/captions.toml")
            .split_once("\n[names]\n")
            .expect("the grammar has further names");
        let lines = section.lines().take_while(|line| !line.starts_with('#'));
        let keys: Vec<&str> = lines.filter_map(|line| line.split('"').nth(1)).collect();
        assert!(keys.len() > 50);
        for key in keys {
            assert!(names.contains(key), "{key}");
        }
    }

    #[test]
    fn what_stands_for_words_that_are_not_trained_is_trained() {
        let all: Vec<&str> =
            trained().iter().flat_map(|entry| entry.name.text.split(' ')).collect();
        let (_, section) = include_str!("../data/captions.toml")
            .split_once("\n[synonyms]\n")
            .expect("the grammar has synonyms");
        let lines = section.lines().take_while(|line| !line.starts_with('#'));
        let pairs: Vec<_> = lines.filter_map(|line| line.split_once(" = ")).collect();
        assert!(pairs.len() > 50);
        for (word, meant) in pairs {
            let meant = meant.trim_matches('"');
            assert!(meant.split(' ').all(|word| all.contains(&word)), "{word}: {meant}");
            assert!(!all.contains(&word), "{word} is trained");
        }
    }

    #[test]
    fn synonyms_belong_to_trained_concepts() {
        let labels: HashSet<&str> = trained().iter().map(|entry| entry.label).collect();
        assert!(synonyms().keys().all(|label| labels.contains(label)));
    }
}
