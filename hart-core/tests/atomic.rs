//! Files are written whole or not at all.

use hart_core::{Error, write_atomically};

fn names(folder: &std::path::Path) -> Vec<String> {
    let entries = std::fs::read_dir(folder).expect("a folder").flatten();
    entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
}

#[test]
fn a_file_is_replaced_as_a_whole() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let path = folder.path().join("x.png");
    write_atomically(&path, b"old and long").expect("written");
    write_atomically(&path, b"new").expect("written");
    assert_eq!(std::fs::read(&path).expect("a file"), b"new");
    assert_eq!(names(folder.path()), ["x.png"]);
}

#[test]
fn a_failure_leaves_nothing_behind() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let target = folder.path().join("a folder");
    std::fs::create_dir(&target).expect("a folder");
    std::fs::write(target.join("inside"), b"").expect("a file");
    for path in [target.clone(), folder.path().join("missing/x.png"), target.join("inside/x.png")] {
        let result = write_atomically(&path, b"content");
        assert!(matches!(result, Err(Error::Io { .. })), "{}", path.display());
    }
    assert_eq!(names(folder.path()), ["a folder"]);
    assert_eq!(names(&target), ["inside"]);
}
