//! Where results go, and what is known before any work.

use std::process::{Command, Stdio};

use hart_pipeline::image::ReadOptions;
use hart_pipeline::{ImageSettings, Pixels};

use super::{fails, folder, program, run, succeeds, without_a_reader};

const HEART: &str = "a+red+heart,+flat+style";

#[test]
fn the_ending_says_the_format_and_every_format_can_be_made_again() {
    let folder = folder();
    let at = folder.path();
    for name in ["a.png", "a.jpg", "a.webp"] {
        succeeds(at, "text_to_image", &format!("--seed 7 --out {name} {HEART}"));
        let read = ReadOptions::default().read(at.join(name)).expect("an image").pixels;
        assert_eq!((read.width(), read.height()), (256, 256), "{name}");
        let ending = name.trim_start_matches("a.");
        let said = succeeds(at, "text_to_image", &format!("--again {name} --out again.{ending}"));
        assert!(said.contains(&format!("the same bytes as {name}")), "{said}");
    }
    let (code, reason) = fails(at, "text_to_image", &format!("--out a.gif {HEART}"));
    assert!(code == 2 && reason.contains(".png, .jpg or .webp"), "{reason}");
    assert!(!reason.contains("scale 1"), "{reason}");
}

#[test]
fn a_grid_tells_what_made_its_images() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "text_to_image", &format!("--seed 5 --count 3 --grid --out grid.png {HEART}"));
    let all = ImageSettings::read_all(at.join("grid.png")).expect("settings");
    assert_eq!(all.iter().map(|one| one.seed).collect::<Vec<_>>(), [5, 6, 7]);
    let (code, reason) = fails(at, "text_to_image", "--again grid.png");
    assert!(code == 1 && reason.contains("a grid of 3 images"), "{reason}");
}

#[test]
fn a_dash_is_standard_output() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "text_to_image", &format!("--out file.png {HEART}"));
    let output = run(at, "text_to_image", &format!("--out - {HEART}"));
    assert!(output.status.success());
    assert!(output.stdout == std::fs::read(at.join("file.png")).expect("a file"));
    assert!(String::from_utf8_lossy(&output.stderr).contains("1 made in"));
    let (code, reason) = fails(at, "text_to_image", &format!("--count 2 --out - {HEART}"));
    assert!(code == 1 && reason.contains("--grid"), "{reason}");
}

#[test]
fn what_cannot_be_written_is_known_before_any_work() {
    let folder = folder();
    let at = folder.path();
    std::fs::create_dir(at.join("x")).expect("a folder");
    std::fs::write(at.join("file"), b"").expect("a file");
    let cases = [
        ("no/such/a.png", "no/such/a.png"),
        ("x/", "x/"),
        ("x", "x"),
        ("file/a.png", "file/a.png"),
        ("b.png --preview file", "file"),
    ];
    for (out, named) in cases {
        let (code, reason) = fails(at, "text_to_image", &format!("--out {out} {HEART}"));
        assert!(code == 1 && reason.contains(named), "{out}: {reason}");
        assert!(!reason.contains("scale 1") && !reason.contains(".tmp"), "{out}: {reason}");
    }
    assert!(!at.join("b.png").exists());
}

#[test]
fn a_random_seed_can_be_drawn_and_is_written_down() {
    let folder = folder();
    let at = folder.path();
    let seed = |name: &str| ImageSettings::read(at.join(name)).expect("settings").seed;
    for name in ["a.png", "b.png"] {
        let output = run(at, "text_to_image", &format!("--seed random --out {name} {HEART}"));
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(
            output.status.success() && said.contains(&format!("seed {}\n", seed(name))),
            "{said}"
        );
    }
    assert_ne!(seed("a.png"), seed("b.png"));
    let (code, reason) = fails(at, "text_to_image", &format!("--seed -1 {HEART}"));
    assert!(code == 2 && reason.contains("random"), "{reason}");
}

/// A program that nobody listens to makes its images, and ends without a word.
#[test]
fn a_closed_pipe_is_no_panic() {
    let folder = folder();
    let at = folder.path();
    let arguments = ["--out", "a.png", "a red heart, flat style"];
    let (code, said) = without_a_reader(at, "text_to_image", &arguments);
    assert_eq!(code, Some(141), "{said}");
    assert!(!said.contains("panicked") && !said.contains("error"), "{said}");
    assert!(Pixels::open(at.join("a.png")).is_ok());
}

