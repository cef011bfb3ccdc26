//! Articles and plurals of English names.

/// Plurals that do not follow the rules.
const IRREGULAR: [(&str, &str); 15] = [
    ("mouse", "mice"),
    ("goose", "geese"),
    ("wolf", "wolves"),
    ("leaf", "leaves"),
    ("knife", "knives"),
    ("loaf", "loaves"),
    ("tooth", "teeth"),
    ("child", "children"),
    ("sheep", "sheep"),
    ("deer", "deer"),
    ("fish", "fish"),
    ("squid", "squid"),
    ("shrimp", "shrimp"),
    ("salmon", "salmon"),
    ("cactus", "cacti"),
];

/// A name without its article, and whether it had one.
pub(super) fn bare(name: &str) -> (&str, bool) {
    let article = ["a ", "an "].iter().find_map(|article| name.strip_prefix(article));
    article.map_or((name, false), |noun| (noun, true))
}

/// `a` or `an`, as the words after it sound.
pub(super) fn article(words: &str) -> &'static str {
    // A vowel that is pronounced as a consonant takes `a`.
    let consonant = ["uni", "one", "use", "eu"].iter().any(|sound| words.starts_with(sound));
    if words.starts_with(['a', 'e', 'i', 'o', 'u']) && !consonant { "an" } else { "a" }
}

/// The plural of a name with its article; a name without one is a plural already, or has none.
pub(super) fn plural(name: &str) -> String {
    let (noun, counted) = bare(name);
    if !counted {
        return noun.to_string();
    }
    // `pieces of cheese`: the word before the preposition changes.
    for joint in [" of ", " with ", " behind ", " in ", " and "] {
        if let Some((head, rest)) = noun.split_once(joint) {
            return format!("{}{joint}{rest}", regular(head));
        }
    }
    regular(noun)
}

fn regular(noun: &str) -> String {
    let start = noun.rfind([' ', '-']).map_or(0, |place| place + 1);
    let (before, word) = noun.split_at(start);
    let irregular = IRREGULAR.iter().find(|(one, _)| *one == word);
    if let Some((_, many)) = irregular {
        return format!("{before}{many}");
    }
    let vowel_y = ["ay", "ey", "oy", "uy"].iter().any(|end| word.ends_with(end));
    let hissing = ["s", "x", "z", "ch", "sh"].iter().any(|end| word.ends_with(end));
    let heavy_o = ["tomato", "potato", "mango", "volcano", "tornado"].contains(&word);
    match word.strip_suffix('y') {
        Some(stem) if !vowel_y => format!("{before}{stem}ies"),
        _ if hissing || heavy_o => format!("{before}{word}es"),
        _ => format!("{before}{word}s"),
    }
}

#[cfg(test)]
mod tests {
    use super::{article, bare, plural};

    #[test]
    fn names_have_articles_and_plurals() {
        assert_eq!(bare("an owl"), ("owl", true));
        assert_eq!(bare("cherries"), ("cherries", false));
        assert_eq!(["old cat", "unicorn", "cat"].map(article), ["an", "a", "a"]);
        let all = [
            ("a cat", "cats"),
            ("a strawberry", "strawberries"),
            ("a monkey", "monkeys"),
            ("a fox", "foxes"),
            ("a polar bear", "polar bears"),
            ("a computer mouse", "computer mice"),
            ("a piece of cheese", "pieces of cheese"),
            ("a T-Rex", "T-Rexes"),
            ("cherries", "cherries"),
        ];
        for (one, many) in all {
            assert_eq!(plural(one), many);
        }
    }
}
