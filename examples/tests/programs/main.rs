//! The programs that the README names, as a user starts them.

#[cfg(feature = "bulk")]
mod bulk;
#[cfg(all(feature = "bulk", unix))]
mod chaos;
mod edit;
#[cfg(feature = "train")]
mod grown;
mod inspect;
mod models;
#[cfg(feature = "hub")]
mod named;
mod output;
mod words;

use std::io::Read;
use std::path::{Path, PathBuf};
use std::process::{Command, Output, Stdio};

use hart_pipeline::ImageSettings;
use tempfile::TempDir;

/// A program of this package, built beside this test.
fn program(name: &str) -> PathBuf {
    let test = std::env::current_exe().expect("this test has a path");
    let target = test.parent().and_then(Path::parent).expect("it is in target/<profile>/deps");
    target.join("examples").join(format!("{name}{}", std::env::consts::EXE_SUFFIX))
}

fn repository() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("..").canonicalize().expect("the repository")
}

/// What a program said, run in `folder` with arguments separated by blanks; in them `FIXTURES`
/// and `REPO` become paths, and `+` a blank.
fn run(folder: &Path, name: &str, arguments: &str) -> Output {
    let (repository, fixtures) = (repository(), repository().join("fixtures"));
    let arguments = arguments.split_whitespace().map(|argument| {
        let argument = argument.replace("FIXTURES", &fixtures.display().to_string());
        argument.replace("REPO", &repository.display().to_string()).replace('+', " ")
    });
    let output = Command::new(program(name))
        .args(arguments)
        .current_dir(folder)
        .stdin(Stdio::null())
        .output();
    output.unwrap_or_else(|error| panic!("cannot run {name}: {error}"))
}

/// What a program prints that must not fail.
fn succeeds(folder: &Path, name: &str, arguments: &str) -> String {
    let output = run(folder, name, arguments);
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{name} {arguments} failed: {said}");
    String::from_utf8_lossy(&output.stdout).into_owned()
}

/// The exit code and the reason of a program that must fail.
fn fails(folder: &Path, name: &str, arguments: &str) -> (i32, String) {
    let output = run(folder, name, arguments);
    let code = output.status.code().expect("an exit code");
    assert_ne!(code, 0, "{name} {arguments} succeeded");
    (code, String::from_utf8_lossy(&output.stderr).into_owned())
}

/// The exit code of a program whose standard output nobody reads, and what it said on standard error.
fn without_a_reader(folder: &Path, name: &str, arguments: &[&str]) -> (Option<i32>, String) {
    let mut child = Command::new(program(name))
        .args(arguments)
        .current_dir(folder)
        .stdout(Stdio::piped())
        .stderr(Stdio::piped())
        .spawn()
        .expect("the program runs");
    drop(child.stdout.take());
    let mut said = String::new();
    child.stderr.take().expect("a pipe").read_to_string(&mut said).expect("text");
    (child.wait().expect("it ends").code(), said)
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// A copy of the small fixture that can be changed.
fn copy_of_tiny(to: &Path) {
    for part in ["llm", "tokenizer"] {
        std::fs::create_dir_all(to.join(part)).expect("a folder");
        let from = repository().join("fixtures/hart-tiny").join(part);
        for entry in std::fs::read_dir(from).expect("a folder").flatten() {
            let content = std::fs::read(entry.path()).expect("a file");
            std::fs::write(to.join(part).join(entry.file_name()), content).expect("a copy");
        }
    }
}

const TINY: &str = "--model FIXTURES/hart-tiny --text-encoder FIXTURES/qwen-tiny";

#[test]
fn an_image_is_made_again_to_the_last_byte() {
    let folder = folder();
    let at = folder.path();
    let cases = [
        ("--seed 7 a+red+heart,+flat+style", ""),
        ("--seed 3 --precision int8 --enlarge 3 --guidance 2 a+tree,+cartoon+style", ""),
        ("--seed 4 --size 96x48 a+tree,+cartoon+style", ""),
        ("--seed 5 --weights raw --padding-side left --mask-passes 2 TINY a+heart", TINY),
    ];
    for (make, again) in cases {
        let make = make.replace("TINY", TINY);
        succeeds(at, "text_to_image", &format!("--out first.png {make}"));
        let said =
            succeeds(at, "text_to_image", &format!("--again first.png --out again.png {again}"));
        assert!(said.contains("the same bytes as first.png"), "{make}: {said}");
        let read = |name: &str| std::fs::read(at.join(name)).expect("a file");
        assert!(read("first.png") == read("again.png"), "{make}");
    }
}

#[test]
fn what_is_missing_to_make_an_image_again_is_said() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "text_to_image", &format!("--out tiny.png {TINY} a+heart"));
    let (code, reason) = fails(at, "text_to_image", "--again tiny.png --out again.png");
    assert!(code == 1 && reason.contains("`hart-tiny`"), "{reason}");
    assert!(!at.join("again.png").exists());
    let other = "--again tiny.png --model FIXTURES/hart-tiny-b --text-encoder FIXTURES/qwen-tiny";
    let (code, reason) = fails(at, "text_to_image", other);
    let expected = ["the model `hart-tiny`", "the size of the image is 32 × 32"];
    assert!(code != 0 && expected.iter().all(|part| reason.contains(part)), "{reason}");
}

