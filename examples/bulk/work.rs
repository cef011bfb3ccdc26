//! `bulk work`: makes shards.

use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hart_examples::interrupt::{Interrupt, Interrupted};
use hart_examples::say;
use hart_pipeline::bulk::{Assigned, Engine, LeaseEngine, Model, Run, Status, WorkSummary, Worker};

use crate::progress::WorkerProgress;
use crate::server::ServerArguments;
use crate::{ModelArguments, open};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder or bucket of the run.
    run: String,
    #[command(flatten)]
    model: ModelArguments,
    /// Make this shard alone, as an indexed job of Kubernetes or an array of SLURM tells it.
    #[arg(long, value_name = "N", conflicts_with = "nats")]
    shard: Option<u64>,
    /// From that shard on make every Nth: for N workers, that is as many jobs as there are.
    #[arg(long, value_name = "N", requires = "shard")]
    step: Option<u64>,
    #[command(flatten)]
    server: ServerArguments,
    #[command(flatten)]
    worker: WorkerArguments,
}

/// How a worker behaves.
#[derive(Args)]
pub(crate) struct WorkerArguments {
    /// Seconds that a worker may be silent before its shard is given to another one.
    #[arg(long, value_name = "S", default_value_t = 60.0, value_parser = seconds)]
    lease: f64,
    /// Folder of the leases, which all workers see [default: in the run's folder].
    #[arg(long, value_name = "DIR")]
    leases: Option<PathBuf>,
    /// What others see as this worker's name [default: the machine's name and the process's number].
    #[arg(long, value_name = "NAME")]
    worker: Option<String>,
    /// Folder where a shard is written while it is made [default: the run's folder, or that of temporary
    /// files].
    #[arg(long, value_name = "DIR")]
    scratch: Option<PathBuf>,
    /// Seconds to finish a shard after SIGTERM or Ctrl-C; one that takes longer is given back at once.
    #[arg(long, value_name = "S", default_value_t = 10.0, value_parser = seconds)]
    grace: f64,
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let run = open(&self.run)?;
        let model = self.model.open()?;
        if let Some(shard) = self.shard {
            let engine = Assigned::new(run.clone(), shard, self.step)?;
            return self.worker.work(&run, &model, &engine, true);
        }
        match self.server.join(&run, self.worker.name(), self.worker.lease())? {
            Some(engine) => self.worker.work(&run, &model, &*engine, false),
            None => self.worker.work_with_leases(&run, &model),
        }
    }
}

impl WorkerArguments {
    /// Works with leases in the folder of the run.
    pub(crate) fn work_with_leases(&self, run: &Run, model: &Model) -> anyhow::Result<()> {
        let leases = self.leases.clone();
        let engine = LeaseEngine::join(run.clone(), leases, self.name(), self.lease())?;
        self.work(run, model, &engine, false)
    }

    fn name(&self) -> String {
        self.worker.clone().unwrap_or_else(name)
    }

    fn lease(&self) -> Duration {
        Duration::from_secs_f64(self.lease)
    }

    fn work(
        &self,
        run: &Run,
        model: &Model,
        engine: &dyn Engine,
        is_assigned: bool,
    ) -> anyhow::Result<()> {
        let interrupt = Interrupt::watch()?;
        let grace = Duration::from_secs_f64(self.grace);
        let mut worker = Worker::new(run.clone(), model)?.grace(grace);
        if let Some(folder) = &self.scratch {
            worker = worker.scratch(folder);
        }
        let mut progress = WorkerProgress::new(run, interrupt.clone());
        let summary = worker.work(engine, &mut progress);
        progress.finish();
        report(&summary?, run, &interrupt, is_assigned)
    }
}

/// Says what was done; the error is what is left.
fn report(
    summary: &WorkSummary,
    run: &Run,
    interrupt: &Interrupt,
    is_assigned: bool,
) -> anyhow::Result<()> {
    let WorkSummary { shards, made, .. } = summary;
    if let (true, Some(signal)) = (summary.is_stopped, interrupt.received()) {
        let left = format!("{shards} shards are done; `bulk work {}` goes on", run.store());
        bail!(Interrupted { signal, left });
    }
    say(format!("{shards} shards with {made} pictures are done by this worker"))?;
    let dead = Status::of(run, vec![])?.dead.len();
    if dead > 0 {
        bail!("{dead} shards were given up: `bulk status {}` says why", run.store());
    }
    // Shards that are shared out are tried again until they are done or given up, assigned ones are not.
    if summary.failed > 0 && is_assigned {
        bail!("{} shards could not be made", summary.failed);
    }
    Ok(())
}

/// The name of this machine, and the number of this process.
fn name() -> String {
    let host = std::env::var("HOSTNAME").ok();
    let host = host.or_else(|| std::fs::read_to_string("/etc/hostname").ok());
    let host = host.map(|host| host.trim().to_string()).filter(|host| !host.is_empty());
    format!("{}-{}", host.as_deref().unwrap_or("worker"), std::process::id())
}

/// A time in seconds.
pub(crate) fn seconds(text: &str) -> Result<f64, String> {
    match text.parse() {
        Ok(seconds) if (0.0..=1e6).contains(&seconds) => Ok(seconds),
        _ => Err("expected seconds, from 0 to 1000000".to_string()),
    }
}
