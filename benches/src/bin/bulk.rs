//! What bulk generation costs beside the generation: pictures a second of the embedded model without an
//! engine, by one worker and by several, memory, and the time of a shard among few and among many.
//!
//! ```text
//! cargo run --release -p hart-benches --bin bulk -- --pictures 10000
//! cargo run --release -p hart-benches --bin bulk -- --pictures 2000 --nats nats://127.0.0.1:4222
//! ```
//!
//! The table goes to the standard output.
#![allow(clippy::print_stdout)]

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};
use std::process::Command;
use std::time::{Duration, Instant};

use anyhow::{Result, bail, ensure};
use clap::Parser;
use hart_benches::machine::{memory_mib, peak_memory_mib};
use hart_pipeline::bulk::engine::{Claim, NatsEngine};
use hart_pipeline::bulk::{Engine, LeaseEngine, Model, Plan, Recipe, Run, Store, Worker};
use hart_pipeline::{Event, HartPipeline};

/// What is drawn.
const RECIPE: &str = r#"
    pictures = 1
    template = "a {colour} {shape} on a {ground} background"
    [lists]
    colour = ["red", "blue", "green", "yellow"]
    shape = ["circle", "square", "star", "heart"]
    ground = ["white", "black", "grey"]
"#;

/// Measures bulk generation.
#[derive(Parser)]
struct Arguments {
    /// Pictures of each run.
    #[arg(long, default_value_t = 1000)]
    pictures: u64,
    /// Pictures of a shard.
    #[arg(long, default_value_t = 500)]
    shard_size: u64,
    /// Workers at once, beside one alone.
    #[arg(long, default_value_t = 2)]
    workers: usize,
    /// A NATS server with JetStream to measure as well.
    #[arg(long, value_name = "URL")]
    nats: Option<String>,
    /// Numbers of shards, separated by commas: of runs whose shards are claimed and finished without pictures.
    #[arg(long, value_delimiter = ',', default_value = "1,1000,100000")]
    empty: Vec<u64>,
    /// Works on the run in this folder: what a worker runs.
    #[arg(long, hide = true)]
    work: Option<PathBuf>,
}

fn main() -> Result<()> {
    let arguments = Arguments::parse();
    let model = Model::open(HartPipeline::builder().embedded(), "flex")?;
    if let Some(folder) = &arguments.work {
        return work(&open(folder)?, &model, arguments.nats.as_deref());
    }
    let recipe = arguments.recipe(arguments.pictures, arguments.shard_size)?;
    println!(
        "| {} pictures | seconds | pictures a second | MiB, from and to |",
        arguments.pictures
    );
    println!("|---|---|---|---|");
    arguments.row("`generate_each`, no files", || plain(&recipe, &model))?;
    let servers = [None].into_iter().chain(arguments.nats.as_deref().map(Some));
    for server in servers {
        let engine = server.map_or("leases", |_| "NATS");
        let folder = tempfile::tempdir()?;
        let run = plan(folder.path(), &recipe, &model)?;
        arguments.row(&format!("one worker, {engine}"), || work(&run, &model, server))?;
        let folder = tempfile::tempdir()?;
        plan(folder.path(), &recipe, &model)?;
        let several = || arguments.several(folder.path(), server);
        arguments.row(&format!("{} workers, {engine}", arguments.workers), several)?;
    }
    println!("\n| shards | seconds to plan | ms a shard, claimed and finished |\n|---|---|---|");
    for &shards in &arguments.empty {
        let recipe = arguments.recipe(shards, 1)?;
        let (planned, each) = empty(&recipe, &model)?;
        println!("| {shards} | {planned:.3} | {:.3} |", 1e3 * each);
    }
    Ok(())
}

impl Arguments {
    fn recipe(&self, pictures: u64, shard_size: u64) -> Result<Recipe> {
        let mut recipe = Recipe::from_toml(RECIPE)?;
        recipe.set_pictures(pictures)?;
        recipe.set_shard_size(shard_size)?;
        Ok(recipe)
    }

