//! What is fetched, how it is kept, and how an interrupted download goes on.

use std::ops::ControlFlow;
use std::path::Path;

use hart_pipeline::backend::{DefaultBackend, default_device};
use hart_pipeline::hub::TEXT_ENCODER;
use hart_pipeline::{Error, Event, HartPipeline, PipelineBuilder, Request, TransformerWeights};

use crate::server::{Fault, files_of, hash_of};
use crate::{MODEL, fetch, fixture, folder, hub, name, server, stop_at};

/// The file that takes longest.
const LARGE: &str = "tokenizer/model.safetensors";

fn image(builder: PipelineBuilder) -> hart_pipeline::Image {
    let pipeline = builder.build::<DefaultBackend>(&default_device()).expect("a pipeline");
    let request = Request::new("a red heart").seed(3);
    pipeline.generate(&request).expect("an image").remove(0)
}

#[test]
fn a_name_makes_the_images_of_the_folders() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    let named = image(HartPipeline::builder().pretrained(MODEL).hub(hub.clone()));
    let folders =
        HartPipeline::builder().model(fixture("hart-tiny")).text_encoder(fixture("qwen-tiny"));
    assert_eq!(named.pixels(), image(folders).pixels());
    // The name that images record fetches the same commit again.
    let recorded = named.settings().model.clone();
    assert!(recorded.starts_with(&format!("{MODEL}@")), "{recorded}");
    drop(server);
    let again = image(HartPipeline::builder().pretrained(&recorded).hub(hub));
    assert_eq!(again.pixels(), named.pixels());
}

#[test]
fn a_text_encoder_may_have_a_name_too() {
    let (server, cache) = (server(), folder());
    server.add("me/text", "v2", files_of(&fixture("qwen-tiny")));
    let builder = HartPipeline::builder()
        .model(fixture("hart-tiny"))
        .text_encoder_pretrained("me/text@v2")
        .hub(hub(&server, cache.path()));
    image(builder);
    assert!(server.seen().iter().all(|seen| !seen.path.contains(MODEL)));
}

#[test]
fn a_model_that_brings_its_text_encoder_needs_no_other() {
    let (server, cache) = (server(), folder());
    let mut files = files_of(&fixture("hart-tiny"));
    let text = files_of(&fixture("qwen-tiny")).into_iter();
    files.extend(text.map(|(name, bytes)| (format!("text/{name}"), bytes)));
    server.add("me/whole", "main", files);
    image(HartPipeline::builder().pretrained("me/whole").hub(hub(&server, cache.path())));
    assert!(server.seen().iter().all(|seen| !seen.path.contains(TEXT_ENCODER)));
}

#[test]
fn the_cache_is_laid_out_as_python_does() {
    let (server, cache) = (server(), folder());
    let at = fetch(&hub(&server, cache.path()), MODEL).expect("a model");
    let own = cache.path().join("models--mit-han-lab--hart-tiny");
    let commit = std::fs::read_to_string(own.join("refs/main")).expect("a commit");
    assert_eq!(at, own.join("snapshots").join(commit));

    let expected = files_of(&fixture("hart-tiny"));
    let kept = files_of(&at);
    let names: Vec<_> = kept.keys().map(String::as_str).collect();
    let mean = "llm/ema_model.bin";
    assert_eq!(names, ["llm/config.json", mean, "tokenizer/config.json", LARGE]);
    for (name, bytes) in &kept {
        assert!(bytes == &expected[name], "{name}");
        let link = std::fs::read_link(at.join(name)).expect("a symbolic link");
        assert_eq!(link, Path::new("../../../blobs").join(hash_of(name, bytes)));
    }
    assert_eq!(files_of(&own.join("blobs")).len(), kept.len(), "no other blobs");
}

#[test]
fn the_other_weights_are_fetched_only_when_asked_for() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    fetch(&hub, MODEL).expect("a model");
    server.seen();
    let at = hub.fetch_model(&name(MODEL), TransformerWeights::Raw, &mut ()).expect("a model");
    assert!(at.join("llm/model.safetensors").exists());
    let fetched = server.seen().into_iter().filter(|seen| seen.path.starts_with("/store")).count();
    assert_eq!(fetched, 1);
}

#[test]
fn the_words_of_a_model_come_without_its_weights() {
    let (server, cache) = (server(), folder());
    let words = |model: &str| {
        let builder = HartPipeline::builder().pretrained(model).hub(hub(&server, cache.path()));
        builder.known_words(&mut ()).expect("an answer")
    };
    assert_eq!(words(MODEL), None);
    let mut files = files_of(&fixture("hart-tiny"));
    for (name, bytes) in files_of(&fixture("qwen-tiny")) {
        files.insert(format!("text/{name}"), bytes);
    }
    files.insert("text/words.txt".to_string(), b"dog\ncat\n".to_vec());
    files.insert("text/synonyms.json".to_string(), b"{\"feline\": \"cat\"}".to_vec());
    server.add("me/words", "main", files);
    server.seen();
    let known = words("me/words").expect("words");
    assert_eq!(known.iter().collect::<Vec<_>>(), ["cat", "dog"]);
    assert_eq!(known.nearest("feline"), Some("cat"));
    let seen: Vec<String> = server.seen().into_iter().map(|seen| seen.path).collect();
    assert!(seen.iter().any(|path| path.ends_with("text/words.txt")), "{seen:?}");
    let weights = ["safetensors", ".bin", "/store"];
    assert!(!seen.iter().any(|path| weights.iter().any(|part| path.contains(part))), "{seen:?}");
}

