//! A worker: claims shards, makes them and puts them in their place.

mod keeper;
mod patience;

use std::collections::BTreeSet;
use std::ops::ControlFlow;
use std::path::PathBuf;
use std::time::{Duration, Instant};

use hart_core::{Error, Result, Spool};

use super::engine::{Claim, Engine, Lease};
use super::fingerprint::Model;
use super::observer::{BulkEvent, BulkObserver};
use super::run::Run;
use super::shard::{MadeShard, Put, Step, make, put};
use super::store::Failure;
use keeper::Keeper;
use patience::{patiently, wait};

/// How many shards in a row a worker may fail with: more, and it is taken to be the worker's fault, who
/// stops before it gives up the whole run.
const FAILURES: usize = 3;

/// Makes shards of a run with a model.
pub struct Worker<'a> {
    run: Run,
    model: &'a Model,
    scratch: PathBuf,
    grace: Duration,
}

/// What a worker has done.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
#[non_exhaustive]
pub struct WorkSummary {
    /// Shards that it finished.
    pub shards: u64,
    /// Pictures in them.
    pub made: u64,
    /// Prompts in them that were refused, and pictures that could not be made.
    pub without: u64,
    /// Shards that were given to another worker meanwhile.
    pub lost: u64,
    /// Times that a shard could not be made.
    pub failed: u64,
    /// Shards that were given up with that.
    pub dead: u64,
    /// Whether it was asked to stop before the run was finished.
    pub is_stopped: bool,
}

/// What became of a shard.
enum Settled {
    Done {
        made: u64,
        without: u64,
    },
    Lost,
    Failed {
        error: Error,
        is_dead: bool,
    },
    /// The observer asked to stop.
    Stopped,
}

impl<'a> Worker<'a> {
    /// A worker of a run. It makes a picture to compare.
    ///
    /// # Errors
    /// [`Error::Invalid`] when its weights, program or arithmetic are not the plan's; those of
    /// generation.
    pub fn new(run: Run, model: &'a Model) -> Result<Self> {
        model.fingerprint(run.recipe().request())?.check(&run.plan().fingerprint)?;
        let scratch = run.store().folder().map_or_else(std::env::temp_dir, PathBuf::from);
        Ok(Self { run, model, scratch, grace: Duration::from_secs(10) })
    }

    /// Where shards are written while they are made (default: the folder of the run; for a bucket the
    /// system's folder of temporary files). What is there has no name, and is gone when the worker
    /// ends, however it does.
    pub fn scratch(mut self, folder: impl Into<PathBuf>) -> Self {
        self.scratch = folder.into();
        self
    }

    /// How long it may go on when it is asked to stop (default 10 s): a shard that can be finished in
    /// this time is, another is given back at once.
    pub fn grace(mut self, time: Duration) -> Self {
        self.grace = time;
        self
    }

    /// Works until every shard is done or given up, or the observer asks to stop.
    ///
    /// # Errors
    /// What the engine or the store cannot do, also later: [`Error::Io`], [`Error::Store`]; and what
    /// three shards in a row failed with.
    pub fn work(
        &self,
        engine: &dyn Engine,
        observer: &mut dyn BulkObserver,
    ) -> Result<WorkSummary> {
        let mut summary = WorkSummary::default();
        match self.work_on_all(engine, observer, &mut summary) {
            Err(Error::Cancelled) => {
                summary.is_stopped = true;
                Ok(summary)
            }
            other => other.map(|()| summary),
        }
    }

    fn work_on_all(
        &self,
        engine: &dyn Engine,
        observer: &mut dyn BulkObserver,
        summary: &mut WorkSummary,
    ) -> Result<()> {
        let mut failing = BTreeSet::new();
        loop {
            let lease = match patiently(observer, |_| engine.claim())? {
                Claim::Shard(lease) => lease,
                Claim::Finished => return Ok(()),
                Claim::Later(time) => {
                    wait(observer, "the shards that other workers have", time)?;
                    continue;
                }
            };
            let (settled, flow) = self.work_on(engine, &lease, observer)?;
            summary.add(&settled);
            match settled {
                Settled::Stopped => return Err(Error::Cancelled),
                Settled::Failed { error, .. } => {
                    failing.insert(lease.shard);
                    if failing.len() >= FAILURES {
                        return Err(error);
                    }
                }
                Settled::Done { .. } => failing.clear(),
                Settled::Lost => {}
            }
            if flow.is_break() {
                return Err(Error::Cancelled);
            }
        }
    }

