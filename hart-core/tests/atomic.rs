//! Files are written whole or not at all.

use hart_core::{Error, StagedFolder, write_atomically};

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

#[cfg(unix)]
#[test]
fn results_have_the_permissions_of_any_new_file_and_folder() {
    use std::os::unix::fs::PermissionsExt;
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let mode = |name: &str| std::fs::metadata(at(name)).expect("it is there").permissions().mode();
    std::fs::write(at("plain"), b"").expect("a file");
    write_atomically(at("atomic"), b"").expect("a file");
    assert_eq!(mode("atomic"), mode("plain"));
    std::fs::create_dir(at("plain folder")).expect("a folder");
    StagedFolder::begin(at("staged folder"), ".x-")
        .and_then(StagedFolder::finish)
        .expect("a folder");
    assert_eq!(mode("staged folder"), mode("plain folder"));
}

#[test]
fn a_staged_folder_is_complete_or_not_there() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("place");
    let staged = StagedFolder::begin(&place, ".x-").expect("a folder");
    std::fs::write(staged.path().join("inside"), b"").expect("a file");
    assert!(!place.exists());
    staged.finish().expect("a free place");
    assert_eq!(names(&place), ["inside"]);
    let refused = StagedFolder::begin(&place, ".x-").and_then(StagedFolder::finish);
    assert!(matches!(refused, Err(Error::Io { .. })), "the place is taken");
    drop(StagedFolder::begin(folder.path().join("other"), ".x-").expect("a folder"));
    assert_eq!(names(folder.path()), ["place"]);
}

#[cfg(unix)]
#[test]
fn what_dead_processes_left_is_removed_and_nothing_else() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    let living = StagedFolder::begin(at("a"), ".x-").expect("a folder");
    for name in [".x-AbC123", ".x-thesis-2024", ".y-AbC123"] {
        std::fs::create_dir_all(at(name).join("llm")).expect("a folder");
    }
    std::fs::write(at(".x-aaaaaa"), b"a file").expect("a file");
    let other = StagedFolder::begin(at("b"), ".x-").expect("a folder");
    assert!(!at(".x-AbC123").exists());
    for name in [".x-thesis-2024", ".y-AbC123", ".x-aaaaaa"] {
        assert!(at(name).exists(), "{name}");
    }
    assert!(living.path().exists() && other.path().exists());
}
