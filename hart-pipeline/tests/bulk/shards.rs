//! What a shard holds, and that it is always the same.

use std::ops::ControlFlow;
use std::time::Duration;

use hart_pipeline::bulk::{
    Assigned, BulkEvent, Engine, LeaseEngine, Manifest, Model, Outcome, Plan, Recipe, Run, Sample,
    Store, Worker, verify,
};
use hart_pipeline::core::Error;
use hart_pipeline::{HartPipeline, ImageSettings, Precision, Request};

use crate::pipelines::Failing;
use crate::{
    SHAPES, files, fingerprint, folder, leases, make, members, model, model_of, open, plan,
};

#[test]
fn bytes_do_not_depend_on_batch_worker_or_order() {
    let (alone, together) = (folder(), folder());
    let run = plan(alone.path(), SHAPES);
    let one_by_one = model_of(1);
    let worker = Worker::new(run.clone(), &one_by_one).expect("a worker");
    for shard in [2, 0, 1] {
        let engine = Assigned::new(run.clone(), shard, None).expect("a shard");
        assert_eq!(worker.work(&engine, &mut ()).expect("a shard").shards, 1);
    }
    plan(together.path(), SHAPES);
    std::thread::scope(|scope| {
        for batch in [2, 3] {
            let at = together.path();
            scope.spawn(move || {
                let (run, model) = (open(at), model_of(batch));
                let engine = leases(&run, &format!("batches of {batch}"));
                Worker::new(run, &model).expect("a worker").work(&engine, &mut ()).expect("a run");
            });
        }
    });
    let expected = files(alone.path());
    assert_eq!(expected.len(), 1 + 2 * 3, "{:?}", expected.keys());
    assert!(files(together.path()) == expected, "{:?}", files(together.path()).keys());
}

#[test]
fn a_shard_has_every_picture_with_what_is_known_of_it() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    make(&run);
    let mut seen = 0;
    for shard in 0..3 {
        let files = members(&run, shard);
        for index in run.plan().pictures_of(shard) {
            let (key, picture) = (run.plan().key(index), run.recipe().picture(index));
            let sample: Sample =
                serde_json::from_slice(&files[&format!("{key}.json")]).expect("a sample");
            assert_eq!((&sample.prompt, sample.seed), (&picture.prompt, picture.seed));
            assert_eq!((sample.outcome, sample.labels), (Outcome::Made, picture.labels));
            let png = &files[&format!("{key}.png")];
            let settings = ImageSettings::parse("a picture", png).expect("settings");
            assert_eq!(sample.settings.as_deref(), Some(&settings));
            // The very picture that the library makes of this prompt and seed.
            let request = Request::new(picture.prompt).seed(picture.seed);
            let alone = model().pipeline().generate(&request).expect("a picture");
            assert!(alone[0].to_png().expect("a file") == *png, "picture {index}");
            seen += 1;
        }
    }
    assert_eq!(seen, 6);
}

#[test]
fn work_done_twice_is_the_same_file() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    make(&run);
    let before = files(folder.path());
    // A worker was killed between tar and manifest, and while it wrote one.
    std::fs::remove_file(folder.path().join(run.manifest_name(1))).expect("a manifest");
    std::fs::write(folder.path().join("shards/000001.tar#1"), "half").expect("a file");
    let worker = Worker::new(run.clone(), model()).expect("a worker");
    assert_eq!(worker.work(&leases(&run, "again"), &mut ()).expect("a run").shards, 1);
    assert!(files(folder.path()) == before, "{:?}", files(folder.path()).keys());
    // The same of workers whose shards are assigned to them.
    std::fs::remove_file(folder.path().join(run.manifest_name(1))).expect("a manifest");
    std::fs::write(folder.path().join("shards/000001.tar#1"), "half").expect("a file");
    let engine = Assigned::new(run.clone(), 1, None).expect("a shard");
    assert_eq!(worker.work(&engine, &mut ()).expect("a run").shards, 1);
    assert!(files(folder.path()) == before, "{:?}", files(folder.path()).keys());
}

