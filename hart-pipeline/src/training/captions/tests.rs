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
fn talk_stands_around_what_is_said_and_stays_unknown() {
    let noise = "\n[noise]\ntalk = 1.0\nstrangers = [\"yesterday somewhere\", \"however\"]\n";
    let grammar = CaptionGrammar::parse(&(GRAMMAR.to_string() + noise)).unwrap();
    let bare = CaptionGrammar::parse(GRAMMAR).unwrap();
    let wishes: BTreeSet<String> = all(&bare, &cheese("red"));
    let (mut before, mut behind, mut listed) = (0, 0, 0);
    for caption in all(&grammar, &cheese("red")) {
        let wish = wishes.iter().filter(|wish| caption.contains(*wish)).max_by_key(|w| w.len());
        let wish = wish.unwrap_or_else(|| panic!("no wish in {caption}"));
        let (first, last) = caption.split_once(wish.as_str()).expect("it is in it");
        for (count, talk) in [(&mut before, first), (&mut behind, last)] {
            let words = talk.split_whitespace().count();
            assert!(words <= 4, "{caption}");
            *count += words;
            listed +=
                ["yesterday", "somewhere", "however"].iter().filter(|w| talk.contains(*w)).count();
        }
    }
    assert!(before > 0 && behind > 0 && listed > 0 && before + behind > listed);
    let cheese = cheese("red");
    let words = grammar.words([&cheese].into_iter());
    assert!(!words.contains("yesterday") && words.contains("cheese"));
    assert_eq!(grammar.check([&cheese].into_iter()).unwrap(), 0);

    // A word of talk that captions have otherwise would no longer mean nothing.
    let noise = noise.replace("however", "however old");
    let grammar = CaptionGrammar::parse(&(GRAMMAR.to_string() + &noise)).unwrap();
    let said = grammar.check([&cheese].into_iter()).unwrap_err().to_string();
    assert!(said.contains("`noise.strangers[1]` is `old`"), "{said}");
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
    // `object` is what a form is chosen by, and in no caption.
    for word in ["portrait", "object", "pair"] {
        assert!(!words.contains(word), "{word}");
    }
    assert!(grammar.withheld(&pair(), 1, [0, 0]).is_none());
}

