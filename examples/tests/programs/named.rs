//! Models that are named and not here.

use std::process::{Command, Stdio};

use crate::{folder, program};

#[test]
fn a_name_that_is_no_folder_is_looked_for_at_the_hub() {
    let folder = folder();
    let run = |model: &str| {
        let output = Command::new(program("text_to_image"))
            .args(["--model", model, "a red heart"])
            .current_dir(folder.path())
            .env("HF_HOME", folder.path())
            .env("HF_HUB_OFFLINE", "1")
            .env_remove("HF_HUB_CACHE")
            .stdin(Stdio::null())
            .output()
            .expect("a program that runs");
        (output.status.code(), String::from_utf8_lossy(&output.stderr).into_owned())
    };
    let (code, said) = run("mit-han-lab/hart-0.7b-1024px");
    assert_eq!(code, Some(1), "{said}");
    assert!(said.contains("is not kept in") && said.contains("HF_HUB_OFFLINE"), "{said}");
    // What is there is a folder, and what has another form is one that is missing.
    std::fs::create_dir_all(folder.path().join("models/mine")).expect("a folder");
    for (folder, words) in [
        ("models/mine", "there is no models/mine/text"),
        ("models/mine/inner", "No such file"),
        ("mine", "No such file"),
    ] {
        let (_, said) = run(folder);
        assert!(said.contains(words) && !said.contains("HF_HUB"), "{said}");
    }
    assert!(!folder.path().join("out.png").exists());
}
