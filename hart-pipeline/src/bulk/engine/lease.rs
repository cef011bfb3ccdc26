//! The engine without a server: leases in a folder.

use std::collections::{BTreeMap, BTreeSet};
use std::path::PathBuf;
use std::sync::{Mutex, MutexGuard, PoisonError};
use std::time::{Duration, Instant};

use hart_core::{Error, Result};

use super::lease_file::{Found, LeaseFile, LeaseFolder, State};
use super::{Claim, Engine, Held, Lease, TRIES};
use crate::bulk::dead::Dead;
use crate::bulk::run::{DEAD, Run, SHARDS};
use crate::bulk::store::Failure;

/// The folder of leases in the folder of a run.
const LEASES: &str = "leases";
/// Beats in the time of a lease: several may be late.
const BEATS: u32 = 4;
/// The shortest time of a lease.
const SHORTEST: Duration = Duration::from_millis(100);

/// Shares a run out among workers that see one folder, on one machine or a shared disk.
///
/// A worker claims a shard by creating a lease file, which one process alone can, and keeps it by a
/// counter in it. A lease whose counter stays the same for the time of a lease, by the clock of the
/// worker that looks at it, is taken over by creating the next file. A shard that was tried
/// [`TRIES`] times is given up. To claim a shard costs the same however many there are.
#[derive(Debug)]
pub struct LeaseEngine {
    run: Run,
    folder: LeaseFolder,
    worker: String,
    time: Duration,
    view: Mutex<View>,
}

/// What a worker has seen of a run.
#[derive(Debug, Default)]
struct View {
    /// The first shard that was not looked at.
    next: u64,
    /// Shards from there on that were settled before this worker came.
    settled: BTreeSet<u64>,
    /// Shards before it that others have, and since when their leases look as they do.
    watched: BTreeMap<u64, Watched>,
    /// The beat of the lease of this worker.
    beat: u64,
}

/// A lease of another worker.
#[derive(Debug)]
struct Watched {
    seen: Option<Found>,
    since: Instant,
}

/// What came of looking at a shard.
enum Look {
    Claimed(Lease),
    /// Another worker has it.
    Taken,
    /// It is done or given up.
    Settled,
}

impl LeaseEngine {
    /// Joins a run in a folder, or one in a bucket whose leases are in the folder `leases`. `worker` is
    /// what others see as this worker's name, `time` how long a worker may be silent: some times as
    /// long as the longest pause that is usual, such as a minute.
    ///
    /// # Errors
    /// [`Error::Invalid`] for a shorter time than a tenth of a second, or no folder for leases;
    /// [`Error::Io`] or [`Error::Store`].
    pub fn join(
        run: Run,
        leases: Option<PathBuf>,
        worker: impl Into<String>,
        time: Duration,
    ) -> Result<Self> {
        if time < SHORTEST {
            return Err(Error::invalid(
                "the time of a lease",
                format!("{time:?}"),
                "at least 0.1 s",
            ));
        }
        let folder = folder_of(&run, leases)?;
        let mut settled: BTreeSet<u64> = run.numbers(SHARDS)?.into_iter().collect();
        settled.extend(run.numbers(DEAD)?);
        let view = Mutex::new(View { settled, ..View::default() });
        let (folder, worker) = (LeaseFolder::open(folder)?, worker.into());
        Ok(Self { run, folder, worker, time, view })
    }

    /// Who works on what in a run, for whoever does not join it. `leases` as for [`Self::join`].
    ///
    /// # Errors
    /// As for [`Self::join`].
    pub fn held_of(run: &Run, leases: Option<PathBuf>) -> Result<Vec<Held>> {
        Ok(held(run, &LeaseFolder::at(folder_of(run, leases)?))?)
    }

