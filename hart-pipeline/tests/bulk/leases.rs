//! Who makes which shard, without a server.

use std::ops::ControlFlow;
use std::path::Path;
use std::time::{Duration, Instant};

use hart_pipeline::bulk::engine::{Claim, Held, Lease, TRIES};
use hart_pipeline::bulk::{
    Assigned, BulkEvent, Dead, Engine, Failure, LeaseEngine, Plan, Recipe, Run, Status, Store,
    Worker,
};
use hart_pipeline::core::Error;

use crate::pipelines::Failing;
use crate::{SHAPES, files, fingerprint, folder, leases, make, model, open, plan};

const SHORT: Duration = Duration::from_millis(400);

fn short(run: &Run, worker: &str) -> LeaseEngine {
    LeaseEngine::join(run.clone(), None, worker, SHORT).expect("an engine")
}

fn claimed(engine: &dyn Engine) -> Lease {
    match engine.claim().expect("an answer") {
        Claim::Shard(lease) => lease,
        other => panic!("{other:?} instead of a shard"),
    }
}

/// Asks until there is a shard; how long that took.
fn wait(engine: &dyn Engine) -> (Lease, Duration) {
    let began = Instant::now();
    loop {
        match engine.claim().expect("an answer") {
            Claim::Shard(lease) => return (lease, began.elapsed()),
            Claim::Later(_) => std::thread::sleep(Duration::from_millis(10)),
            Claim::Finished => panic!("finished"),
        }
        assert!(began.elapsed() < Duration::from_secs(60), "no shard in a minute");
    }
}

/// Settles a shard as a worker would, without making it.
fn finish(run: &Run, engine: &dyn Engine, lease: &Lease) {
    let folder = run.store().folder().expect("a folder");
    std::fs::create_dir_all(folder.join("shards")).expect("a folder");
    std::fs::write(folder.join(run.manifest_name(lease.shard)), "{}").expect("a file");
    engine.done(lease).expect("an engine");
}

#[test]
fn every_shard_is_given_to_one_worker() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    let engines = ["a", "b"].map(|name| leases(&run, name));
    let mut shards: Vec<u64> =
        [&engines[0], &engines[1], &engines[0]].map(|engine| claimed(engine).shard).to_vec();
    shards.sort_unstable();
    assert_eq!(shards, [0, 1, 2]);
    for engine in &engines {
        assert!(matches!(engine.claim().expect("an answer"), Claim::Later(_)));
    }
    let mut held: Vec<Held> = leases(&run, "c").held().expect("leases");
    held.sort_by_key(|held| held.shard);
    let held: Vec<(u64, &str)> = held.iter().map(|held| (held.shard, &*held.worker)).collect();
    assert_eq!(held, [(0, "a"), (1, "b"), (2, "a")]);
}

#[test]
fn the_shard_of_a_silent_worker_is_taken_over() {
    let folder = folder();
    let run = plan(folder.path(), &SHAPES.replace("pictures = 6", "pictures = 2"));
    let [dead, other, third] = ["dead", "other", "third"].map(|name| short(&run, name));
    let lease = claimed(&dead);
    let (taken, waited) = wait(&other);
    assert_eq!((taken.shard, taken.generation), (0, 2));
    assert!(waited >= SHORT, "after {waited:?}");
    // The first one was only paused. It learns that it has lost the shard, and harms nobody.
    assert!(!dead.keep(&lease).expect("an engine"));
    assert!(other.keep(&taken).expect("an engine"));
    dead.hand_back(&lease).expect("an engine");
    assert!(matches!(third.claim().expect("an answer"), Claim::Later(_)));
    finish(&run, &other, &taken);
    for engine in [&dead, &other, &third] {
        assert_eq!(engine.claim().expect("an answer"), Claim::Finished);
    }
    assert!(!folder.path().join("leases").exists());
}

