//! Files are written whole or not at all.
#![cfg(feature = "fs")]

use hart_core::{Error, StagedFolder, check_writable, write_atomically};

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

#[test]
fn whether_a_file_can_be_written_is_known_before() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let at = |name: &str| folder.path().join(name);
    std::fs::write(at("old.png"), b"old").expect("a file");
    for name in ["new.png", "old.png"] {
        check_writable(at(name)).expect("it can be written");
    }
    for name in ["", "missing/x.png", "x/", "old.png/x.png"] {
        let error = check_writable(at(name)).expect_err("it cannot be written").to_string();
        assert!(error.starts_with(&at(name).display().to_string()), "{error}");
        let reason = error.trim_start_matches(&folder.path().display().to_string());
        assert!(!reason.contains(".tmp"), "{error}");
    }
    assert_eq!(names(folder.path()), ["old.png"]);
    assert_eq!(std::fs::read(at("old.png")).expect("a file"), b"old");
}

#[cfg(unix)]
mod unix {
    use std::os::unix::fs::{FileTypeExt, PermissionsExt, symlink};
    use std::process::Command;

    use super::*;

    #[test]
    fn links_stay_and_what_they_lead_to_is_written() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let at = |name: &str| folder.path().join(name);
        std::fs::create_dir(at("deep")).expect("a folder");
        std::fs::write(at("deep/old.png"), b"old").expect("a file");
        symlink("deep/old.png", at("link.png")).expect("a link");
        symlink("deep/new.png", at("dangling.png")).expect("a link");
        symlink("circle.png", at("circle.png")).expect("a link");
        for (link, file) in [("link.png", "deep/old.png"), ("dangling.png", "deep/new.png")] {
            write_atomically(at(link), b"new").expect("written");
            assert!(at(link).is_symlink(), "{link}");
            assert!(!at(file).is_symlink(), "{file}");
            assert_eq!(std::fs::read(at(file)).expect("a file"), b"new");
        }
        assert!(write_atomically(at("circle.png"), b"new").is_err());
        assert_eq!(names(&at("deep")).len(), 2);
    }

    #[test]
    fn devices_and_pipes_are_written_to() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let pipe = folder.path().join("pipe");
        assert!(Command::new("mkfifo").arg(&pipe).status().expect("mkfifo").success());
        check_writable(&pipe).expect("it does not wait for a reader");
        let reader = std::thread::spawn({
            let pipe = pipe.clone();
            move || std::fs::read(pipe)
        });
        write_atomically(&pipe, b"through").expect("written");
        assert_eq!(reader.join().expect("read").expect("read"), b"through");
        write_atomically("/dev/null", b"nowhere").expect("written");
        for stream in [pipe.as_path(), std::path::Path::new("/dev/null")] {
            let kind = std::fs::symlink_metadata(stream).expect("it is there").file_type();
            assert!(kind.is_fifo() || kind.is_char_device(), "{}", stream.display());
        }
    }

    #[test]
    fn a_replaced_file_keeps_its_permissions() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let path = folder.path().join("x.png");
        write_atomically(&path, b"old").expect("written");
        std::fs::set_permissions(&path, std::fs::Permissions::from_mode(0o604)).expect("set");
        write_atomically(&path, b"new").expect("written");
        let mode = std::fs::metadata(&path).expect("a file").permissions().mode();
        assert_eq!(mode & 0o777, 0o604);
    }
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
fn a_staged_folder_replaces_another_and_nothing_is_left_of_it() {
    let folder = tempfile::tempdir().expect("a temporary folder");
    let place = folder.path().join("place");
    for content in ["first", "second", "third"] {
        let staged = StagedFolder::begin(&place, ".x-").expect("a folder");
        std::fs::write(staged.path().join(content), content).expect("a file");
        staged.replace().expect("replaced");
        assert_eq!(names(&place), [content]);
        assert_eq!(names(folder.path()), ["place"]);
    }
}

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
