//! `bulk verify`: whether everything is there.

use anyhow::bail;
use clap::Args;
use hart_examples::interrupt::{Interrupt, Interrupted};
use hart_examples::{say, tell};
use hart_pipeline::bulk::{Again, BulkEvent, BulkObserver, Run, Verification, verify};
use hart_pipeline::core::Error;

use crate::{ModelArguments, open};

#[derive(Args)]
pub(crate) struct Arguments {
    /// The folder or bucket of the run.
    run: String,
    /// Make N pictures again, chosen at random, and compare their bytes.
    #[arg(long, value_name = "N", default_value_t = 0)]
    again: u64,
    /// Seed of that choice.
    #[arg(long, value_name = "N", default_value_t = 0)]
    seed: u64,
    #[command(flatten)]
    model: ModelArguments,
}

impl Arguments {
    pub(crate) fn run(&self) -> anyhow::Result<()> {
        let run = open(&self.run)?;
        let model = (self.again > 0).then(|| self.model.open()).transpose()?;
        let again =
            model.as_ref().map(|model| Again { model, pictures: self.again, seed: self.seed });
        report(&run, &watch(&run, |run, observer| verify(run, again, observer))?)
    }
}

/// Shows how far it is, and listens to signals.
pub(crate) fn watch<T>(
    run: &Run,
    work: impl FnOnce(&Run, &mut dyn BulkObserver) -> Result<T, Error>,
) -> anyhow::Result<T> {
    let interrupt = Interrupt::watch()?;
    let bar = indicatif::ProgressBar::new(run.plan().shards());
    let done = work(run, &mut |event: BulkEvent<'_>| {
        if let BulkEvent::Read { .. } = event {
            bar.inc(1);
        }
        interrupt.flow()
    });
    bar.finish_and_clear();
    match (done, interrupt.received()) {
        (Err(Error::Cancelled), Some(signal)) => {
            bail!(Interrupted { signal, left: "nothing was changed".to_string() })
        }
        (done, _) => Ok(done?),
    }
}

fn report(run: &Run, found: &Verification) -> anyhow::Result<()> {
    for finding in &found.findings {
        tell(format!("{}: {}", finding.place, finding.problem));
    }
    let (shards, pictures, again) = (found.shards, found.pictures, found.made_again);
    say(format!(
        "{shards} of {} shards are whole, with {pictures} pictures; {again} were made again and are \
         the same",
        run.plan().shards()
    ))?;
    if found.findings.is_empty() {
        return Ok(());
    }
    bail!("{} findings", found.findings.len())
}
