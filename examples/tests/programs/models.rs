//! `convert` and `pack`: what they read, what they write, and what they leave.

use std::fs;
use std::io::Write;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{copy_of_tiny, fails, folder, program, repository, succeeds};

const ARCHIVE: &str = "REPO/hart-pipeline/embedded/model.zip";

fn names(at: &Path) -> Vec<String> {
    let entries = fs::read_dir(at).expect("a folder").flatten();
    let mut names: Vec<_> =
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect();
    names.sort();
    names
}

#[test]
fn an_archive_is_unpacked_and_packed_to_the_same_bytes() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "pack", "--unpack REPO/hart-pipeline/embedded/model.zip --out unpacked");
    succeeds(at, "text_to_image", "--model unpacked --seed 7 a+red+heart,+flat+style");
    succeeds(at, "pack", "unpacked --out packed.zip");
    let archive = repository().join("hart-pipeline/embedded/model.zip");
    let [packed, original] =
        [at.join("packed.zip"), archive].map(|path| std::fs::read(path).expect("an archive"));
    assert!(packed == original, "{} and {} bytes", packed.len(), original.len());
}

#[test]
fn a_program_that_knows_the_library_alone_works() {
    let said = succeeds(folder().path(), "library", "REPO/examples/data/sample/captions.jsonl");
    assert!(said.contains("abacus") && said.contains("step 10: cross entropy"), "{said}");
}

