//! Several processes at one cache, and Python's `huggingface_hub` as one of them.

use std::path::Path;
use std::process::{Child, Command, Stdio};

use hart_pipeline::hub::Hub;

use crate::server::{Fault, Server, files_of};
use crate::{MODEL, fetch, fixture, folder, hub, server};

/// What the other process is asked to do: this test, with these variables set.
#[test]
#[ignore = "started by the other tests"]
fn another_process() {
    fetch(&Hub::from_env(), MODEL).expect("a model");
}

fn start(server: &Server, home: &Path) -> Child {
    let test = std::env::current_exe().expect("this test has a path");
    Command::new(test)
        .args(["--exact", "processes::another_process", "--ignored"])
        .env("HF_ENDPOINT", &server.endpoint)
        .env("HF_HOME", home)
        .env_remove("HF_HUB_CACHE")
        .env_remove("HF_HUB_OFFLINE")
        .stdout(Stdio::null())
        .spawn()
        .expect("another process")
}

#[test]
fn two_processes_fetch_a_model_once() {
    let (server, home) = (server(), folder());
    server.fault("/store/", Fault::Slow(700));
    let processes = [start(&server, home.path()), start(&server, home.path())];
    for mut process in processes {
        assert!(process.wait().expect("an end").success());
    }
    let seen = server.seen();
    let large = |method: &str| {
        let of_store = seen.iter().filter(|seen| seen.path.starts_with("/store/"));
        of_store.filter(|seen| seen.method == method).count()
    };
    assert_eq!(large("GET"), 2, "one request for each of two large files");
    let at = fetch(&hub(&server, &home.path().join("hub")).offline(true), MODEL).expect("a model");
    let expected = files_of(&fixture("hart-tiny"));
    assert!(files_of(&at).iter().all(|(name, bytes)| *bytes == expected[name]));
}

#[test]
fn a_killed_process_leaves_what_another_goes_on_with() {
    let (server, home) = (server(), folder());
    server.fault("/store/", Fault::Slow(3000));
    let mut process = start(&server, home.path());
    let blobs = home.path().join("hub/models--mit-han-lab--hart-tiny/blobs");
    let has_part = || {
        let entries = std::fs::read_dir(&blobs).into_iter().flatten().flatten();
        entries
            .filter_map(|entry| entry.metadata().ok().map(|found| (entry.path(), found.len())))
            .any(|(path, size)| path.extension().is_some() && size > 100_000)
    };
    while !has_part() {
        assert_eq!(process.try_wait().expect("a state"), None, "it ended before it was killed");
        std::thread::sleep(std::time::Duration::from_millis(20));
    }
    process.kill().expect("a process that can be killed");
    process.wait().expect("an end");
    server.mend();
    server.seen();
    fetch(&hub(&server, &home.path().join("hub")), MODEL).expect("a model");
    assert!(server.seen().iter().any(|seen| seen.range.is_some()));
}

/// `scripts/check-hub` runs this with the Python of an environment that has `huggingface_hub`.
#[test]
#[ignore = "needs HART_PYTHON, a Python with huggingface_hub: scripts/check-hub"]
fn python_shares_the_cache() {
    let python = std::env::var("HART_PYTHON").expect("HART_PYTHON");
    let run = |server: &Server, cache: &Path, offline: bool| {
        let output = Command::new(&python)
            .arg(Path::new(env!("CARGO_MANIFEST_DIR")).join("tests/hub/client.py"))
            .arg(MODEL)
            .args(["llm/config.json", "llm/ema_model.bin", "tokenizer/config.json"])
            .arg("tokenizer/model.safetensors")
            .env("HF_ENDPOINT", &server.endpoint)
            .env("HF_HUB_CACHE", cache)
            .env("HF_HUB_OFFLINE", if offline { "1" } else { "0" })
            .output()
            .expect("Python");
        let said = String::from_utf8_lossy(&output.stderr);
        assert!(output.status.success(), "{said}");
        String::from_utf8_lossy(&output.stdout).trim().to_string()
    };
    let (server, ours, theirs) = (server(), folder(), folder());
    // What Python fetched is found here without a request.
    let fetched = run(&server, theirs.path(), false);
    let found = fetch(&hub(&server, theirs.path()).offline(true), MODEL).expect("Python's model");
    assert_eq!(found, Path::new(&fetched));
    // What was fetched here is found by Python.
    let fetched = fetch(&hub(&server, ours.path()), MODEL).expect("a model");
    server.seen();
    let found = run(&server, ours.path(), true);
    assert_eq!(fetched, Path::new(&found));
    assert!(server.seen().is_empty());
    // And so the next time both ask the hub: neither fetches anything.
    fetch(&hub(&server, theirs.path()), MODEL).expect("a model");
    run(&server, ours.path(), false);
    assert!(server.seen().iter().all(|seen| seen.method == "HEAD" || seen.path.contains("/api/")));
    // Apart from Python's own notes, the two caches are the same.
    let tree = |root: &Path| {
        let files = files_of(&root.join("models--mit-han-lab--hart-tiny"));
        let names = files.into_keys().filter(|name| {
            ["blobs/", "refs/", "snapshots/"].iter().any(|folder| name.starts_with(folder))
        });
        names.collect::<Vec<_>>()
    };
    assert_eq!(tree(ours.path()), tree(theirs.path()));
}