#[test]
fn a_worker_that_is_slow_keeps_its_shard() {
    let folder = folder();
    let run = plan(folder.path(), &SHAPES.replace("pictures = 6", "pictures = 2"));
    let [slow, other] = ["slow", "other"].map(|name| short(&run, name));
    let lease = claimed(&slow);
    let began = Instant::now();
    while began.elapsed() < 4 * SHORT {
        assert!(matches!(other.claim().expect("an answer"), Claim::Later(_)));
        assert!(slow.keep(&lease).expect("an engine"));
        std::thread::sleep(SHORT / 8);
    }
}

#[test]
fn of_many_that_want_a_silent_workers_shard_one_gets_it() {
    let folder = folder();
    let run = plan(folder.path(), &SHAPES.replace("pictures = 6", "pictures = 2"));
    claimed(&short(&run, "dead"));
    let taken: usize = std::thread::scope(|scope| {
        let tasks: Vec<_> = (0..8)
            .map(|number| {
                let engine = short(&run, &format!("{number}"));
                scope.spawn(move || {
                    let began = Instant::now();
                    let mut taken = None;
                    while began.elapsed() < 3 * SHORT {
                        match (&taken, engine.claim().expect("an answer")) {
                            (None, Claim::Shard(lease)) => taken = Some(lease),
                            (Some(_), Claim::Shard(_)) => panic!("the same shard again"),
                            _ => {}
                        }
                        if let Some(lease) = &taken {
                            assert!(engine.keep(lease).expect("an engine"), "it was lost");
                        }
                        std::thread::sleep(Duration::from_millis(5));
                    }
                    usize::from(taken.is_some())
                })
            })
            .collect();
        tasks.into_iter().map(|task| task.join().expect("a worker")).sum()
    });
    assert_eq!(taken, 1);
}

#[test]
fn a_shard_that_kills_its_workers_is_given_up() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    // Each claims shard 0 first, and is never heard of again; the last one finds why.
    for number in 0..TRIES {
        let engine = short(&run, &format!("worker {number}"));
        let (lease, _) = wait(&engine);
        let lease = match lease.shard {
            0 => lease,
            _ => {
                // The others are there to be made.
                finish(&run, &engine, &lease);
                loop {
                    let (lease, _) = wait(&engine);
                    if lease.shard == 0 {
                        break lease;
                    }
                    finish(&run, &engine, &lease);
                }
            }
        };
        assert_eq!(lease.generation, number as u64 + 1);
    }
    let last = short(&run, "last");
    let began = Instant::now();
    while last.claim().expect("an answer") != Claim::Finished {
        assert!(began.elapsed() < Duration::from_secs(60), "it is still waited for");
        std::thread::sleep(SHORT / 8);
    }
    let dead = dead(&run);
    assert_eq!((dead.len(), dead[0].shard, dead[0].tries.len()), (1, 0, TRIES));
    assert_eq!(dead[0].tries[4], "worker 4: ended without a word");
    assert!(!folder.path().join("leases").exists());
}

fn dead(run: &Run) -> Vec<Dead> {
    Status::of(run, vec![]).expect("a status").dead
}

