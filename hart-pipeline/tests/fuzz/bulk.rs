//! The readers of bulk generation: of a recipe, and of all files of a run.

use std::fs;
use std::path::Path;
use std::time::Duration;

use hart_pipeline::bulk::engine::{Claim, Engine};
use hart_pipeline::bulk::{LeaseEngine, Recipe, Run, Store, verify};
use hart_pipeline::core::{Error, Result};

use crate::readers::{Check, write};

/// A run of one shard with two pictures.
const PLAN: &[u8] = include_bytes!("corpus/plan/two.json");
const MANIFEST: &[u8] = include_bytes!("corpus/manifest/two.json");
const SHARD: &[u8] = include_bytes!("corpus/shard/two.tar");

/// A recipe, and some of its pictures.
pub(crate) fn recipe(folder: &Path, bytes: &[u8]) -> Check {
    let recipe = Recipe::from_file(write(folder, "recipe.toml", bytes));
    recipe.map(|recipe| [0, 1, u64::MAX].map(|index| recipe.picture(index))).into()
}

/// Prompts for it, as a table and as lines.
pub(crate) fn prompts(folder: &Path, bytes: &[u8]) -> Check {
    let name = if bytes.first() == Some(&b'{') { "p.jsonl" } else { "p.csv" };
    write(folder, name, bytes);
    recipe(folder, format!("prompts.file = \"{name}\"").as_bytes())
}

/// A plan, and the names that follow from it.
pub(crate) fn plan(folder: &Path, bytes: &[u8]) -> Check {
    write(folder, "plan.json", bytes);
    let names = |run: Run| {
        let last = run.plan().shards() - 1;
        let pictures = run.plan().pictures_of(last);
        (run.tar_name(last), run.plan().key(pictures.end - 1))
    };
    open(folder).map(names).into()
}

/// A manifest beside its tar.
pub(crate) fn manifest(folder: &Path, bytes: &[u8]) -> Check {
    verified(folder, bytes, SHARD).into()
}

/// A tar beside its manifest.
pub(crate) fn shard(folder: &Path, bytes: &[u8]) -> Check {
    verified(folder, MANIFEST, bytes).into()
}

/// The record of a shard that was abandoned; the run has no other file.
pub(crate) fn dead(folder: &Path, bytes: &[u8]) -> Check {
    write(folder, "plan.json", PLAN);
    fs::create_dir_all(folder.join("dead")).expect("a writable folder");
    write(folder, "dead/000000.json", bytes);
    let found = open(folder).and_then(|run| verify(&run, None, &mut ()));
    let found = found.expect("a run that can be read").findings;
    match found.iter().find(|finding| finding.problem.contains("cannot be read")) {
        Some(finding) => Check::Refused(finding.problem.clone()),
        None => Check::Read,
    }
}

/// A lease of its only shard, which can be claimed where it was returned. A file that is no JSON counts as one
/// that is just being written: somebody holds the shard.
pub(crate) fn lease(folder: &Path, bytes: &[u8]) -> Check {
    write(folder, "plan.json", PLAN);
    let leases = folder.join("leases");
    let _ = fs::remove_dir_all(&leases);
    fs::create_dir_all(&leases).expect("a writable folder");
    write(&leases, "000000.1", bytes);
    let run = open(folder).expect("a plan");
    let engine = LeaseEngine::join(run, None, "fuzz", Duration::from_secs(60)).expect("an engine");
    match engine.claim().expect("a folder that can be read") {
        Claim::Shard(_) => Check::Read,
        _ if serde_json::from_slice::<serde_json::Value>(bytes).is_ok() => Check::Read,
        _ => Check::Refused("held by somebody".to_string()),
    }
}

fn open(folder: &Path) -> Result<Run> {
    Run::open(Store::open(&folder.display().to_string())?)
}

/// Verifies a run with this manifest and this tar.
fn verified(folder: &Path, manifest: &[u8], tar: &[u8]) -> Result<()> {
    write(folder, "plan.json", PLAN);
    fs::create_dir_all(folder.join("shards")).expect("a writable folder");
    write(folder, "shards/000000.json", manifest);
    write(folder, "shards/000000.tar", tar);
    let found = verify(&open(folder)?, None, &mut ())?.findings;
    let problem = found.first().map(|finding| Error::malformed(&finding.place, &finding.problem));
    problem.map_or(Ok(()), Err)
}