    fn view(&self) -> MutexGuard<'_, View> {
        self.view.lock().unwrap_or_else(PoisonError::into_inner)
    }

    fn name(&self, shard: u64) -> String {
        self.run.plan().shard_name(shard)
    }

    fn is_settled(&self, shard: u64) -> Result<bool, Failure> {
        Ok(self.run.is_done(shard)? || self.run.is_dead(shard)?)
    }

    /// Claims a shard if nobody has it.
    fn look(&self, shard: u64, watched: &mut Watched) -> Result<Look, Failure> {
        if self.is_settled(shard)? {
            return Ok(Look::Settled);
        }
        let leases = self.folder.read(&self.name(shard))?;
        let newest = leases.last().cloned();
        if watched.seen != newest {
            *watched = Watched { seen: newest.clone(), since: Instant::now() };
        }
        let is_held = newest.as_ref().is_some_and(|found| found.lease().state == State::Held);
        if is_held && watched.since.elapsed() < self.time {
            return Ok(Look::Taken);
        }
        let tries: Vec<LeaseFile> =
            leases.iter().map(Found::lease).filter(|one| one.state != State::Returned).collect();
        if tries.len() >= TRIES {
            self.bury(shard, &tries)?;
            return Ok(Look::Settled);
        }
        self.take(shard, newest.map_or(0, |found| found.generation) + 1)
    }

    /// Creates a lease, unless another worker does.
    fn take(&self, shard: u64, generation: u64) -> Result<Look, Failure> {
        let name = self.name(shard);
        if !self.folder.create(&name, generation, &self.lease_file(0, State::Held, None))? {
            return Ok(Look::Taken);
        }
        // The shard may have been settled, and its leases removed, since that was asked.
        if self.is_settled(shard)? {
            self.folder.remove(&name)?;
            return Ok(Look::Settled);
        }
        Ok(Look::Claimed(Lease { shard, generation }))
    }

    /// Gives up a shard that was tried too often.
    fn bury(&self, shard: u64, tries: &[LeaseFile]) -> Result<(), Failure> {
        let reason = |lease: &LeaseFile| match &lease.reason {
            Some(reason) => format!("{}: {reason}", lease.worker),
            None => format!("{}: ended without a word", lease.worker),
        };
        Dead::new(shard, tries.iter().map(reason).collect()).keep(&self.run)?;
        self.folder.remove(&self.name(shard))
    }

    fn lease_file(&self, beat: u64, state: State, reason: Option<&str>) -> LeaseFile {
        let reason = reason.map(str::to_string);
        LeaseFile { worker: self.worker.clone(), beat, state, reason }
    }

    /// Looks at the shards that nobody had when they were passed, then at those that others had.
    fn find(&self, view: &mut View) -> Result<Option<Lease>, Failure> {
        while view.next < self.run.plan().shards() {
            let shard = view.next;
            let mut watched = Watched { seen: None, since: Instant::now() };
            let look = match view.settled.remove(&shard) {
                true => Look::Settled,
                false => self.look(shard, &mut watched)?,
            };
            view.next += 1;
            match look {
                Look::Claimed(lease) => return Ok(Some(lease)),
                Look::Taken => drop(view.watched.insert(shard, watched)),
                Look::Settled => {}
            }
        }
        let shards: Vec<u64> = view.watched.keys().copied().collect();
        for shard in shards {
            let Some(watched) = view.watched.get_mut(&shard) else { continue };
            match self.look(shard, watched)? {
                Look::Claimed(lease) => {
                    view.watched.remove(&shard);
                    return Ok(Some(lease));
                }
                Look::Taken => {}
                Look::Settled => drop(view.watched.remove(&shard)),
            }
        }
        Ok(None)
    }

    /// Removes what killed workers have left.
    fn sweep(&self) -> Result<(), Failure> {
        self.run.sweep()?;
        self.folder.sweep(|name| match self.run.plan().shard_called(name) {
            Some(shard) => self.is_settled(shard),
            None => Ok(false),
        })
    }
}

impl Engine for LeaseEngine {
    fn claim(&self) -> Result<Claim, Failure> {
        let mut view = self.view();
        if let Some(lease) = self.find(&mut view)? {
            view.beat = 0;
            return Ok(Claim::Shard(lease));
        }
        if !view.watched.is_empty() {
            return Ok(Claim::Later(self.beat()));
        }
        self.sweep()?;
        Ok(Claim::Finished)
    }

    fn keep(&self, lease: &Lease) -> Result<bool, Failure> {
        let beat = {
            let mut view = self.view();
            view.beat += 1;
            view.beat
        };
        let file = self.lease_file(beat, State::Held, None);
        self.folder.write(&self.name(lease.shard), lease.generation, &file)
    }

    fn done(&self, lease: &Lease) -> Result<(), Failure> {
        self.folder.remove(&self.name(lease.shard))
    }

    fn hand_back(&self, lease: &Lease) -> Result<(), Failure> {
        let beat = self.view().beat + 1;
        let file = self.lease_file(beat, State::Returned, None);
        self.folder.write(&self.name(lease.shard), lease.generation, &file).map(drop)
    }

    fn fail(&self, lease: &Lease, reason: &str) -> Result<bool, Failure> {
        let name = self.name(lease.shard);
        let mut view = self.view();
        let file = self.lease_file(view.beat + 1, State::Failed, Some(reason));
        if !self.folder.write(&name, lease.generation, &file)? {
            return Ok(false);
        }
        let leases = self.folder.read(&name)?;
        let tries: Vec<LeaseFile> =
            leases.iter().map(Found::lease).filter(|one| one.state != State::Returned).collect();
        if tries.len() >= TRIES {
            self.bury(lease.shard, &tries)?;
            return Ok(true);
        }
        // It is tried again after the others.
        let watched = Watched { seen: None, since: Instant::now() };
        view.watched.insert(lease.shard, watched);
        Ok(false)
    }

    fn beat(&self) -> Duration {
        self.time / BEATS
    }

    fn held(&self) -> Result<Vec<Held>, Failure> {
        held(&self.run, &self.folder)
    }
}

/// The folder of the leases of a run.
fn folder_of(run: &Run, leases: Option<PathBuf>) -> Result<PathBuf> {
    let of_run = run.store().folder().map(|folder| folder.join(LEASES));
    leases.or(of_run).ok_or_else(|| {
        let expected = "given, since the run is in a bucket: a folder that all workers see";
        Error::invalid("the folder of leases", "not", expected)
    })
}

/// Who holds leases in a folder of a run.
fn held(run: &Run, folder: &LeaseFolder) -> Result<Vec<Held>, Failure> {
    let mut held = vec![];
    for name in folder.shards()? {
        let Some(shard) = run.plan().shard_called(&name) else { continue };
        let newest = folder.read(&name)?.last().map(Found::lease);
        if let Some(lease) = newest.filter(|lease| lease.state == State::Held) {
            held.push(Held { shard, worker: lease.worker });
        }
    }
    Ok(held)
}
