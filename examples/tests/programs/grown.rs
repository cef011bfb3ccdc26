//! Models grown from smaller ones.

use std::path::Path;

use hart_pipeline::Pixels;
use hart_pipeline::text::PromptTokenizer;

use super::{fails, folder, succeeds};

const EMBEDDED: &str = "--unpack REPO/hart-pipeline/embedded/model.zip --out model";
const CAPTIONS: &str =
    "--captions captions.toml --records REPO/examples/data/sample/captions.jsonl";
/// Captions with words that the model compiled in has never seen.
const GRAMMAR: &str = r#"
    forms = ["a groovy {noun}", "one {noun} zeppelin, please"]
    withheld = ["a quixotic {noun}"]
"#;

/// The means of squares of four pixels.
fn halved(pixels: &Pixels) -> Vec<f64> {
    let (width, height) = (pixels.width(), pixels.height());
    let value = |x: usize, y: usize, c: usize| f64::from(pixels.rgb()[(y * width + x) * 3 + c]);
    let mut means = vec![];
    for y in (0..height).step_by(2) {
        for x in (0..width).step_by(2) {
            let four = |c| value(x, y, c) + value(x + 1, y, c) + value(x, y + 1, c);
            means.extend([0, 1, 2].map(|c| (four(c) + value(x + 1, y + 1, c)) / 4.0));
        }
    }
    means
}

#[test]
fn a_finer_model_makes_the_same_images_with_twice_the_pixels() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "pack", EMBEDDED);
    let said = succeeds(at, "grow_model", "model --out finer --finer");
    succeeds(at, "inspect", "finer --quick");
    for (name, model) in [("small.png", "model"), ("large.png", "finer")] {
        let prompt = "a+penguin,+3D+style,+on+a+pink+background";
        succeeds(at, "text_to_image", &format!("--model {model} --out {name} --seed 7 {prompt}"));
    }
    let [small, large] =
        ["small.png", "large.png"].map(|name| Pixels::open(at.join(name)).expect("an image"));
    let (side, double) = (small.width(), 2 * small.width());
    assert_eq!((large.width(), large.height()), (double, double));
    let sizes = format!("{double} × {double} pixels instead of {side} × {side}");
    assert!(said.contains(&sizes), "{said}");
    let apart = halved(&large).into_iter().zip(small.rgb()).map(|(a, b)| (a - f64::from(*b)).abs());
    let apart: Vec<f64> = apart.collect();
    let mean = apart.iter().sum::<f64>() / apart.len() as f64;
    // Values that are cut to the range of a pixel are not the same before and after.
    assert!(mean < 2.0, "{mean} of 255");
    assert!(apart.iter().filter(|apart| **apart < 1.5).count() > apart.len() / 2, "{apart:?}");
}

#[test]
fn words_get_tokens_of_their_own() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "pack", EMBEDDED);
    let tokens = |model: &str, text: &str| {
        let prompts = PromptTokenizer::open(at.join(model).join("text"), None);
        prompts.expect("a tokenizer").ids(text).expect("ids").len()
    };
    std::fs::write(at.join("captions.toml"), GRAMMAR).expect("a grammar");
    assert!(tokens("model", "a groovy zeppelin") > 3);
    let said = succeeds(at, "grow_model", &format!("model --out grown --finer {CAPTIONS}"));
    assert!(said.contains("new tokens for") && said.contains("pixels instead of"), "{said}");
    succeeds(at, "inspect", "grown --quick");
    for prompt in ["a groovy zeppelin", "One GROOVY heart, please!"] {
        assert_eq!(tokens("grown", prompt), prompt.split(' ').count(), "{prompt}");
    }
    // Withheld words have none: they are to stay new to the model.
    assert!(tokens("grown", "quixotic") > 1);
    let out = "--model grown --out cat.png a+cat,+flat+style";
    succeeds(at, "text_to_image", out);
    assert!(Pixels::open(at.join("cat.png")).is_ok());
    let same = |name: &str| {
        let read = |model: &str| std::fs::read(at.join(model).join(name)).expect("a file");
        read("model") == read("grown")
    };
    assert!(same("llm/ema_model.bin") && same("generation.json") && same("text/words.txt"));
}

#[test]
fn what_cannot_be_grown_is_said_and_nothing_is_left() {
    let folder = folder();
    let at = folder.path();
    let names = |folder: &Path| std::fs::read_dir(folder).expect("a folder").count();
    for wrong in ["model --out x", "model --out x --finer --captions a.toml", "--out x --finer"] {
        assert_eq!(fails(at, "grow_model", wrong).0, 2, "{wrong}");
    }
    let (code, reason) = fails(at, "grow_model", "model --out x --finer");
    assert!(code == 1 && reason.contains("model"), "{reason}");
    assert_eq!(names(at), 0);
    succeeds(at, "pack", EMBEDDED);
    let (_, reason) = fails(at, "grow_model", "model --out model --finer");
    assert!(reason.contains("model is there already"), "{reason}");
    let config = at.join("model/tokenizer/config.json");
    let text = std::fs::read_to_string(&config).expect("a file").replace("[1,", "[2,");
    let text = text.replace("\"ch_mult\": [\n    1,", "\"ch_mult\": [\n    2,");
    std::fs::write(&config, text).expect("a file");
    let (_, reason) = fails(at, "grow_model", "model --out x --finer");
    assert!(reason.contains("config.json") && reason.contains("`ch_mult` is 2"), "{reason}");
    assert_eq!(names(at), 1);
}
