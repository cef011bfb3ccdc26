//! Bulk generation with the embedded model: recipes, shards, engines, verification, the index.

mod index;
mod leases;
mod pipelines;
mod recipe;
mod shards;
mod stores;
mod verify;

use std::collections::BTreeMap;
use std::path::Path;
use std::sync::OnceLock;
use std::time::Duration;

use hart_pipeline::HartPipeline;
use hart_pipeline::bulk::{Fingerprint, LeaseEngine, Model, Plan, Recipe, Run, Store, Worker};
use tempfile::TempDir;

/// A recipe of six pictures in three shards that the embedded model can draw.
const SHAPES: &str = r#"
    pictures = 6
    seed = 5
    shard_size = 2
    template = "a {colour} {shape} on a {ground} background"
    exclude = [{ colour = "white", ground = "white" }]
    [lists]
    colour = ["red", "blue", "white"]
    shape = ["circle", "square", "star"]
    ground = ["white", "black"]
"#;

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The embedded model with batches of some pictures.
fn model_of(batch: usize) -> Model {
    let builder = HartPipeline::builder().embedded().batch_size(batch);
    Model::open(builder, "flex").expect("the embedded model")
}

fn model() -> &'static Model {
    static MODEL: OnceLock<Model> = OnceLock::new();
    MODEL.get_or_init(|| model_of(4))
}

fn fingerprint(recipe: &Recipe) -> Fingerprint {
    model().fingerprint(recipe.request()).expect("a fingerprint")
}

/// A recipe planned in a folder.
fn plan(folder: &Path, recipe: &str) -> Run {
    let recipe = Recipe::from_toml(recipe).expect("a recipe");
    let plan = Plan::new(&recipe, fingerprint(&recipe));
    let store = Store::create_at(&folder.display().to_string()).expect("a store");
    Run::create(store, recipe, plan).expect("a run")
}

fn open(folder: &Path) -> Run {
    Run::open(Store::open(&folder.display().to_string()).expect("a store")).expect("a run")
}

/// Leases of half a minute: nothing here takes as long.
fn leases(run: &Run, worker: &str) -> LeaseEngine {
    LeaseEngine::join(run.clone(), None, worker, Duration::from_secs(30)).expect("an engine")
}

/// Makes the whole run with one worker.
fn make(run: &Run) {
    let worker = Worker::new(run.clone(), model()).expect("a worker");
    let summary = worker.work(&leases(run, "one"), &mut ()).expect("a run");
    assert_eq!((summary.shards, summary.failed), (run.plan().shards(), 0));
}

/// All files below a folder.
fn files(folder: &Path) -> BTreeMap<String, Vec<u8>> {
    let mut found = BTreeMap::new();
    let mut folders = vec![folder.to_path_buf()];
    while let Some(next) = folders.pop() {
        for entry in std::fs::read_dir(next).expect("a folder").flatten() {
            let path = entry.path();
            if path.is_dir() {
                folders.push(path);
            } else {
                let name = path.strip_prefix(folder).expect("inside").display().to_string();
                found.insert(name, std::fs::read(&path).expect("a file"));
            }
        }
    }
    found
}

/// The files of the tar of a shard.
fn members(run: &Run, shard: u64) -> BTreeMap<String, Vec<u8>> {
    let folder = run.store().folder().expect("a folder");
    let tar = std::fs::File::open(folder.join(run.tar_name(shard))).expect("a tar");
    let mut found = BTreeMap::new();
    for entry in tar::Archive::new(tar).entries().expect("a tar") {
        let mut entry = entry.expect("a file");
        let name = entry.path().expect("a name").display().to_string();
        let mut content = vec![];
        std::io::Read::read_to_end(&mut entry, &mut content).expect("a file");
        found.insert(name, content);
    }
    found
}
