//! The grammar and the prompts of the repository.

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};

use hart_pipeline::training::captions::CaptionGrammar;
use hart_pipeline::training::data::Record;

/// A file of the examples' data.
pub(crate) fn file(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("data").join(name)
}

fn grammar() -> CaptionGrammar {
    CaptionGrammar::open(file("captions.toml")).expect("the grammar")
}

fn record(json: serde_json::Value) -> Record {
    serde_json::from_value(json).expect("a record")
}

fn object(background: &str) -> Record {
    record(serde_json::json!({
        "image": "1.png", "captions": ["a cat, flat style"], "kind": "object", "style": "flat",
        "background": background, "things": [["a cat", "a kitty"]],
    }))
}

/// Many captions of a record, in small letters.
fn captions(record: &Record) -> BTreeSet<String> {
    let grammar = grammar();
    let caption = |step| grammar.caption(record, 1, [step, 0]).expect("a caption");
    (0..10_000).map(|step| caption(step).to_lowercase()).collect()
}

#[test]
fn a_coloured_background_is_always_said_and_the_thing_named() {
    for caption in captions(&object("orange")) {
        let named = ["cat", "kitty", "kitten", "kitties"].iter().any(|name| caption.contains(name));
        assert!(named && caption.contains("orange"), "{caption}");
    }
}

#[test]
fn a_style_is_always_said_unless_it_is_flat() {
    let of = |style: &str| {
        let mut object = object("white");
        object.details.insert("style".to_string(), style.into());
        captions(&object)
    };
    let said: [(&str, &[&str]); 2] =
        [("3D", &["3d", "three-dimensional"]), ("cartoon", &["cartoon"])];
    for (style, words) in said {
        for caption in of(style) {
            assert!(words.iter().any(|word| caption.contains(word)), "{caption}");
        }
    }
    assert!(of("flat").contains("a cat"));
}

#[test]
fn prompts_as_people_type_them_are_made() {
    let made = captions(&object("white"));
    let typed =
        ["cat", "a cat", "draw me a cat", "a picture of a cat", "a cute cat", "the cat", "cats"];
    for prompt in typed {
        assert!(made.contains(prompt), "{prompt}");
    }
    assert!(made.len() > 1000, "{} captions", made.len());
}

#[test]
fn every_kind_of_record_has_captions() {
    let two = serde_json::json!({
        "image": "1.png", "captions": ["x"], "kind": "pair", "style": "flat", "background": "white",
        "relation": "left of", "inverse": "right of", "things": [["a cat"], ["an owl"]],
    });
    let mut scene = two.clone();
    scene["kind"] = "scene".into();
    let shape = serde_json::json!({
        "image": "1.png", "captions": ["x"], "kind": "shape", "background": "white",
        "things": [["a red circle"]],
    });
    assert!(captions(&record(two.clone())).contains("a cat and an owl"));
    assert!(captions(&record(scene)).contains("a cat next to an owl"));
    assert!(captions(&record(shape)).contains("red circle"));
    let grammar = grammar();
    assert!(grammar.withheld(&record(two), 1, [0, 0]).is_some());
}

#[test]
fn prompts_of_withheld_forms_are_not_made() {
    let text = std::fs::read_to_string(file("prompts.jsonl")).expect("the prompts");
    let prompts: Vec<serde_json::Value> =
        text.lines().map(|line| serde_json::from_str(line).expect("a prompt")).collect();
    let forms: BTreeSet<&str> = prompts.iter().filter_map(|p| p["form"].as_str()).collect();
    assert!(prompts.len() >= 130 && forms.len() >= 20);
    let grammar = grammar();
    for prompt in prompts.iter().filter(|prompt| prompt["withheld"] == true) {
        let concept = prompt["concept"].as_str().expect("a concept");
        let record = record(serde_json::json!({
            "image": "1.png", "captions": ["x"], "kind": "object", "style": "flat",
            "background": "white", "things": [[format!("a {concept}")]],
        }));
        let text = prompt["prompt"].as_str().expect("a prompt");
        let is_made = (0..1000)
            .any(|step| grammar.caption(&record, 1, [step, 0]).is_some_and(|made| made == text));
        assert!(!is_made, "{text}");
    }
}