#[test]
fn records_that_say_too_little_have_no_caption() {
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    let photo = record(r#"{"image": "1.png", "captions": ["a photo"], "kind": "object"}"#);
    assert_eq!(grammar.caption(&photo, 1, [0, 0]), None);
}

#[test]
fn wrong_values_are_refused_with_their_line_and_key() {
    let rules = "forms = [\"{noun}\"]\n[rules]\n";
    let cases = [
        ("forms = [\"{noun\"]", ", line 1: `forms[0]` is `{noun`, expected every brace"),
        ("forms = [\"{}\"]", ", line 1: `forms[0]` is `{}`, expected a name"),
        ("forms = []", ", line 1: `forms` is empty, expected an alternative"),
        ("forms = [[0, \"x\"]]", ", line 1: `forms` is without a weight above 0"),
        (
            "\nforms = [\"x\",\n[-1, \"{noun}\"]]",
            ", line 3: `forms[1]` is -1, the weight of `{noun}`",
        ),
        ("forms = [[nan, \"x\"]]", ", line 1: `forms[0]` is NaN"),
        ("[forms]\nby = \"kind\"", "`forms` is without a list"),
        (
            "[forms]\nby = \"kind\"\nx = [\"a\",\n\"}\"]",
            ", line 4: `forms.x[1]` is `}`, expected every brace with its other",
        ),
        (
            &format!("{rules}x = [\"{{y}}\"]\ny = [\"{{a:x}}\"]"),
            ", line 3: `rules.x` is in itself (x → y → x)",
        ),
        (&format!("{rules}noun = [\"x\"]"), ", line 3: `rules.noun` is `noun`, expected another"),
        (
            "forms = [\"{a:big}\"]",
            ", line 1: `forms[0]` is `{a:big}`, expected the slot of a thing",
        ),
        (&format!("{rules}x = [\"y\"]\nz = [\"{{x:x}}\"]"), ", line 4: `rules.z[0]` is `{x:x}`"),
        ("forms = [\"x\"]\nkeep = [\"ground\"]", ", line 2: `keep` is `ground`, expected names of"),
        ("forms = [\"x\"]\nreversed = 2", ", line 2: `reversed` is 2, expected from 0 to 1"),
        ("forms = [\"x\"]\nplain_names = nan", ", line 2: `plain_names` is NaN"),
        ("forms = [\"x\"]\n[noise]\n\nfiller = -0.5", ", line 4: `noise.filler` is -0.5"),
        ("forms = [\"x\"]\n[noise]\nfiller = 0.5", ": `noise.fillers` is empty, expected words"),
        ("forms = [\"x\"]\n[noise]\ntalk = 0.5", ": `noise.strangers` is empty, expected words"),
        (
            "forms = [\"x\"]\n[noise]\nstrangers = [\"a\",\n\"\"]",
            ", line 4: `noise.strangers[1]` is",
        ),
        ("forms = [\"x\"]\n[noise]\nfillers = [\"a\",\n\" \"]", ", line 4: `noise.fillers[1]` is"),
        (
            "forms = [\"x\"]\n[names]\ncat = [\"\"]",
            ", line 3: `names.cat[0]` is ``, expected a word",
        ),
        ("forms = [\"x\"]\n[synonyms]\n\"A b\" = \"c\"", ", line 3: `synonyms.A b` is `c`"),
        ("forms = [\"x\"]\n[synonyms]\nb = \"\"", ", line 3: `synonyms.b` is ``, expected a word"),
    ];
    for (text, part) in cases {
        let said = CaptionGrammar::parse(text).expect_err(text).to_string();
        assert!(said.starts_with("the caption grammar"), "{said}");
        assert!(said.contains(part), "{text}: {said}");
    }
}

#[test]
fn what_is_no_grammar_is_refused_by_line() {
    let cases = [
        ("forms = [\"{noun}\"]\nform = 1", "line 2", "form"),
        ("rules = {}", "forms", "missing"),
        ("forms = true", "line 1", "a list of alternatives, or a table"),
        ("forms = [\"x\",\n\n7]", "line 3", "a text, or a list of a weight and a text"),
        ("forms = [\"x\",\n[\"x\"]]", "line 2", "f64"),
        ("forms = [\"x\",\n[1.0]]", "line 2", "a list of a weight and a text"),
        ("forms = [\"x\",\n[1, \"x\", 2]]", "line 2", "a list of a weight and a text"),
        ("[forms]\nx = [\"x\"]", "line 1", "`by`"),
        ("forms = [\"x\"]\n[noise]\nloud = 1", "line 3", "loud"),
        ("forms = [", "line 1", "array"),
    ];
    for (text, line, part) in cases {
        let said = CaptionGrammar::parse(text).expect_err(text).to_string();
        assert!(said.contains("not a grammar of captions"), "{said}");
        assert!(said.contains(line) && said.contains(part), "{text}: {said}");
    }
}

#[test]
fn rules_may_neither_be_too_deep_nor_too_long() {
    let chain = |count: usize| {
        let rules = (0..count).map(|i| format!("r{i:03} = [\"{{r{:03}}}\"]\n", i + 1));
        let rules: String = rules.collect();
        format!("forms = [\"{{r000}}\"]\n[rules]\n{rules}r{count:03} = [\"x\"]\n")
    };
    CaptionGrammar::parse(&chain(31)).expect("32 rules");
    for count in [32, 60, 900] {
        let said = CaptionGrammar::parse(&chain(count)).expect_err("too deep").to_string();
        assert!(said.contains("rules deep, expected at most 32"), "{said}");
    }
    // Each twice the next one: two to the power of 31.
    let rules: String =
        (0..31).map(|i| format!("r{i:03} = [\"{{r{0:03}}} {{r{0:03}}}\"]\n", i + 1)).collect();
    let bomb = format!("forms = [\"{{r000}}\"]\n[rules]\n{rules}r031 = [\"x\"]\n");
    let said = CaptionGrammar::parse(&bomb).expect_err("too long").to_string();
    assert!(said.contains("pieces, expected at most 10000"), "{said}");
}

#[test]
fn names_that_lead_nowhere_are_found_with_the_records() {
    let records = [cheese("red"), pair()];
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    assert_eq!(grammar.check(records.iter()).expect("all is there"), 0);
    // Without a pair, nobody asks for the relation, nor on white for a column that is not there.
    let white = [cheese("white")];
    let typo = CaptionGrammar::parse(&GRAMMAR.replace("{background}", "{backgruond}")).unwrap();
    assert_eq!(typo.check(white.iter()).expect("a list that is not used"), 0);
    assert_eq!(grammar.check(records[..1].iter()).expect("no pair"), 0);
    let photo = record(r#"{"image": "1.png", "captions": ["a photo"]}"#);
    let with_photo = [records[0].clone(), photo, records[1].clone()];
    assert_eq!(grammar.check(with_photo.iter()).expect("some are there"), 1);
    for (from, to, part) in [
        ("on {background}", "on {backgruond}", "`rules.ground.other[0]` is `{backgruond}`"),
        ("by = \"kind\"", "by = \"kinds\"", ", line 6: `forms.by` is `kinds`, expected a column"),
        ("pair = [\"{a}", "pair = [\"{style} {a}", "`forms.pair[0]` is `{style}`"),
    ] {
        let changed = GRAMMAR.replace(from, to);
        assert_ne!(changed, GRAMMAR);
        let said = CaptionGrammar::parse(&changed).unwrap().check(records.iter());
        let said = said.expect_err(to).to_string();
        assert!(said.contains(part), "{said}");
    }
}

#[test]
fn a_grammar_is_known_by_what_is_trained() {
    let content = |text: &str| CaptionGrammar::parse(text).unwrap().content();
    let same = [
        format!("# a comment\n{GRAMMAR}"),
        GRAMMAR.replace("portrait of", "picture of"),
        GRAMMAR.to_string() + "[synonyms]\ncheddar = \"cheese\"",
        GRAMMAR.replace("    [rules]\n", "    [rules]\n    unused = [\"x\"]\n"),
    ];
    for text in same {
        assert_ne!(text, GRAMMAR);
        assert_eq!(content(&text), content(GRAMMAR), "{text}");
    }
    for (from, to) in [("old", "new"), ("beside", "near"), ("\"cheese\"]", "\"gouda\"]")] {
        let other = GRAMMAR.replace(from, to);
        assert_ne!(content(&other), content(GRAMMAR), "{from}");
    }
    let grammar = CaptionGrammar::parse(GRAMMAR).unwrap();
    let of = |record: &Record| grammar.content_of([record].into_iter());
    let other = record(
        r#"{"image": "2.png", "captions": ["y"], "kind": "object", "background": "white",
            "size": "large", "things": [["a piece of cheese", "an emmental"]]}"#,
    );
    assert_eq!(of(&other), of(&cheese("white")), "no form names the size");
    assert_ne!(of(&cheese("red")), of(&cheese("white")));
}
