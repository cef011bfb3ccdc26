//! Models that are named and not here.

use std::process::{Command, Stdio};

use crate::{folder, program};

#[test]
fn a_name_that_is_no_folder_is_looked_for_at_the_hub() {
    let folder = folder();
    let run = |name: &str, arguments: &[&str]| {
        let output = Command::new(program(name))
            .args(arguments)
            .current_dir(folder.path())
            .env("HF_HOME", folder.path())
            .env("HF_HUB_OFFLINE", "1")
            .env_remove("HF_HUB_CACHE")
            .stdin(Stdio::null())
            .output()
            .expect("a program that runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let named = "mit-han-lab/hart-0.7b-1024px";
    for (program, arguments) in [
        ("text_to_image", &["--model", named, "a red heart"][..]),
        ("inspect", &[named]),
        ("convert", &["--precision", "int8", "--out", "copy", named]),
        ("reconstruct", &["--model", named, "photo.png"]),
    ] {
        let (code, said) = run(program, arguments);
        assert_eq!(code, Some(1), "{program}: {said}");
        let is_said = said.contains("is not kept in") && said.contains("HF_HUB_OFFLINE");
        assert!(is_said, "{program}: {said}");
    }
    // What is there is a folder, and what has another form is one that is missing.
    std::fs::create_dir_all(folder.path().join("models/mine")).expect("a folder");
    for (folder, words) in [
        ("models/mine", "there is no models/mine/text"),
        ("models/mine/inner", "No such file"),
        ("mine", "No such file"),
    ] {
        let (_, said) = run("text_to_image", &["--model", folder, "a red heart"]);
        assert!(said.contains(words) && !said.contains("HF_HUB"), "{said}");
    }
    assert!(!folder.path().join("out.png").exists());
}