    /// A row of the table.
    fn row(&self, what: &str, work: impl FnOnce() -> Result<()>) -> Result<()> {
        let mib = |found: Option<f64>| found.map_or("-".to_string(), |mib| format!("{mib:.0}"));
        let (before, began) = (mib(memory_mib()), Instant::now());
        work()?;
        let seconds = began.elapsed().as_secs_f64();
        let speed = self.pictures as f64 / seconds;
        let peak = mib(peak_memory_mib());
        println!("| {what} | {seconds:.1} | {speed:.2} | {before}, {peak} |");
        Ok(())
    }

    /// Several workers, each a process.
    fn several(&self, folder: &Path, server: Option<&str>) -> Result<()> {
        let mut workers = vec![];
        for _ in 0..self.workers {
            let mut command = Command::new(std::env::current_exe()?);
            command.arg("--work").arg(folder);
            command.args(server.into_iter().flat_map(|url| ["--nats", url]));
            workers.push(command.spawn()?);
        }
        for mut worker in workers {
            ensure!(worker.wait()?.success(), "a worker failed");
        }
        Ok(())
    }
}

/// The same pictures in one request, encoded and dropped.
fn plain(recipe: &Recipe, model: &Model) -> Result<()> {
    let pictures = (0..recipe.pictures()).map(|index| recipe.picture(index));
    let (prompts, seeds): (Vec<_>, Vec<_>) =
        pictures.map(|picture| (picture.prompt, picture.seed)).unzip();
    let request = recipe.request().prompts(prompts).seeds(seeds);
    let summary = model.pipeline().generate_each(&request, &mut |event: Event<'_>| {
        if let Event::Image { image, .. } = event {
            std::hint::black_box(image.to_png().is_ok());
        }
        ControlFlow::Continue(())
    })?;
    ensure!(summary.made as u64 == recipe.pictures(), "{summary:?}");
    Ok(())
}

fn plan(folder: &Path, recipe: &Recipe, model: &Model) -> Result<Run> {
    let plan = Plan::new(recipe, model.fingerprint(recipe.request())?);
    Ok(Run::create(Store::open(&folder.display().to_string())?, recipe.clone(), plan)?)
}

fn open(folder: &Path) -> Result<Run> {
    Ok(Run::open(Store::open(&folder.display().to_string())?)?)
}

fn work(run: &Run, model: &Model, server: Option<&str>) -> Result<()> {
    let (name, lease) = (std::process::id().to_string(), Duration::from_secs(60));
    let engine: Box<dyn Engine> = match server {
        Some(url) => Box::new(NatsEngine::join(run.clone(), url, name, lease)?),
        None => Box::new(LeaseEngine::join(run.clone(), None, name, lease)?),
    };
    let summary = Worker::new(run.clone(), model)?.work(&*engine, &mut ())?;
    ensure!(summary.failed == 0, "{summary:?}");
    Ok(())
}

/// Seconds to plan a run, and seconds a shard to claim and finish all of them without a picture.
fn empty(recipe: &Recipe, model: &Model) -> Result<(f64, f64)> {
    let folder = tempfile::tempdir()?;
    let plan = Plan::new(recipe, model.fingerprint(recipe.request())?);
    let began = Instant::now();
    let store = Store::open(&folder.path().display().to_string())?;
    let run = Run::create(store, recipe.clone(), plan)?;
    let planned = began.elapsed().as_secs_f64();
    std::fs::create_dir(folder.path().join("shards"))?;
    let engine = LeaseEngine::join(run.clone(), None, "empty", Duration::from_secs(60))?;
    let began = Instant::now();
    for _ in 0..run.plan().shards() {
        let Ok(Claim::Shard(lease)) = engine.claim() else { bail!("no shard is left too early") };
        std::fs::write(folder.path().join(run.manifest_name(lease.shard)), "")?;
        if engine.done(&lease).is_err() {
            bail!("a lease cannot be removed");
        }
    }
    Ok((planned, began.elapsed().as_secs_f64() / run.plan().shards() as f64))
}
