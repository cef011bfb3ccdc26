//! Bulk generation: a run that is killed, shared out, stopped and verified.

use std::collections::BTreeMap;
use std::path::Path;
use std::process::{Child, Command, Stdio};
use std::time::{Duration, Instant};

use crate::{fails, folder, program, repository, succeeds};

/// Eight pictures in four shards.
const SMALL: &str = "REPO/examples/data/recipes/shapes.toml --pictures 8 --shard-size 2";

fn worker(folder: &Path, name: &str) -> Child {
    let mut command = Command::new(program("bulk"));
    command.args(["work", "run", "--lease", "1", "--batch-size", "1", "--worker", name]);
    command.current_dir(folder).stdout(Stdio::null()).stderr(Stdio::null());
    command.spawn().expect("a worker")
}

/// The shards of a run by their names, and what else is below its folder.
pub(crate) fn shards(run: &Path) -> (BTreeMap<String, Vec<u8>>, Vec<String>) {
    let name = |entry: &std::fs::DirEntry| entry.file_name().to_string_lossy().into_owned();
    let entries = |folder: &Path| std::fs::read_dir(folder).expect("a folder").flatten();
    let shards = entries(&run.join("shards"))
        .map(|entry| (name(&entry), std::fs::read(entry.path()).expect("a file")))
        .collect();
    let mut others: Vec<String> = entries(run).map(|entry| name(&entry)).collect();
    others.sort();
    (shards, others)
}

#[test]
fn a_killed_worker_loses_nothing_and_doubles_nothing() {
    let (alone, killed) = (folder(), folder());
    succeeds(alone.path(), "bulk", &format!("run {SMALL} --out run"));
    let expected = shards(&alone.path().join("run"));
    assert_eq!(expected.0.len(), 2 * 4);

    succeeds(killed.path(), "bulk", &format!("plan {SMALL} --out run"));
    let run = killed.path().join("run");
    // Each is killed as soon as it has a shard, the first one once it has also finished one.
    for (number, finished) in [1, 0, 0].into_iter().enumerate() {
        let mut child = worker(killed.path(), &format!("worker-{number}"));
        let began = Instant::now();
        let count = |folder: &str| std::fs::read_dir(run.join(folder)).map_or(0, Iterator::count);
        while count("shards") < 2 * finished || count("leases") == 0 {
            assert!(began.elapsed() < Duration::from_secs(120), "no shard in two minutes");
            assert!(child.try_wait().expect("a child").is_none(), "it has ended");
            std::thread::sleep(Duration::from_millis(2));
        }
        child.kill().expect("SIGKILL");
        child.wait().expect("a child");
    }
    let workers = ["one", "two"].map(|name| worker(killed.path(), name));
    for mut child in workers {
        assert!(child.wait().expect("a child").success());
    }
    assert!(shards(&run) == expected, "{:?}", shards(&run).1);

    let said = succeeds(killed.path(), "bulk", "verify run --again 3");
    assert!(said.contains("4 of 4 shards are whole, with 8 pictures; 3 were made again"), "{said}");
    let said = succeeds(killed.path(), "bulk", "status run");
    assert!(said.contains("4 of 4 shards, 8 of 8 pictures (100.0 %)"), "{said}");
    let said = succeeds(killed.path(), "bulk", "index run");
    assert!(said.contains("index.parquet: 8 rows of 4 shards"), "{said}");
}

#[test]
#[cfg(unix)]
fn a_worker_that_is_asked_to_end_gives_its_shard_back() {
    let folder = folder();
    let recipe = "REPO/examples/data/recipes/shapes.toml --pictures 400 --shard-size 200";
    succeeds(folder.path(), "bulk", &format!("plan {recipe} --out run"));
    let mut child = worker(folder.path(), "stopped");
    let leases = folder.path().join("run/leases");
    let began = Instant::now();
    while std::fs::read_dir(&leases).map_or(0, Iterator::count) == 0 {
        assert!(began.elapsed() < Duration::from_secs(120), "no shard in two minutes");
        std::thread::sleep(Duration::from_millis(10));
    }
    let asked = Instant::now();
    let id = child.id().to_string();
    assert!(Command::new("kill").args(["-TERM", &id]).status().expect("kill").success());
    assert_eq!(child.wait().expect("a child").code(), Some(143));
    assert!(asked.elapsed() < Duration::from_secs(30), "{:?}", asked.elapsed());
    let lease = std::fs::read_to_string(leases.join("000000.1")).expect("a lease");
    assert!(lease.contains("\"returned\""), "{lease}");
}

#[test]
fn an_array_of_jobs_makes_every_shard() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "bulk", &format!("plan {SMALL} --out run"));
    for job in 0..3 {
        let said = succeeds(at, "bulk", &format!("work run --shard {job} --step 3"));
        let shards = if job == 0 { 2 } else { 1 };
        assert!(said.contains(&format!("{shards} shards with {} pictures", 2 * shards)), "{said}");
    }
    succeeds(at, "bulk", "verify run");
    assert_eq!(fails(at, "bulk", "work run --shard 4").0, 2);
    assert_eq!(fails(at, "bulk", "work run --precision int8").0, 2);
}

#[test]
fn a_run_that_is_wrong_is_said_to_be() {
    let folder = folder();
    let at = folder.path();
    succeeds(at, "bulk", &format!("plan {SMALL} --out run"));
    let (code, reason) = fails(at, "bulk", "verify run");
    assert!(code == 1 && reason.contains("4 findings"), "{reason}");
    let other = format!("plan {SMALL} --seed 9 --out run");
    let (code, reason) = fails(at, "bulk", &other);
    assert!(code == 1 && reason.contains("another run was planned here"), "{reason}");
    let (code, reason) = fails(at, "bulk", "status nowhere");
    assert!(code == 1 && reason.contains("nowhere"), "{reason}");
}

#[test]
fn recipes_show_what_they_cover() {
    let folder = folder();
    let at = folder.path();
    for recipe in ["street-hazards", "shapes"] {
        let path = repository().join(format!("examples/data/recipes/{recipe}.toml"));
        let arguments = format!("plan {} --dry-run", path.display());
        let said = succeeds(at, "bulk", &arguments);
        assert!(said.contains(", 0 never drawn"), "{said}");
    }
    assert_eq!(std::fs::read_dir(at).expect("a folder").count(), 0);
    succeeds(at, "bulk", &format!("plan {SMALL} --out run"));
    let read = |name: &str| std::fs::read_to_string(at.join("run").join(name)).expect("a file");
    assert!(
        read("coverage.csv").starts_with("name,label,other_name,other_label,wanted_share,drawn")
    );
    assert!(read("coverage.svg").contains("shape: circle"));
}