#[test]
fn a_branch_that_moved_is_followed_and_a_commit_is_not() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    let old = fetch(&hub, MODEL).expect("a model");
    let mut files = files_of(&fixture("hart-tiny"));
    files.insert("generation.json".to_string(), b"{\"guidance\": 2.0}".to_vec());
    server.add(MODEL, "main", files);
    server.seen();
    let new = fetch(&hub, MODEL).expect("a model");
    assert_ne!(old, new);
    assert!(new.join("generation.json").exists());
    // What both commits share is not sent again.
    assert!(server.seen().iter().all(|seen| !seen.path.starts_with("/store")));
    let commit = old.file_name().and_then(|name| name.to_str()).expect("a commit");
    assert_eq!(fetch(&hub, &format!("{MODEL}@{commit}")).expect("a model"), old);
}

#[test]
fn cut_connections_are_taken_up_where_they_ended() {
    let (server, cache) = (server(), folder());
    let mebibyte = 1 << 20;
    server.fault("/store/", Fault::Cut(mebibyte));
    let at = fetch(&hub(&server, cache.path()), MODEL).expect("a model");
    assert!(files_of(&at)[LARGE] == files_of(&fixture("hart-tiny"))[LARGE]);
    let seen = server.seen();
    let last = seen.iter().rfind(|seen| seen.path.starts_with("/store/"));
    assert_eq!(last.expect("a request").range, Some(format!("bytes={}-", 5 * mebibyte)));
}

#[test]
fn a_hub_that_was_busy_once_is_asked_again() {
    let (server, cache) = (server(), folder());
    server.fault("/store/", Fault::Busy);
    fetch(&hub(&server, cache.path()), MODEL).expect("a model");
    server.fault("/resolve/", Fault::Busy);
    let raw = TransformerWeights::Raw;
    hub(&server, cache.path()).fetch_model(&name(MODEL), raw, &mut ()).expect("a model");
}

#[test]
fn a_stopped_download_goes_on_later() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    let fetch_and_stop = |stop| {
        let observer = &mut stop_at(stop, LARGE);
        hub.fetch_model(&name(MODEL), TransformerWeights::Auto, observer)
    };
    let stopped = fetch_and_stop(2 << 20).expect_err("it was stopped");
    assert!(matches!(stopped, Error::Cancelled), "{stopped}");
    server.seen();
    let mut first = None;
    let at = hub.fetch_model(&name(MODEL), TransformerWeights::Auto, &mut |event: Event<'_>| {
        if let Event::Download { done, .. } = event {
            first = first.or(Some(done));
        }
        ControlFlow::Continue(())
    });
    assert!(first.is_some_and(|done| done >= 2 << 20), "{first:?}");
    assert!(files_of(&at.expect("a model"))[LARGE] == files_of(&fixture("hart-tiny"))[LARGE]);
    let seen = server.seen();
    let ranges: Vec<_> = seen.iter().filter_map(|seen| seen.range.clone()).collect();
    let range = format!("bytes={}-", first.expect("an event"));
    assert!(!ranges.is_empty() && ranges.iter().all(|asked| *asked == range), "{ranges:?}");
}

#[test]
fn a_hub_without_ranges_sends_everything_again() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    let observer = &mut stop_at(2 << 20, LARGE);
    hub.fetch_model(&name(MODEL), TransformerWeights::Auto, observer).expect_err("stopped");
    server.fault("/store/", Fault::NoRanges);
    let at = fetch(&hub, MODEL).expect("a model");
    assert!(files_of(&at)[LARGE] == files_of(&fixture("hart-tiny"))[LARGE]);
}

#[test]
fn a_part_that_was_damaged_meanwhile_is_fetched_anew() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    let observer = &mut stop_at(2 << 20, LARGE);
    hub.fetch_model(&name(MODEL), TransformerWeights::Auto, observer).expect_err("stopped");
    let blobs = cache.path().join("models--mit-han-lab--hart-tiny/blobs");
    let parts = std::fs::read_dir(&blobs).expect("a folder").flatten();
    let part = parts.map(|entry| entry.path()).find(|path| path.extension().is_some());
    let part = part.expect("a part of a file");
    let mut bytes = std::fs::read(&part).expect("a file");
    bytes[0] ^= 1;
    std::fs::write(&part, bytes).expect("a file");
    let at = fetch(&hub, MODEL).expect("a model");
    assert!(files_of(&at)[LARGE] == files_of(&fixture("hart-tiny"))[LARGE]);
    assert!(!part.exists());
}
