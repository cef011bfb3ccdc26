//! What a recipe draws, and which ones are refused.

use std::collections::BTreeMap;

use hart_pipeline::bulk::Recipe;
use serde_json::Value;

use crate::{SHAPES, folder};

fn recipe(text: &str) -> Recipe {
    Recipe::from_toml(text).expect("a recipe")
}

#[test]
fn a_seed_means_the_same_pictures_for_ever() {
    // Recorded once from this very implementation: an old run must go on with what it has.
    let pictures = [0, 1, 123_456_789].map(|index| {
        let picture = recipe(SHAPES).picture(index);
        (picture.prompt, picture.seed)
    });
    let expected = [
        ("a red star on a white background", 8_062_845_018_983_352),
        ("a white circle on a black background", 2_597_264_298_665_900),
        ("a blue circle on a black background", 4_682_025_610_370_387),
    ];
    assert_eq!(pictures, expected.map(|(prompt, seed)| (prompt.to_string(), seed)));
}

#[test]
fn pictures_follow_from_the_seed_of_the_run() {
    let (one, mut other) = (recipe(SHAPES), recipe(SHAPES));
    let drawn = |recipe: &Recipe| (0..40).map(|i| recipe.picture(i)).collect::<Vec<_>>();
    assert_eq!(drawn(&one), drawn(&other));
    other.set_seed(6);
    let differ =
        drawn(&one).iter().zip(drawn(&other)).filter(|(a, b)| a.prompt != b.prompt).count();
    assert!(differ > 20, "{differ} of 40");
    assert!(drawn(&one).iter().all(|picture| picture.seed < 1 << 53));
}

#[test]
fn labels_say_what_the_prompt_says() {
    for index in 0..50 {
        let picture = recipe(SHAPES).picture(index);
        let text = |name: &str| picture.labels[name].as_str().expect("a text").to_string();
        let [colour, shape, ground] = ["colour", "shape", "ground"].map(text);
        assert_eq!(picture.prompt, format!("a {colour} {shape} on a {ground} background"));
        assert_eq!(picture.labels.len(), 3);
    }
}

/// The share of pictures with some labels, counted.
fn share(recipe: &Recipe, labels: &[(&str, &str)]) -> f64 {
    let has = |index: &u64| {
        let picture = recipe.picture(*index);
        labels.iter().all(|(name, label)| picture.labels.get(*name) == Some(&Value::from(*label)))
    };
    (0..recipe.pictures()).filter(has).count() as f64 / recipe.pictures() as f64
}

#[test]
fn coverage_tells_what_comes_and_what_is_aimed_at() {
    let recipe = recipe(
        r#"
        pictures = 20000
        template = [[3, "{a} {b} {c}"], "{a} alone"]
        exclude = [{ a = "x", b = ["p", "q"] }, { b = "r", c = "n" }]
        [lists]
        a = [[2, "x"], "y", [0, "never"]]
        b = ["p", "q", [2, "r"]]
        c = ["m", { text = "n", weight = 3 }]
    "#,
    );
    let coverage = recipe.coverage();
    let mut sums: BTreeMap<&str, f64> = BTreeMap::new();
    for label in &coverage.labels {
        let wanted = label.wanted.expect("a share");
        let found = label.drawn as f64 / 20_000.0;
        let deviation = (wanted * (1.0 - wanted) / 20_000.0).sqrt();
        assert!((found - wanted).abs() < 5.0 * deviation, "{label:?}");
        assert_eq!(found, share(&recipe, &[(&label.name, &label.label)]));
        *sums.entry(&label.name).or_default() += wanted;
    }
    for (name, expected) in [("a", 1.0), ("b", 0.75), ("c", 0.75)] {
        assert!((sums[name] - expected).abs() < 1e-12, "{name} {sums:?}");
    }
    for pair in &coverage.pairs {
        let wanted = pair.wanted.expect("a share");
        let deviation = (wanted * (1.0 - wanted) / 20_000.0).sqrt();
        assert!((pair.drawn as f64 / 20_000.0 - wanted).abs() <= 5.0 * deviation, "{pair:?}");
        let labels = [0, 1].map(|i| (pair.names[i].as_str(), pair.labels[i].as_str()));
        // The last one follows from the others: x comes with r alone.
        let excluded = [
            [("a", "x"), ("b", "p")],
            [("a", "x"), ("b", "q")],
            [("b", "r"), ("c", "n")],
            [("a", "x"), ("c", "n")],
        ];
        assert_eq!(pair.drawn == 0, excluded.contains(&labels), "{pair:?}");
        assert_eq!(wanted == 0.0, excluded.contains(&labels), "{pair:?}");
    }
    // By hand: of the 3 · 4 · 4 weights of a, b and c, x with p or q and r with n are left out.
    let x = 2.0 * 2.0 * 1.0;
    let y = 1.0 * (2.0 * 4.0 + 2.0 * 1.0);
    let of_x = coverage.labels.iter().find(|label| label.label == "x").expect("x");
    let expected = 0.75 * x / (x + y) + 0.25 * 2.0 / 3.0;
    assert!((of_x.wanted.expect("a share") - expected).abs() < 1e-12, "{of_x:?}");
}

