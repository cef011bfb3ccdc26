//! `inspect` tells what loading would refuse.

use std::fs;
use std::path::Path;

use crate::{copy_of_tiny, fails, folder, run, succeeds};

const TEXT: &str = "--text-encoder FIXTURES/qwen-tiny";

/// What `inspect` prints of a model with problems, and how it counts them.
fn problems(at: &Path, arguments: &str) -> (String, String) {
    let output = run(at, "inspect", arguments);
    let [said, reason] =
        [output.stdout, output.stderr].map(|text| String::from_utf8_lossy(&text).into_owned());
    assert_eq!(output.status.code(), Some(1), "{said}{reason}");
    (said, reason)
}

#[test]
fn a_folder_that_fits_is_told_part_by_part() {
    let folder = folder();
    let said = succeeds(folder.path(), "inspect", &format!("FIXTURES/hart-tiny {TEXT}"));
    assert_eq!(said.matches("every tensor fits").count(), 6, "{said}");
    let (code, reason) = fails(folder.path(), "inspect", "no/such/folder");
    assert!(code == 1 && reason.contains("no/such/folder"), "{reason}");
}

#[test]
fn every_bad_file_is_told_and_counted() {
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    let write = |name: &str, content: &str| fs::write(at.join(name), content).expect("a file");
    write("m/llm/ema_model.bin", "version https://git-lfs.github.com/spec/v1\noid sha256:0\n");
    let (said, reason) = problems(at, &format!("m {TEXT}"));
    assert!(said.contains("m/llm/ema_model.bin: a Git LFS pointer"), "{said}");
    assert_eq!(said.matches("every tensor fits").count(), 4, "{said}");
    assert!(reason.contains("1 problem was found"), "{reason}");

    write("m/generation.json", r#"{"guidance": -1}"#);
    write("m/tokenizer/model.safetensors", "<!DOCTYPE html>");
    fs::create_dir(at.join("text")).expect("a folder");
    let encoder = fs::read_dir(crate::repository().join("fixtures/qwen-tiny")).expect("a folder");
    for entry in encoder.flatten() {
        let content = fs::read(entry.path()).expect("a file");
        fs::write(at.join("text").join(entry.file_name()), content).expect("a copy");
    }
    write("text/tokenizer.json", "{}");
    let (said, reason) = problems(at, "m --text-encoder text");
    for file in
        ["m/generation.json", "ema_model.bin", "tokenizer/model.safetensors", "text/tokenizer.json"]
    {
        assert!(
            said.lines().any(|line| line.starts_with("problem: ") && line.contains(file)),
            "{said}"
        );
    }
    assert!(reason.contains("4 problems were found"), "{reason}");
}

#[test]
fn weights_of_another_model_are_one_problem_a_part_and_listed_on_demand() {
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    let other = crate::repository().join("fixtures/hart-tiny-b/llm/ema_model.bin");
    fs::copy(other, at.join("m/llm/ema_model.bin")).expect("a copy");
    let (short, reason) = problems(at, &format!("m {TEXT}"));
    assert!(short.contains("tensors of the transformer are missing, e.g. `context_norm.weight`"));
    assert!(!short.contains("missing    "), "{short}");
    let (long, _) = problems(at, &format!("m {TEXT} --tensors"));
    assert!(long.contains("  missing    context_norm.weight\n"), "{long}");
    assert!(reason.contains("problem"), "{reason}");
}

#[test]
fn values_that_are_not_finite_are_found_unless_weights_are_not_read() {
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    let path = at.join("m/tokenizer/model.safetensors");
    let mut bytes = fs::read(&path).expect("a file");
    // The last value of the file is a weight.
    let last = bytes.len() - 4;
    bytes[last..].copy_from_slice(&f32::NAN.to_le_bytes());
    fs::write(&path, bytes).expect("a file");
    let (said, reason) = problems(at, &format!("m {TEXT}"));
    assert!(
        said.contains("m/tokenizer/model.safetensors: tensor `") && said.contains("holds NaN"),
        "{said}"
    );
    assert!(reason.contains("1 problem was found"), "{reason}");
    succeeds(at, "inspect", &format!("m {TEXT} --quick"));
}

#[test]
fn parts_that_contradict_each_other_are_told() {
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    let path = at.join("m/llm/config.json");
    let config = fs::read_to_string(&path).expect("a configuration");
    fs::write(&path, config.replace("\"context_dim\": 48", "\"context_dim\": 64")).expect("a file");
    let (said, _) = problems(at, &format!("m {TEXT}"));
    assert!(said.contains("`context_dim` is 64"), "{said}");
}

#[test]
fn an_archive_is_inspected_like_its_folder() {
    let folder = folder();
    let at = folder.path();
    let said = succeeds(at, "inspect", "REPO/hart-pipeline/embedded/model.zip");
    assert_eq!(said.matches("every tensor fits").count(), 6, "{said}");
    let archive = crate::repository().join("hart-pipeline/embedded/model.zip");
    let bytes = fs::read(archive).expect("an archive");
    fs::write(at.join("half.zip"), &bytes[..bytes.len() / 2]).expect("a file");
    let (said, reason) = problems(at, "half.zip");
    assert!(
        said.contains("half.zip: ") && reason.contains("1 problem was found"),
        "{said}{reason}"
    );
    let mut flipped = bytes.clone();
    flipped[bytes.len() / 2] ^= 1;
    fs::write(at.join("flipped.zip"), flipped).expect("a file");
    let (said, _) = problems(at, "flipped.zip");
    assert!(said.contains("flipped.zip/"), "{said}");
}