    /// Makes a shard, and tells engine and observer what became of it. The observer may ask to stop then.
    fn work_on(
        &self,
        engine: &dyn Engine,
        lease: &Lease,
        observer: &mut dyn BulkObserver,
    ) -> Result<(Settled, ControlFlow<()>)> {
        let shard = lease.shard;
        let range = self.run.plan().pictures_of(shard);
        let pictures = range.end - range.start;
        let flow = observer.event(BulkEvent::Claimed { shard, pictures });
        let keeper = Keeper::new(engine, lease);
        let made = keeper.during(|| match flow {
            ControlFlow::Break(()) => Err(Error::Cancelled),
            ControlFlow::Continue(()) => self.make_and_put(shard, &keeper, observer),
        });
        let (settled, flow) = match made {
            Ok((made, without)) => {
                patiently(observer, |_| engine.done(lease))?;
                let flow = observer.event(BulkEvent::Done { shard, made, without });
                (Settled::Done { made, without }, flow)
            }
            Err(_) if keeper.is_lost() => {
                (Settled::Lost, observer.event(BulkEvent::Lost { shard }))
            }
            Err(Error::Cancelled) => {
                // Once: an engine that is away finds out by itself.
                if engine.hand_back(lease).is_ok() {
                    let _ = observer.event(BulkEvent::HandedBack { shard });
                }
                (Settled::Stopped, ControlFlow::Continue(()))
            }
            Err(error) => {
                let reason = error.to_string();
                let is_dead = patiently(observer, |_| engine.fail(lease, &reason))?;
                let flow = observer.event(BulkEvent::Failed { shard, reason: &reason, is_dead });
                (Settled::Failed { error, is_dead }, flow)
            }
        };
        Ok((settled, flow))
    }

    /// Gives how many pictures were made, and how many were not.
    fn make_and_put(
        &self,
        shard: u64,
        keeper: &Keeper<'_>,
        observer: &mut dyn BulkObserver,
    ) -> Result<(u64, u64)> {
        let made = patiently(observer, |observer| self.make(shard, keeper, observer))?;
        let counts = (made.manifest.made, made.manifest.refused + made.manifest.broken);
        let ready = Put::new(made)?;
        patiently(observer, |_| put(&self.run, &ready))?;
        Ok(counts)
    }

    fn make(
        &self,
        shard: u64,
        keeper: &Keeper<'_>,
        observer: &mut dyn BulkObserver,
    ) -> Result<MadeShard, Failure> {
        let (spool, began) = (Spool::begin(&self.scratch)?, Instant::now());
        let range = self.run.plan().pictures_of(shard);
        let count = range.end - range.start;
        make(&self.run, self.model.pipeline(), shard, spool, &mut |Step { settled }| {
            let asked = observer.event(BulkEvent::Working { shard, settled });
            if keeper.is_lost() {
                return ControlFlow::Break(());
            }
            if asked.is_break() && self.can_finish(began, settled, count) {
                return ControlFlow::Continue(());
            }
            asked
        })
    }

    /// Whether the rest of a shard can be made in the time that is left to a worker that is asked to
    /// stop.
    fn can_finish(&self, began: Instant, settled: u64, count: u64) -> bool {
        let left = count.saturating_sub(settled) as f64;
        settled > 0
            && began.elapsed().as_secs_f64() / settled as f64 * left <= self.grace.as_secs_f64()
    }
}

impl WorkSummary {
    fn add(&mut self, settled: &Settled) {
        match settled {
            Settled::Done { made, without } => {
                self.shards += 1;
                self.made += made;
                self.without += without;
            }
            Settled::Lost => self.lost += 1,
            Settled::Failed { is_dead, .. } => {
                self.failed += 1;
                self.dead += u64::from(*is_dead);
            }
            Settled::Stopped => {}
        }
    }
}