/// Whether a safetensors file says that it is in PyTorch's layout.
fn is_of_pytorch(path: &Path) -> bool {
    let bytes = fs::read(path).expect("a file");
    let start = String::from_utf8_lossy(&bytes[8..100]).into_owned();
    start.contains(r#""__metadata__":{"format":"pt"}"#)
}

#[test]
fn every_safetensors_file_that_is_written_says_its_layout() {
    let folder = folder();
    let at = folder.path();
    succeeds(
        at,
        "convert",
        "--precision int8 --text-encoder FIXTURES/qwen-tiny FIXTURES/hart-tiny --out c",
    );
    succeeds(at, "pack", &format!("--unpack {ARCHIVE} --out u"));
    for model in ["c", "u"] {
        for part in ["llm", "tokenizer", "text"] {
            let path = at.join(model).join(part).join("model.safetensors");
            assert!(is_of_pytorch(&path), "{}", path.display());
        }
    }
}

#[cfg(unix)]
#[test]
fn what_is_no_part_of_a_model_does_not_stop_its_conversion() {
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    for part in ["m", "m/llm", "m/tokenizer"] {
        let at = at.join(part);
        for link in ["README.md", "old.json", "notes.txt"] {
            std::os::unix::fs::symlink("/nowhere", at.join(link)).expect("a link");
        }
        fs::create_dir_all(at.join(".git/objects")).expect("a folder");
        fs::create_dir(at.join("folder.json")).expect("a folder");
        fs::write(at.join("LICENSE"), b"text").expect("a file");
        std::os::unix::net::UnixListener::bind(at.join("s.json")).expect("a socket");
    }
    succeeds(at, "convert", "--precision bf16 m --out c");
    assert_eq!(names(&at.join("c")), ["llm", "tokenizer"]);
    assert_eq!(names(&at.join("c/tokenizer")), ["config.json", "model.safetensors"]);
    assert_eq!(names(at), ["c", "m"]);
}

#[cfg(unix)]
#[test]
fn files_and_folders_have_the_permissions_that_the_umask_leaves() {
    use std::os::unix::fs::PermissionsExt;
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    fs::set_permissions(at.join("m/llm/config.json"), fs::Permissions::from_mode(0o600))
        .expect("a mode");
    for (umask, file, inner) in
        [("077", 0o600, 0o700), ("002", 0o664, 0o775), ("022", 0o644, 0o755)]
    {
        let convert = program("convert");
        let script = format!(
            "umask {umask}; rm -rf c u; {} --precision f16 m --out c && {} --unpack {} --out u",
            convert.display(),
            program("pack").display(),
            ARCHIVE.replace("REPO", &repository().display().to_string())
        );
        let done =
            Command::new("sh").args(["-c", &script]).current_dir(at).output().expect("a shell");
        assert!(done.status.success(), "{}", String::from_utf8_lossy(&done.stderr));
        let mode = |name: &str| {
            let about = fs::metadata(at.join(name)).expect("it is there");
            about.permissions().mode() & 0o777
        };
        for name in ["llm/config.json", "llm/model.safetensors", "llm/ema_model.bin"] {
            assert_eq!(mode(&format!("c/{name}")), file, "{name} with umask {umask}");
            assert_eq!(mode(&format!("u/{name}")), file, "{name} with umask {umask}");
        }
        for name in ["c", "c/llm", "u", "u/llm"] {
            assert_eq!(mode(name), inner, "{name} with umask {umask}");
        }
    }
}

/// A conversion that has begun to write.
#[cfg(unix)]
fn begun(at: &Path) -> Child {
    let child = Command::new(program("convert"))
        .args(["--precision", "bf16", "m", "--out", "c"])
        .current_dir(at)
        .stdout(Stdio::null())
        .stderr(Stdio::null())
        .spawn()
        .expect("the program runs");
    let start = Instant::now();
    let unfinished = || names(at).iter().any(|name| name.starts_with(".convert-"));
    while !unfinished() && start.elapsed() < Duration::from_secs(10) && !at.join("c").exists() {}
    child
}

#[cfg(unix)]
fn signal(child: &Child, name: &str) {
    let id = child.id().to_string();
    Command::new("kill").args([name, &id]).status().expect("a signal");
}

#[cfg(unix)]
#[test]
fn an_interrupted_conversion_leaves_nothing() {
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    for (name, code) in [("-INT", 130), ("-TERM", 143)] {
        let mut child = begun(at);
        signal(&child, name);
        let ended = child.wait().expect("an end").code();
        if at.join("c").exists() {
            // It was done before it was asked.
            assert_eq!(ended, Some(0));
            fs::remove_dir_all(at.join("c")).expect("a folder");
        } else {
            assert_eq!(ended, Some(code));
        }
        assert_eq!(names(at), ["m"], "{name}");
    }
}

#[cfg(unix)]
#[test]
fn what_a_killed_conversion_left_the_next_one_removes() {
    let folder = folder();
    let at = folder.path();
    copy_of_tiny(&at.join("m"));
    let mut child = begun(at);
    child.kill().expect("a signal");
    child.wait().expect("an end");
    // In case it was done already.
    let _ = fs::remove_dir_all(at.join("c"));
    fs::create_dir_all(at.join(".convert-Zz09aA/llm")).expect("a folder");
    succeeds(at, "convert", "--precision bf16 m --out c");
    assert_eq!(names(at), ["c", "m"]);
}

#[test]
fn unpacking_replaces_nothing_unless_asked() {
    let folder = folder();
    let at = folder.path();
    fs::create_dir_all(at.join("u/llm")).expect("a folder");
    fs::write(at.join("u/llm/config.json"), b"mine").expect("a file");
    fs::write(at.join("u/thesis.txt"), b"mine").expect("a file");
    let (code, reason) = fails(at, "pack", &format!("--unpack {ARCHIVE} --out u"));
    assert!(
        code == 1 && reason.contains("u/llm/config.json") && reason.contains("already"),
        "{reason}"
    );
    assert_eq!(names(&at.join("u")), ["llm", "thesis.txt"]);
    assert_eq!(fs::read(at.join("u/llm/config.json")).expect("a file"), b"mine");
    succeeds(at, "pack", &format!("--unpack {ARCHIVE} --out u --force"));
    assert_eq!(names(&at.join("u")), ["generation.json", "llm", "text", "thesis.txt", "tokenizer"]);
    assert_eq!(fs::read(at.join("u/thesis.txt")).expect("a file"), b"mine");
    succeeds(at, "inspect", "u --quick");
}

#[test]
fn damaged_and_hostile_archives_are_refused_before_anything_is_written() {
    let folder = folder();
    let at = folder.path();
    let archive =
        fs::read(repository().join("hart-pipeline/embedded/model.zip")).expect("an archive");
    fs::write(at.join("half.zip"), &archive[..archive.len() / 2]).expect("a file");
    fs::write(at.join("page.zip"), b"<!DOCTYPE html><html></html>").expect("a file");
    let mut flipped = archive.clone();
    flipped[archive.len() / 2] ^= 1;
    fs::write(at.join("flipped.zip"), flipped).expect("a file");
    for (name, inner) in [
        ("up.zip", "../evil"),
        ("root.zip", "/tmp/evil"),
        ("back.zip", "..\\evil"),
        ("deep.zip", "llm/../../evil"),
        ("other.zip", "words.txt"),
    ] {
        let mut zip = zip::ZipWriter::new(fs::File::create(at.join(name)).expect("a file"));
        zip.start_file(inner, zip::write::SimpleFileOptions::default()).expect("a member");
        zip.write_all(b"evil").expect("its content");
        zip.finish().expect("an archive");
    }
    let before = names(at);
    for (name, expected) in [
        ("half.zip", "half.zip"),
        ("page.zip", "web page"),
        ("flipped.zip", "flipped.zip/"),
        ("up.zip", "out of the folder"),
        ("root.zip", "out of the folder"),
        ("back.zip", "out of the folder"),
        ("deep.zip", "out of the folder"),
        ("other.zip", "it has no `generation.json`"),
    ] {
        let (code, reason) = fails(at, "pack", &format!("--unpack {name} --out u"));
        assert!(code == 1 && reason.contains(expected), "{name}: {reason}");
        assert_eq!(names(at), before, "{name}");
    }
}