#[test]
fn a_list_can_be_drawn_from_twice() {
    let recipe = recipe(
        r#"
        pictures = 300
        template = "a {colour} circle left of a {colour.2} square"
        different = [["colour", "colour.2"]]
        [lists]
        colour = [{ text = "red", labels = { warm = "yes" } }, { text = "blue", labels = { warm = "no" } }, "grey"]
    "#,
    );
    for index in 0..300 {
        let labels = recipe.picture(index).labels;
        assert_ne!(labels["colour"], labels["colour.2"]);
        let warm = labels.get("warm.2").map(|warm| warm == "yes");
        assert_eq!(warm, (labels["colour.2"] != "grey").then(|| labels["colour.2"] == "red"));
    }
    let same = recipe.coverage().pairs.into_iter().filter(|pair| pair.labels[0] == pair.labels[1]);
    assert_eq!(same.map(|pair| (pair.wanted, pair.drawn)).collect::<Vec<_>>(), [(Some(0.0), 0); 3]);
}

#[test]
fn prompts_of_a_file_come_in_their_order_and_again() {
    let folder = folder();
    let lines = "{\"prompt\": \"a cat\", \"seed\": 9, \"legs\": 4}\n{\"prompt\": \"a fish\"}\n";
    std::fs::write(folder.path().join("pets.jsonl"), lines).expect("a file");
    let path = folder.path().join("recipe.toml");
    std::fs::write(&path, "prompts.file = \"pets.jsonl\"").expect("a file");
    let mut recipe = Recipe::from_file(&path).expect("a recipe");
    assert_eq!(recipe.pictures(), 2);
    recipe.set_pictures(3).expect("three");
    let pictures = [0, 1, 2].map(|index| recipe.picture(index));
    assert_eq!(pictures.clone().map(|picture| picture.prompt), ["a cat", "a fish", "a cat"]);
    assert_eq!((pictures[0].seed, &pictures[0].labels["legs"]), (9, &Value::from(4)));
    assert_ne!(pictures[2].seed, 9, "the same picture twice");
    assert!(pictures[1].labels.is_empty());
    assert_eq!(recipe.coverage().labels[0].drawn, 2);
}

#[test]
fn more_than_comes_is_refused() {
    let with = |wish: &str| {
        let text = SHAPES.replace("pictures = 6", "pictures = 1000");
        recipe(&text.replace("[lists]", &format!("at_least = [{wish}]\n[lists]"))).check_at_least()
    };
    with("{ pictures = 150, of = { colour = \"red\" } }").expect("as many come");
    let error = with("{ pictures = 900, of = { colour = \"red\" } }").unwrap_err().to_string();
    assert!(error.contains("`at_least[0].pictures` is 900, and "), "{error}");
    let never = "{ pictures = 1, of = { colour = \"white\", ground = \"white\" } }";
    let error = with(never).unwrap_err().to_string();
    assert!(error.contains("and 0 of 1000 come"), "{error}");
}

/// The recipe with something changed.
fn change(from: &str, to: &str) -> String {
    assert!(SHAPES.contains(from), "{from}");
    SHAPES.replace(from, to)
}

/// Recipes whose templates or lists are wrong, and what is said of them.
fn wrong_lists() -> Vec<(String, &'static str)> {
    vec![
        (change("{shape}", "{form}"), "line 5: `template` is `{form}`, expected names of lists"),
        (change("{shape}", "{shape"), "a brace without its other"),
        (change("a {colour}", "a} {colour}"), "a brace without its other"),
        (change("{ground} background", "white one"), "line 10: `lists.ground` is not used"),
        (change("{shape}", "thing"), "line 9: `lists.shape` is not used"),
        (
            change("ground = \"white\" }", "ground = \"green\" }"),
            "labels of `ground`: white, black",
        ),
        (change("{ colour = \"white\", ground = \"white\" }", "{}"), "`exclude[0]` is empty"),
        (
            change("exclude = [{ colour = \"white\"", "exclude = [{ size = \"white\""),
            "`exclude[0].size`",
        ),
        (change("[\"red\", \"blue\", \"white\"]", "[]"), "line 8: `lists.colour` is empty"),
        (
            change("\"red\"", "[0, \"red\"]").replace("\"blue\", \"white\"", "[0, \"blue\"]"),
            "without a weight above 0",
        ),
        (
            change("\"red\"", "[-1, \"red\"]"),
            "line 8: `lists.colour[0]` is -1, the weight of `red`",
        ),
        (change("\"red\"", "[nan, \"red\"]"), "is NaN, the weight"),
        (change("\"red\"", "[1, 2, 3]"), "line 8"),
        (change("\"red\"", "{ txt = \"red\" }"), "unknown field `txt`"),
        (change("\"red\"", "\"{red}\""), "a text without braces"),
        (change("\"red\"", "\"blue\""), "`blue` a second time"),
        (
            change("\"red\"", "{ text = \"red\", labels = { shape = \"r\" } }"),
            "a label `shape`, which `colour` has",
        ),
        (change("\"red\"", "{ text = \"red\", labels = { seed = \"r\" } }"), "another name"),
    ]
}