#[test]
fn a_poisoned_shard_ends_with_its_reason_and_stops_nothing() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    let prompt = run.recipe().picture(2).prompt;
    let others = [0, 1, 4, 5].map(|index| run.recipe().picture(index).prompt);
    assert!(!others.contains(&prompt), "another seed is needed");
    let at: &'static str = Box::leak(prompt.into_boxed_str());
    let poisoned = Failing::model(at, || Error::invalid("the poison", "in it", "none"));
    let worker = Worker::new(run.clone(), &poisoned).expect("a worker");
    let mut deaths = vec![];
    let summary = worker.work(&leases(&run, "one"), &mut |event: BulkEvent<'_>| {
        if let BulkEvent::Failed { shard, reason, is_dead } = event {
            deaths.push((shard, reason.to_string(), is_dead));
        }
        ControlFlow::Continue(())
    });
    let summary = summary.expect("a worker that goes on");
    assert_eq!((summary.shards, summary.failed, summary.dead), (2, TRIES as u64, 1));
    let reason = "the poison is in it, expected none".to_string();
    assert!(deaths[..4].iter().all(|death| *death == (1, reason.clone(), false)), "{deaths:?}");
    assert_eq!(deaths[4], (1, reason.clone(), true));
    let status = Status::of(&run, vec![]).expect("a status");
    assert_eq!((status.done, status.pictures_done, status.is_finished()), (2, 4, true));
    assert_eq!(status.dead[0].tries, vec![format!("one: {reason}"); TRIES]);
    // Its file taken away, it has new tries.
    std::fs::remove_file(folder.path().join(run.dead_name(1))).expect("a file");
    make_rest(&run);
    assert!(Status::of(&run, vec![]).expect("a status").dead.is_empty());
}

fn make_rest(run: &Run) {
    let worker = Worker::new(run.clone(), model()).expect("a worker");
    assert_eq!(worker.work(&leases(run, "rest"), &mut ()).expect("a run").shards, 1);
}

#[test]
fn a_worker_that_fails_always_stops_before_it_gives_up_the_run() {
    let folder = folder();
    let run = plan(folder.path(), &SHAPES.replace("pictures = 6", "pictures = 12"));
    let faulty = Failing::model("a ", || Error::invalid("the machine", "faulty", "a good one"));
    let worker = Worker::new(run.clone(), &faulty).expect("a worker");
    let error = worker.work(&leases(&run, "faulty"), &mut ()).expect_err("a failure").to_string();
    assert_eq!(error, "the machine is faulty, expected a good one");
    assert!(dead(&run).is_empty());
    make(&run);
}

#[test]
fn shards_that_are_assigned_are_made_in_steps() {
    let folder = folder();
    let run = plan(folder.path(), &SHAPES.replace("pictures = 6", "pictures = 14"));
    let shards = |first, step| {
        let engine = Assigned::new(run.clone(), first, step).expect("shards");
        let mut shards = vec![];
        while let Claim::Shard(lease) = engine.claim().expect("an answer") {
            shards.push(lease.shard);
        }
        shards
    };
    assert_eq!(
        [shards(0, Some(3)), shards(1, Some(3)), shards(2, Some(3))],
        [vec![0, 3, 6], vec![1, 4], vec![2, 5]]
    );
    assert_eq!(shards(6, None), [6]);
    assert!(shards(7, Some(10)).is_empty());
    for (first, step) in [(7, None), (3, Some(3)), (0, Some(0))] {
        let error = Assigned::new(run.clone(), first, step).expect_err("a refusal");
        assert!(matches!(error, Error::Invalid { .. }), "{first} {step:?}");
    }
}

/// An engine that is away for its first answers.
struct Away<'a> {
    inner: &'a LeaseEngine,
    left: std::sync::Mutex<u32>,
}

impl Away<'_> {
    fn answer(&self) -> Result<(), Failure> {
        let mut left = self.left.lock().expect("a number");
        *left = left.saturating_sub(1);
        match *left {
            0 => Ok(()),
            _ => Err(Failure::Passing { what: "the server".into(), why: "it is away".into() }),
        }
    }
}

impl Engine for Away<'_> {
    fn claim(&self) -> Result<Claim, Failure> {
        self.answer().and_then(|()| self.inner.claim())
    }

    fn keep(&self, lease: &Lease) -> Result<bool, Failure> {
        self.inner.keep(lease)
    }

    fn done(&self, lease: &Lease) -> Result<(), Failure> {
        self.inner.done(lease)
    }

    fn hand_back(&self, lease: &Lease) -> Result<(), Failure> {
        self.inner.hand_back(lease)
    }

    fn fail(&self, lease: &Lease, reason: &str) -> Result<bool, Failure> {
        self.inner.fail(lease, reason)
    }

    fn beat(&self) -> Duration {
        self.inner.beat()
    }

    fn held(&self) -> Result<Vec<Held>, Failure> {
        self.inner.held()
    }
}

