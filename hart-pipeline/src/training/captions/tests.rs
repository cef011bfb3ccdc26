use std::collections::BTreeSet;

use super::CaptionGrammar;
use crate::training::data::Record;

const GRAMMAR: &str = r#"
    plain_names = 0.5
    reversed = 0.5
    keep = ["ground", "relation"]
    [forms]
    by = "kind"
    object = ["{noun}{ground}", "draw {a:little}{ground}", "{plural}{ground}"]
    pair = ["{a} {relation} {a2}{ground}"]
    [withheld]
    by = "kind"
    object = ["portrait of {a}{ground}"]
    [rules]
    little = ["old", ""]
    [rules.ground]
    by = "background"
    white = [""]
    other = [", on {background}"]
    [rules.relation]
    by = "relation"
    "left of" = ["beside"]
    "right of" = ["right of"]
    [names]
    "piece of cheese" = ["cheese"]
"#;

fn record(json: &str) -> Record {
    serde_json::from_str(json).expect("a record")
}

fn cheese(background: &str) -> Record {
    record(&format!(
        r#"{{"image": "1.png", "captions": ["x"], "kind": "object", "background": "{background}",
            "things": [["a piece of cheese", "an emmental"]]}}"#
    ))
}

fn pair() -> Record {
    record(
        r#"{"image": "1.png", "captions": ["x"], "kind": "pair", "background": "white",
            "relation": "left of", "inverse": "right of", "things": [["a cat"], ["cherries"]]}"#,
    )
}

fn all(grammar: &CaptionGrammar, record: &Record) -> BTreeSet<String> {
    (0..300).filter_map(|step| grammar.caption(record, 1, [step, 0])).collect()
}

#[test]
fn every_form_and_name_is_used_and_nothing_else() {
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    let wanted = [
        "piece of cheese",
        "emmental",
        "cheese",
        "pieces of cheese",
        "emmentals",
        "draw a piece of cheese",
        "draw an old piece of cheese",
        "draw an emmental",
        "draw an old emmental",
        "draw cheese",
        "draw old cheese",
    ];
    assert_eq!(all(&grammar, &cheese("white")), wanted.map(String::from).into());
}

#[test]
fn two_things_are_told_from_either() {
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    let wanted = ["a cat beside cherries", "cherries right of a cat"];
    assert_eq!(all(&grammar, &pair()), wanted.map(String::from).into());
}

#[test]
fn captions_follow_from_seed_and_place() {
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    let captions = |seed| -> Vec<_> {
        (0..20).map(|step| grammar.caption(&cheese("red"), seed, [step, 3])).collect()
    };
    assert_eq!(captions(1), captions(1));
    assert_ne!(captions(1), captions(2));
}

#[test]
fn noise_leaves_what_is_to_be_drawn() {
    let noise = "\n[noise]\nfiller = 1.0\ninvented = 1.0\ndrop = 0.5\nreplace = 0.5\n\
                 shouted = 0.2\nsentence = 0.2\nfillers = [\"really\"]\n";
    let grammar = CaptionGrammar::parse(&(GRAMMAR.to_string() + noise)).unwrap();
    let captions = all(&grammar, &cheese("red"));
    assert!(captions.len() > 100, "every caption has another made-up word");
    for caption in captions {
        let caption = caption.to_lowercase();
        let names = ["cheese", "emmental", "emmentals"];
        let parts = ["piece of cheese", "pieces of cheese", "on red"];
        assert!(names.iter().any(|name| caption.contains(name)), "{caption}");
        assert!(!caption.contains("piece") || parts[..2].iter().any(|part| caption.contains(part)));
        assert!(caption.contains(parts[2]) && caption.contains("really"), "{caption}");
        assert!(!caption.split(' ').any(|word| word == "draw"), "{caption}");
    }
}

#[test]
fn withheld_forms_are_apart_and_their_words_unknown() {
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    let caption = grammar.withheld(&cheese("white"), 1, [0, 0]).unwrap();
    assert!(caption.starts_with("portrait of "), "{caption}");
    let words = grammar.words([&cheese("white"), &pair()].into_iter());
    assert!(
        ["draw", "emmentals", "pieces", "cherries", "beside", "on"]
            .iter()
            .all(|word| words.contains(*word))
    );
    assert!(!words.contains("portrait"));
    assert!(grammar.withheld(&pair(), 1, [0, 0]).is_none());
}

#[test]
fn records_that_say_too_little_have_no_caption() {
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    let photo = record(r#"{"image": "1.png", "captions": ["a photo"], "kind": "object"}"#);
    assert_eq!(grammar.caption(&photo, 1, [0, 0]), None);
}

#[test]
fn wrong_files_are_refused_with_the_rule_that_is_wrong() {
    let cases = [
        ("forms = [\"{noun\"]", "brace"),
        ("forms = []", "`forms`"),
        ("forms = [[-1, \"{noun}\"]]", "weight"),
        ("forms = [\"{x}\"]\n[rules]\nx = [\"{y}\"]\ny = [\"{x}\"]", "stands for itself"),
        ("forms = [\"{a:big}\"]", "`{a:big}`"),
        ("forms = [\"{noun}\"]\nkeep = [\"ground\"]", "`keep`"),
        ("forms = [\"{noun}\"]\nreversed = 2", "`reversed` is 2"),
        ("forms = [\"{noun}\"]\n[noise]\nfiller = 0.5", "fillers"),
        ("forms = [\"{noun}\"]\nform = 1", "form"),
    ];
    for (text, part) in cases {
        let said = CaptionGrammar::parse(text).expect_err(text).to_string();
        assert!(said.contains(part), "{text}: {said}");
    }
}
