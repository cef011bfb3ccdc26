//! How far a run is.

use hart_core::Result;

use super::dead::Dead;
use super::engine::Held;
use super::run::{Run, SHARDS};

/// Shards that speed is told from: those that were finished last.
const RECENT: usize = 64;

/// How far a run is.
#[derive(Debug, Clone, PartialEq)]
#[non_exhaustive]
pub struct Status {
    /// Shards of the run.
    pub shards: u64,
    /// Shards that are done.
    pub done: u64,
    /// Shards that were given up.
    pub dead: Vec<Dead>,
    /// Shards that workers have, as far as the engine tells.
    pub held: Vec<Held>,
    /// Pictures of the run.
    pub pictures: u64,
    /// Pictures in the shards that are done.
    pub pictures_done: u64,
    /// Pictures a second of all workers together, over the shards that were finished last; `None` while
    /// there are too few to tell.
    pub pictures_a_second: Option<f64>,
    /// Seconds until the rest is done, at that speed.
    pub seconds_left: Option<f64>,
}

impl Status {
    /// Looks at a run. It lists the shards that are done, and reads none.
    ///
    /// # Errors
    /// [`Error::Io`](hart_core::Error::Io) or [`Error::Store`](hart_core::Error::Store) when the run
    /// cannot be read.
    pub fn of(run: &Run, held: Vec<Held>) -> Result<Self> {
        let plan = run.plan();
        let pictures = |shard: u64| {
            let range = plan.pictures_of(shard);
            range.end - range.start
        };
        let mut done: Vec<(f64, u64)> = vec![];
        for entry in run.store().list(SHARDS)? {
            let name = entry.name.strip_suffix(".json");
            if let Some(shard) = name.and_then(|name| plan.shard_called(name)) {
                done.push((entry.written, pictures(shard)));
            }
        }
        done.sort_by(|one, other| one.0.total_cmp(&other.0));
        let pictures_done = done.iter().map(|(_, pictures)| pictures).sum::<u64>();
        let pictures_a_second = speed(&done[done.len().saturating_sub(RECENT)..]);
        let left = (plan.pictures - pictures_done.min(plan.pictures)) as f64;
        Ok(Self {
            shards: plan.shards(),
            done: done.len() as u64,
            dead: Dead::all(run)?,
            held,
            pictures: plan.pictures,
            pictures_done,
            pictures_a_second,
            seconds_left: pictures_a_second.map(|speed| left / speed),
        })
    }

    /// Whether nothing is left to do: every shard is done or given up.
    pub fn is_finished(&self) -> bool {
        self.done + self.dead.len() as u64 >= self.shards
    }
}

/// Pictures a second between the first and the last of these times.
fn speed(done: &[(f64, u64)]) -> Option<f64> {
    let ((first, _), others) = done.split_first()?;
    let time = others.last()?.0 - first;
    let pictures: u64 = others.iter().map(|(_, pictures)| pictures).sum();
    (time > 0.0).then(|| pictures as f64 / time)
}