/// Neither a closed log nor a full disk under it is worth the images.
#[cfg(target_os = "linux")]
#[test]
fn a_log_that_cannot_be_written_costs_nothing() {
    let folder = folder();
    let at = folder.path();
    let full = std::fs::OpenOptions::new().write(true).open("/dev/full").expect("a device");
    let status = Command::new(program("text_to_image"))
        .args(["--count", "2", "--out", "a.png", "a red heart, flat style"])
        .current_dir(at)
        .stdout(Stdio::null())
        .stderr(full)
        .status()
        .expect("the program runs");
    assert!(status.success());
    assert!(at.join("a-0-0.png").exists() && at.join("a-1-1.png").exists());
}

#[test]
fn blanks_and_line_ends_make_no_difference() {
    let folder = folder();
    let at = folder.path();
    for (name, prompt) in [("a.png", "a cat, flat style"), ("b.png", " a  cat,\r\nflat\tstyle\n")] {
        let status = Command::new(program("text_to_image"))
            .args(["--out", name, prompt])
            .current_dir(at)
            .stderr(Stdio::null())
            .status();
        assert!(status.expect("the program runs").success());
    }
    let [a, b] = ["a.png", "b.png"].map(|name| Pixels::open(at.join(name)).expect("an image"));
    assert!(a == b);
}

#[test]
fn symbols_that_the_model_cannot_see_are_said() {
    let folder = folder();
    let output = Command::new(program("text_to_image"))
        .arg("a cat 🐱 & a dog")
        .current_dir(folder.path())
        .output()
        .expect("the program runs");
    let said = String::from_utf8_lossy(&output.stderr);
    assert!(said.contains("the model does not know `🐱`, `&`"), "{said}");
}

/// Orientation, transparency and cuts are the same for every program that reads an image.
#[test]
fn reconstruct_reads_images_as_a_viewer_shows_them() {
    let folder = folder();
    let at = folder.path();
    let white = Pixels::new(8, 8, vec![255; 192]).expect("pixels").to_png().expect("a file");
    let clear = image::RgbaImage::new(8, 8);
    clear.save(at.join("clear.png")).expect("a file");
    std::fs::write(at.join("white.jpg"), white).expect("a file");
    for name in ["clear.png", "white.jpg"] {
        succeeds(
            at,
            "reconstruct",
            &format!("--model FIXTURES/hart-tiny {name} --out {name}.out.png"),
        );
    }
    let [clear, white] =
        ["clear.png", "white.jpg"].map(|name| Pixels::open(at.join(format!("{name}.out.png"))));
    assert!(clear.expect("an image") == white.expect("an image"));
    let black = "--model FIXTURES/hart-tiny clear.png --background 000000 --out black.png";
    succeeds(at, "reconstruct", black);
    assert_eq!(Pixels::open(at.join("black.png")).expect("an image").at(3, 3), [0; 3]);
    let (code, reason) =
        fails(at, "reconstruct", "--model FIXTURES/hart-tiny --max-pixels 63 white.jpg");
    assert!(code == 1 && reason.contains("8 × 8 pixels"), "{reason}");
}

#[cfg(target_os = "linux")]
mod limits {
    use super::*;

    /// What a shell says and gives that runs `script`, in which `PROGRAM` is text_to_image.
    fn shell(at: &std::path::Path, script: &str) -> (Option<i32>, String) {
        let program = program("text_to_image").display().to_string();
        let output = Command::new("sh")
            .args(["-c", &script.replace("PROGRAM", &program)])
            .current_dir(at)
            .output()
            .expect("a shell");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    }

    #[test]
    fn threads_that_are_not_to_be_had_are_an_error() {
        let folder = folder();
        // The stacks of 200 threads do not fit into 250 MB of addresses.
        let script = "ulimit -v 250000; RAYON_NUM_THREADS=200 PROGRAM --out a.png 'a red heart'";
        let (code, said) = shell(folder.path(), script);
        assert!(code == Some(1) && said.contains("cannot start 200 threads"), "{code:?}: {said}");
        assert!(!said.contains("panicked"), "{said}");
    }

    #[test]
    fn the_mask_of_the_user_is_obeyed() {
        use std::os::unix::fs::PermissionsExt;
        let folder = folder();
        for (mask, expected) in [("077", 0o600), ("002", 0o664), ("022", 0o644)] {
            let script = format!("umask {mask}; PROGRAM --out {mask}.png 'a red heart'");
            let (code, said) = shell(folder.path(), &script);
            assert_eq!(code, Some(0), "{said}");
            let file = folder.path().join(format!("{mask}.png"));
            let mode = std::fs::metadata(file).expect("a file").permissions().mode();
            assert_eq!(mode & 0o777, expected, "umask {mask}");
        }
    }
}
