//! `bulk index`: a table of all samples.

use clap::Args;
use hart_examples::say;
use hart_pipeline::bulk::{INDEX, write_index};

use crate::open;
use crate::verify::watch;

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder or bucket of the run.
    run: String,
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let run = open(&self.run)?;
        let done = watch(&run, write_index)?;
        say(format!("{INDEX}: {} rows of {} shards", done.rows, done.shards))
    }
}