/// Recipes whose numbers, settings or rules are wrong.
fn wrong_settings() -> Vec<(String, &'static str)> {
    vec![
        (change("pictures = 6", "pictures = 0"), "`pictures` is 0, expected from 1"),
        (change("pictures = 6", "pictures = -1"), "line 2"),
        (change("pictures = 6", "pictures = 99999999999"), "`pictures` is 99999999999"),
        (change("pictures = 6", ""), "`pictures` is missing"),
        (change("shard_size = 2", "shard_size = 0"), "`shard_size` is 0"),
        (change("shard_size = 2", "shardsize = 2"), "unknown field `shardsize`"),
        (change("seed = 5", "settings.effort = \"lazy\""), "line 3"),
        (change("seed = 5", "settings.guidence = 2"), "unknown field `guidence`"),
        (change("seed = 5", "different = [[\"colour\"]]"), "two names or more"),
        (change("seed = 5", "different = [[\"colour\", \"hue\"]]"), "`different[0]` is `hue`"),
        (
            change("seed = 5", "at_least = [{ pictures = 1, of = { colour = \"pink\" } }]"),
            "`at_least[0].of.colour` is `pink`",
        ),
        (change("seed = 5", "at_least = [{ pictures = 1, of = {} }]"), "`at_least[0].of` is empty"),
        (change("seed = 5", "prompts.file = \"p.csv\""), "`template` is beside `prompts`"),
    ]
}

/// Recipes that lack something, or are none.
fn wrong_files() -> Vec<(String, &'static str)> {
    vec![
        ("pictures = 1".to_string(), "`template` is missing"),
        ("prompts.file = \"no-such-file.csv\"".to_string(), "no-such-file.csv"),
        ("prompts.file = \"p.csv\"\nlists.a = [\"b\"]".to_string(), "`lists` is given"),
        ("= 3".to_string(), "line 1"),
        ("\u{0}".to_string(), "not a recipe"),
    ]
}

#[test]
fn what_is_wrong_with_a_recipe_is_said_with_its_line() {
    let cases = [wrong_lists(), wrong_settings(), wrong_files()].concat();
    let mut wrong = vec![];
    for (text, expected) in cases {
        let error = Recipe::from_toml(&text).expect_err(&text).to_string();
        if !error.contains(expected) {
            wrong.push(format!("{text}\n{error}\nexpected {expected}\n"));
        }
    }
    assert!(wrong.is_empty(), "{}", wrong.join("\n"));
}

#[test]
fn exclusions_that_leave_nothing_are_refused() {
    let all = "exclude = [{ ground = [\"white\", \"black\"] }]";
    let text = SHAPES.replace("exclude = [{ colour = \"white\", ground = \"white\" }]", all);
    let error = Recipe::from_toml(&text).unwrap_err().to_string();
    assert!(error.contains("`exclude` is leaving 0.00e0 of what is drawn for ground"), "{error}");

    // Seven lists of ten values, joined by exclusions: ten millions of combinations.
    let names: Vec<String> = (0..7).map(|list| format!("l{list}")).collect();
    let values: Vec<String> = (0..10).map(|value| format!("\"v{value}\"")).collect();
    let lists: Vec<String> =
        names.iter().map(|name| format!("{name} = [{}]", values.join(", "))).collect();
    let excluded: Vec<String> = names.iter().map(|name| format!("{name} = \"v0\"")).collect();
    let template: Vec<String> = names.iter().map(|name| format!("{{{name}}}")).collect();
    let text = format!(
        "pictures = 1\ntemplate = \"{}\"\nexclude = [{{ {} }}]\n[lists]\n{}",
        template.join(" "),
        excluded.join(", "),
        lists.join("\n")
    );
    let error = Recipe::from_toml(&text).unwrap_err().to_string();
    assert!(error.contains("exclusions about fewer or smaller lists"), "{error}");
}