#[test]
fn wrong_arguments_end_with_2_and_other_failures_with_1() {
    let folder = folder();
    let at = folder.path();
    for wrong in
        ["--guidance 1000 a", "--size 33x32 a", "--device abacus a", "--no-such-flag a", ""]
    {
        assert_eq!(fails(at, "text_to_image", wrong).0, 2, "{wrong}");
    }
    for failing in ["--model no/such/folder a", "--out no/such/folder/a.png a"] {
        assert_eq!(fails(at, "text_to_image", failing).0, 1, "{failing}");
    }
    assert_eq!(std::fs::read_dir(at).expect("a folder").count(), 0);
}

#[test]
fn one_bad_prompt_costs_one_image() {
    let folder = folder();
    let at = folder.path();
    let output = Command::new(program("text_to_image"))
        .args(["--out", "x.png", "a red heart, flat style", " ", "a tree, flat style"])
        .current_dir(at)
        .output()
        .expect("the program runs");
    assert_eq!(output.status.code(), Some(1));
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("image 1 is refused") && said.contains("1 of 3 images"), "{said}");
    assert!(at.join("x-0-0.png").exists() && at.join("x-2-2.png").exists());
}

#[test]
fn previews_show_every_scale() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "text_to_image", "--preview steps --grid --count 2 a+red+heart,+flat+style");
    assert_eq!(std::fs::read_dir(at.join("steps")).expect("a folder").count(), 12);
    assert!(ImageSettings::read(at.join("out.png")).is_err(), "a grid is not one image");
}

#[test]
fn reconstruct_shows_what_tokens_keep() {
    let folder = folder();
    let at = folder.path();
    let photo = "REPO/examples/data/jellyfish/images/jellyfish.3d.png";
    let said = succeeds(at, "reconstruct", &format!("--model FIXTURES/hart-tiny {photo}"));
    assert_eq!(said.matches(" dB").count(), 2, "{said}");
    let size = image::image_dimensions(at.join("reconstruction.png")).expect("an image");
    assert_eq!(size, (96, 32));
}

#[test]
fn research_programs_end_with_an_image() {
    let folder = folder();
    let at = folder.path();
    for (name, count) in [("guidance_schedule", "3"), ("ddim_residual", ""), ("swap_scales", "")] {
        succeeds(at, name, count);
        let image = image::open(at.join(format!("{name}.png"))).expect("an image").into_rgb8();
        let first = image.get_pixel(0, 0);
        assert!(image.pixels().any(|pixel| pixel != first), "{name} is of one colour");
    }
}

#[test]
fn experiments_end_with_a_table_and_a_plot() {
    let folder = folder();
    let at = folder.path();
    let cases = [
        ("diffusion_steps", 9),
        ("residual_scales", 7),
        ("late_guidance", 7),
        ("pruned_scales", 17),
        ("self_guidance", 6),
    ];
    for (name, rows) in cases {
        let said = succeeds(at, name, "2");
        assert!(said.contains(&format!("{name}.csv, {name}.svg")), "{said}");
        let read = |ending: &str| std::fs::read_to_string(at.join(format!("{name}.{ending}")));
        assert_eq!(read("csv").expect("a table").lines().count(), rows + 1, "{name}");
        assert!(read("svg").expect("a plot").contains("recognised"), "{name}");
    }
    for wrong in ["0", "97", "many"] {
        let (code, reason) = fails(at, "diffusion_steps", wrong);
        assert!(code == 1 && reason.contains("from 1 to 96"), "{reason}");
    }
}
