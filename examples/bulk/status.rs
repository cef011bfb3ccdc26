//! `bulk status`: how far a run is.

use std::io::IsTerminal;
use std::path::PathBuf;
use std::time::Duration;

use anyhow::bail;
use clap::Args;
use hart_examples::say;
use hart_pipeline::bulk::{LeaseEngine, Run, Status};

use crate::open;
use crate::server::ServerArguments;

/// How often a table that is watched is drawn anew.
const AGAIN: Duration = Duration::from_secs(2);
/// Clears a terminal.
const CLEAR: &str = "\x1b[2J\x1b[H";

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder or bucket of the run.
    run: String,
    /// Show it again and again until the run is finished.
    #[arg(long)]
    watch: bool,
    /// As one line of JSON.
    #[arg(long)]
    json: bool,
    /// Folder of the leases, if it is not in the run's folder.
    #[arg(long, value_name = "DIR")]
    leases: Option<PathBuf>,
    #[command(flatten)]
    server: ServerArguments,
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let run = open(&self.run)?;
        loop {
            let status = self.status(&run)?;
            if self.watch && std::io::stdout().is_terminal() && !self.json {
                say(CLEAR)?;
            }
            if self.json {
                say(json(&status))?
            } else {
                show(&status)?
            }
            if !self.watch || status.is_finished() {
                let dead = status.dead.len();
                return if dead == 0 { Ok(()) } else { bail!("{dead} shards were given up") };
            }
            std::thread::sleep(AGAIN);
        }
    }

    fn status(&self, run: &Run) -> anyhow::Result<Status> {
        let has_leases = self.leases.is_some() || run.store().folder().is_some();
        let held = match self.server.held(run)? {
            Some(held) => held,
            None if has_leases => LeaseEngine::held_of(run, self.leases.clone())?,
            None => vec![],
        };
        Ok(Status::of(run, held)?)
    }
}

fn show(status: &Status) -> anyhow::Result<()> {
    let Status { shards, done, pictures, pictures_done, .. } = status;
    let percent = 100.0 * *pictures_done as f64 / *pictures as f64;
    say(format!(
        "{done} of {shards} shards, {pictures_done} of {pictures} pictures ({percent:.1} %)"
    ))?;
    if let (Some(speed), Some(left), false) =
        (status.pictures_a_second, status.seconds_left, status.is_finished())
    {
        let left = indicatif::HumanDuration(Duration::from_secs_f64(left.min(1e9)));
        say(format!("{speed:.2} pictures a second, {left} left"))?;
    }
    for held in &status.held {
        say(format!("  shard {}: {}", held.shard, held.worker))?;
    }
    for dead in &status.dead {
        say(format!("  shard {} was given up:", dead.shard))?;
        for reason in &dead.tries {
            say(format!("    {reason}"))?;
        }
    }
    Ok(())
}

fn json(status: &Status) -> serde_json::Value {
    let held = status.held.iter().map(|held| serde_json::json!([held.shard, held.worker]));
    serde_json::json!({
        "shards": status.shards,
        "done": status.done,
        "pictures": status.pictures,
        "pictures_done": status.pictures_done,
        "pictures_a_second": status.pictures_a_second,
        "seconds_left": status.seconds_left,
        "held": held.collect::<Vec<_>>(),
        "dead": status.dead,
    })
}