#[test]
fn a_shard_that_is_there_is_never_replaced() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    std::fs::create_dir_all(folder.path().join("shards")).expect("a folder");
    let tar = folder.path().join(run.tar_name(0));
    std::fs::write(&tar, [0; 2048]).expect("a file");
    let engine = Assigned::new(run.clone(), 0, None).expect("a shard");
    let mut reasons = vec![];
    let worker = Worker::new(run.clone(), model()).expect("a worker");
    let summary = worker.work(&engine, &mut |event: BulkEvent<'_>| {
        if let BulkEvent::Failed { reason, .. } = event {
            reasons.push(reason.to_string());
        }
        ControlFlow::Continue(())
    });
    let summary = summary.expect("a worker that goes on");
    assert_eq!((summary.failed, summary.shards), (1, 0));
    assert!(reasons[0].contains("000000.tar: it is there with the SHA-256"), "{reasons:?}");
    assert!(std::fs::read(&tar).expect("a file") == [0; 2048]);
    assert!(!folder.path().join(run.manifest_name(0)).exists());
}

#[test]
fn a_refused_prompt_costs_one_picture_and_is_recorded() {
    let folder = folder();
    let prompts = folder.path().join("prompts.csv");
    std::fs::write(&prompts, "prompt,kind\n,none\na red circle,shape\n  ,blank\na star,shape\n")
        .expect("a file");
    let recipe = folder.path().join("recipe.toml");
    std::fs::write(&recipe, "prompts.file = \"prompts.csv\"").expect("a file");
    let recipe = Recipe::from_file(&recipe).expect("a recipe");
    let at = folder.path().join("run");
    let store = Store::create_at(&at.display().to_string()).expect("a store");
    let plan = Plan::new(&recipe, fingerprint(&recipe));
    Run::create(store, recipe, plan).expect("a run");
    // The run has its own copy of the prompts.
    std::fs::remove_file(&prompts).expect("a file");
    let run = open(&at);
    make(&run);
    let files = members(&run, 0);
    assert_eq!(files.keys().filter(|name| name.ends_with(".png")).count(), 2);
    let samples: Vec<Sample> = (files.iter().filter(|(name, _)| name.ends_with(".json")))
        .map(|(_, json)| serde_json::from_slice(json).expect("a sample"))
        .collect();
    let outcomes: Vec<Outcome> = samples.iter().map(|sample| sample.outcome).collect();
    use Outcome::{Made, Refused};
    assert_eq!(outcomes, [Refused, Made, Refused, Made]);
    assert!(samples[0].reason.as_ref().is_some_and(|reason| reason.contains("prompt")));
    assert_eq!(samples[2].labels["kind"], "blank");
    assert!(verify(&run, None, &mut ()).expect("a run").findings.is_empty());
}

#[test]
fn a_picture_that_cannot_be_made_costs_no_other() {
    let (good, bad) = (folder(), folder());
    let expected = plan(good.path(), SHAPES);
    make(&expected);
    let run = plan(bad.path(), SHAPES);
    // One of the two pictures of the first shard.
    let shapes = [0, 1].map(|index| run.recipe().picture(index).prompt);
    assert_ne!(shapes[0], shapes[1]);
    let at: &'static str = Box::leak(shapes[1].clone().into_boxed_str());
    let broken = Failing::model(at, || Error::NonFinite { what: "the latent".to_string() });
    let engine = Assigned::new(run.clone(), 0, None).expect("a shard");
    let worker = Worker::new(run.clone(), &broken).expect("a worker");
    let summary = worker.work(&engine, &mut ()).expect("a shard");
    assert_eq!((summary.made, summary.without, summary.failed), (1, 1, 0));
    let (found, expected) = (members(&run, 0), members(&expected, 0));
    assert!(found["000000000.png"] == expected["000000000.png"]);
    assert!(!found.contains_key("000000001.png"));
    let sample: Sample = serde_json::from_slice(&found["000000001.json"]).expect("a sample");
    assert_eq!(sample.outcome, Outcome::Broken);
    assert!(sample.reason.is_some_and(|reason| reason.contains("not finite")));
}

#[test]
fn a_worker_that_is_not_the_plans_is_refused() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    let refused = |model: &Model| {
        let error = Worker::new(run.clone(), model).err().expect("a refusal");
        assert!(matches!(error, Error::Invalid { .. }));
        error.to_string()
    };
    let precise = HartPipeline::builder().embedded().precision(Precision::Int8);
    let precise = Model::open(precise, "flex").expect("the embedded model");
    assert!(refused(&precise).contains("precision of this worker is int8, expected f32"));
    let other = HartPipeline::open("flex", HartPipeline::builder().embedded());
    let other = Model::new(other.expect("the embedded model"), "another hash");
    assert!(refused(&other).contains("weights is another hash"), "{}", refused(&other));
    let strips = HartPipeline::builder().embedded().strip_height(16);
    let strips = Model::open(strips, "flex").expect("the embedded model");
    assert!(refused(&strips).contains("strip_height"), "{}", refused(&strips));
}