#[test]
fn what_is_away_is_waited_for_and_that_is_said() {
    let folder = folder();
    let run = plan(folder.path(), &SHAPES.replace("pictures = 6", "pictures = 2"));
    let inner = leases(&run, "patient");
    let away = Away { inner: &inner, left: std::sync::Mutex::new(3) };
    let mut waits: Vec<Duration> = vec![];
    let worker = Worker::new(run.clone(), model()).expect("a worker");
    let summary = worker.work(&away, &mut |event: BulkEvent<'_>| {
        if let BulkEvent::Waiting { what, left } = event {
            assert_eq!(what, "the server: it is away");
            if waits.last().is_none_or(|last| left > *last) {
                waits.push(left);
            } else if let Some(last) = waits.last_mut() {
                *last = left;
            }
        }
        ControlFlow::Continue(())
    });
    assert_eq!(summary.expect("a run").shards, 1);
    assert_eq!(waits.len(), 2, "two waits, the second one longer");
    // A stop is heard while it waits.
    let away = Away { inner: &inner, left: std::sync::Mutex::new(u32::MAX) };
    let began = Instant::now();
    let summary = worker.work(&away, &mut |_: BulkEvent<'_>| ControlFlow::Break(()));
    assert!(summary.expect("a stop").is_stopped && began.elapsed() < Duration::from_secs(1));
}

/// Seconds a shard to claim and finish some shards of a run of N, by two workers in turns.
fn seconds_a_shard(folder: &Path, shards: u64, some: u64) -> f64 {
    let text = SHAPES.replace("pictures = 6", &format!("pictures = {shards}"));
    let recipe = Recipe::from_toml(&text.replace("shard_size = 2", "shard_size = 1"));
    let recipe = recipe.expect("a recipe");
    let plan = Plan::new(&recipe, fingerprint(&recipe));
    let store = Store::create_at(&folder.display().to_string()).expect("a store");
    let began = Instant::now();
    let run = Run::create(store, recipe, plan).expect("a run");
    let planned = began.elapsed();
    assert!(planned < Duration::from_secs(1), "{shards} shards planned in {planned:?}");
    let engines = ["one", "two"].map(|name| leases(&run, name));
    let began = Instant::now();
    for number in 0..some {
        let engine = &engines[number as usize % 2];
        let lease = claimed(engine);
        finish(&run, engine, &lease);
    }
    began.elapsed().as_secs_f64() / some as f64
}

#[test]
fn a_shard_costs_the_same_among_a_thousand_and_a_hundred_thousand() {
    let few = seconds_a_shard(folder().path(), 1_000, 1_000);
    let many = folder();
    // The last thousand of them, so that whatever grows has grown.
    let run = plan(many.path(), SHAPES);
    drop(run);
    std::fs::remove_file(many.path().join("plan.json")).expect("a file");
    std::fs::create_dir_all(many.path().join("shards")).expect("a folder");
    for shard in 0..99_000 {
        std::fs::write(many.path().join(format!("shards/{shard:06}.json")), "").expect("a file");
    }
    let many = seconds_a_shard(many.path(), 100_000, 1_000);
    // A folder that has more files is a little slower to look into.
    assert!(many < 3.0 * few + 1e-3, "{many} s a shard, and {few} s where there are fewer");
}

#[test]
fn a_second_run_of_finished_work_does_nothing() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    make(&run);
    let before = files(folder.path());
    let run = open(folder.path());
    let worker = Worker::new(run.clone(), model()).expect("a worker");
    assert_eq!(worker.work(&leases(&run, "late"), &mut ()).expect("a run").shards, 0);
    assert!(files(folder.path()) == before);
}
