//! What lies where weights should be: failed downloads, folders, left-over indices.

use hart_core::checkpoint::Checkpoint;
use hart_core::config::ConfigReader;

use crate::files::{file, small};

const POINTER: &[u8] =
    b"version https://git-lfs.github.com/spec/v1\noid sha256:4d7a\nsize 3132668208\n";

#[test]
fn failed_downloads_are_told_with_what_mends_them() {
    let cases: [(&[u8], &str); 6] = [
        (POINTER, "git lfs pull"),
        (b"<!DOCTYPE html>\n<html><body>Not found</body></html>", "web page"),
        (b"\n <HTML lang=en>", "web page"),
        (b"Access to model x/y is restricted.", "`Access to model x/y is restricted.`"),
        (b"", "the file is empty"),
        (b"\x1f\x8b\x08\0\0\0\0\0\0\0\0", "gzip"),
    ];
    for (content, expected) in cases {
        let (_folder, path) = file("weights", content);
        for opened in [Checkpoint::open_safetensors(&path), Checkpoint::open_torch(&path)] {
            let error = opened.map(|_| ()).expect_err(expected).to_string();
            assert!(error.contains(expected) && error.lines().count() == 1, "{error}");
            assert!(error.contains(&path.display().to_string()), "{error}");
        }
    }
    let (_folder, path) = file("config.json", POINTER);
    let error = ConfigReader::open(&path).map(|_| ()).expect_err("a pointer").to_string();
    assert!(error.contains("git lfs pull"), "{error}");
}

#[test]
fn a_file_that_is_too_short_or_too_long_says_by_how_much() {
    let whole = small();
    let longer = [&whole[..], &[0; 7]].concat();
    for (content, expected) in [
        (
            &whole[..whole.len() - 5],
            format!("ends after {} of {} bytes", whole.len() - 5, whole.len()),
        ),
        (&longer, "7 bytes follow the last tensor".to_string()),
    ] {
        let (_folder, path) = file("model.safetensors", content);
        let error = Checkpoint::open_safetensors(&path).map(|_| ()).expect_err("a length");
        assert!(error.to_string().contains(&expected), "{error}");
    }
}

#[test]
fn an_index_beside_a_whole_file_is_not_read() {
    let (folder, _) = file("model.safetensors", &small());
    let index = folder.path().join("model.safetensors.index.json");
    std::fs::write(index, r#"{"weight_map": {"b": "model-00001-of-00002.safetensors"}}"#)
        .expect("an index");
    let checkpoint = Checkpoint::open_folder(folder.path()).expect("the whole file");
    assert_eq!(checkpoint.names().collect::<Vec<_>>(), ["a.weight", "b"]);
}