#[test]
fn a_program_of_another_version_is_refused() {
    let folder = folder();
    plan(folder.path(), SHAPES);
    let path = folder.path().join("plan.json");
    let text = std::fs::read_to_string(&path).expect("a plan");
    let store = || Store::open(&folder.path().display().to_string()).expect("a store");
    let software = format!("hart-pipeline {}", env!("CARGO_PKG_VERSION"));
    std::fs::write(&path, text.replace(&software, "hart-pipeline 0.0.1")).expect("a plan");
    let run = Run::open(store()).expect("a run");
    let error = Worker::new(run, model()).err().expect("a refusal").to_string();
    assert!(error.contains("program of this worker is hart-pipeline"), "{error}");
    for (from, to, expected) in [
        ("\"version\": 1,\n  \"program\"", "\"version\": 2,\n  \"program\"", "its version is 2"),
        ("\"pictures\"", "\"picturse\"", "not a plan"),
        ("\"shard_size\": 2", "\"shard_size\": 0", "`shard_size` is 0"),
        ("pictures = 6", "pictures = []", "not a recipe"),
    ] {
        assert!(text.contains(from), "{from}");
        std::fs::write(&path, text.replace(from, to)).expect("a plan");
        let error = Run::open(store()).expect_err(from).to_string();
        assert!(error.contains(expected) && error.contains("plan.json"), "{error}");
    }
    std::fs::remove_file(&path).expect("a plan");
    let error = Run::open(store()).expect_err("no plan").to_string();
    assert!(error.contains("plan.json: it is not there; plan the run first"), "{error}");
}

#[test]
fn a_run_is_planned_once() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    assert_eq!(plan(folder.path(), SHAPES).id(), run.id(), "the same plan again");
    let recipe = Recipe::from_toml(&SHAPES.replace("seed = 5", "seed = 6")).expect("a recipe");
    let other = Plan::new(&recipe, fingerprint(&recipe));
    let store = Store::open(&folder.path().display().to_string()).expect("a store");
    let error = Run::create(store, recipe, other).expect_err("another plan").to_string();
    assert!(error.contains("another run was planned here"), "{error}");
    assert_eq!(open(folder.path()).id(), run.id());
}

#[test]
fn a_worker_that_is_asked_to_stop_gives_its_shard_back() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    let engine = leases(&run, "stopped");
    let worker = Worker::new(run.clone(), model()).expect("a worker").grace(Duration::ZERO);
    let (mut events, mut is_asked) = (vec![], false);
    let summary = worker.work(&engine, &mut |event: BulkEvent<'_>| {
        if let BulkEvent::HandedBack { shard } = event {
            events.push(shard);
        }
        is_asked |= matches!(event, BulkEvent::Working { shard: 1, .. });
        if is_asked { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let summary = summary.expect("a worker");
    assert!(summary.is_stopped && summary.shards == 1 && events == [1], "{summary:?} {events:?}");
    // Another one has it at once, and does not wait for the end of a lease.
    let next = leases(&run, "next");
    assert!(next.held().expect("leases").is_empty());
    let summary = Worker::new(run.clone(), model()).expect("a worker").work(&next, &mut ());
    assert_eq!(summary.expect("a run").shards, 2);
    assert!(!folder.path().join("leases").exists());
}

#[test]
fn a_shard_that_is_nearly_done_is_finished_before_the_stop() {
    let folder = folder();
    let run = plan(folder.path(), SHAPES);
    let engine: LeaseEngine = leases(&run, "stopped");
    let one_by_one = model_of(1);
    let worker = Worker::new(run.clone(), &one_by_one).expect("a worker");
    let mut is_asked = false;
    let worker = worker.grace(Duration::from_secs(600));
    let summary = worker.work(&engine, &mut |event: BulkEvent<'_>| {
        is_asked |= matches!(event, BulkEvent::Working { settled: 1, .. });
        if is_asked { ControlFlow::Break(()) } else { ControlFlow::Continue(()) }
    });
    let summary = summary.expect("a worker");
    assert!(summary.is_stopped && summary.shards == 1, "{summary:?}");
    let manifest = std::fs::read(folder.path().join(run.manifest_name(0))).expect("a manifest");
    let manifest: Manifest = serde_json::from_slice(&manifest).expect("a manifest");
    assert_eq!((manifest.made, manifest.plan.as_str()), (2, run.id()));
}
