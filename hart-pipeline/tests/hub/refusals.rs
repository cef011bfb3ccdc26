//! What is refused, and in which words.

use std::net::TcpListener;
use std::ops::ControlFlow;

use hart_pipeline::hub::HubName;
use hart_pipeline::{Error, Event, TransformerWeights};

use crate::server::{Fault, files_of};
use crate::{MODEL, fetch, fixture, folder, hub, name, server, why_not};

#[test]
fn a_file_that_is_not_what_was_announced_is_not_kept() {
    for (fault, word) in [(Fault::Damaged, "the hash"), (Fault::Short, "bytes")] {
        let (server, cache) = (server(), folder());
        let hub = hub(&server, cache.path());
        server.fault("/store/", fault);
        let why = why_not(&hub, MODEL);
        assert!(why.contains("`llm/ema_model.bin` of mit-han-lab/hart-tiny"), "{why}");
        assert!(why.contains("announced") && why.contains(word), "{why}");
        let own = cache.path().join("models--mit-han-lab--hart-tiny");
        // The two configurations alone.
        assert_eq!(files_of(&own.join("blobs")).len(), 2, "{fault:?}");
        assert!(!own.join("refs/main").exists());
        server.mend();
        fetch(&hub, MODEL).expect("a model");
    }
}

#[test]
fn small_files_are_checked_too() {
    let (server, cache) = (server(), folder());
    server.fault("/tokenizer/config.json", Fault::Damaged);
    let why = why_not(&hub(&server, cache.path()), MODEL);
    assert!(why.contains("`tokenizer/config.json`") && why.contains("the hash"), "{why}");
}

#[test]
fn refusals_say_what_to_do() {
    let (server, cache) = (server(), folder());
    let without = hub(&server, cache.path());
    let with = without.clone().token("hf_secret");
    let resolve = format!("/{MODEL}/resolve/");
    let page = format!("{}/{MODEL}", server.endpoint);
    let licence = format!("accept its licence at {page}, then set HF_TOKEN");
    let cases = [
        (&without, resolve.as_str(), Fault::Refused(401, "GatedRepo"), licence.as_str()),
        (&with, &resolve, Fault::Refused(403, "GatedRepo"), "accept the licence at"),
        (&with, &resolve, Fault::Refused(403, ""), "may not be read with your token"),
        (&with, "/api/", Fault::Refused(401, ""), "your token is not valid"),
        (&without, "/api/", Fault::Refused(401, ""), "there is no such repository"),
        (&without, &resolve, Fault::Refused(404, "EntryNotFound"), "is not at"),
        (&without, "/api/", Fault::Refused(503, ""), "cannot be reached: it answers 503"),
        (&without, "/api/", Fault::Refused(418, ""), "answers 418"),
    ];
    for (hub, path, fault, words) in cases {
        server.mend();
        server.fault(path, fault);
        let why = why_not(hub, MODEL);
        assert!(why.contains(words), "{fault:?}: {why}");
        assert!(!why.contains("secret"), "{why}");
    }
}

#[test]
fn what_the_hub_does_not_have_is_named() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    server.add("me/other", "main", [("config.json".to_string(), b"{}".to_vec())].into());
    let with_token = hub.clone().token("hf_secret");
    let cases = [
        (&hub, "me/nothing", "me/nothing: there is no such repository at"),
        (&with_token, "me/nothing", "your token may not read it"),
        (&hub, &format!("{MODEL}@v9"), "there is no revision `v9`"),
        (&hub, "me/other", "`llm/config.json` of me/other: is not at"),
    ];
    for (hub, model, words) in cases {
        let why = why_not(hub, model);
        assert!(why.contains(words), "{model}: {why}");
    }
    let why = hub.fetch_text_encoder(&name("me/other"), &mut ()).expect_err("none").to_string();
    assert!(why.contains("`tokenizer.json`") && why.contains("no"), "{why}");
    let ema = hub.fetch_model(&name("me/other"), TransformerWeights::Ema, &mut ());
    assert!(matches!(ema, Err(Error::Hub { .. })));
}

#[test]
fn without_a_network_what_is_kept_is_used() {
    let cache = folder();
    let port = TcpListener::bind("127.0.0.1:0").expect("a free port").local_addr();
    let nobody = format!("http://{}", port.expect("an address"));
    let away = hub(&server(), cache.path()).endpoint(&nobody);
    let why = why_not(&away, MODEL);
    assert!(why.contains(&format!("{nobody} cannot be reached: ")), "{why}");
    assert!(why.contains("check the network") && why.contains("(no folder here)"), "{why}");

    let at = {
        let server = server();
        fetch(&hub(&server, cache.path()), MODEL).expect("a model")
    };
    let mut told = false;
    let again =
        away.fetch_model(&name(MODEL), TransformerWeights::Auto, &mut |event: Event<'_>| {
            told |= matches!(event, Event::FromCache { repository: MODEL, .. });
            ControlFlow::Continue(())
        });
    assert_eq!(again.expect("a model"), at);
    assert!(told);
    let raw = away.fetch_model(&name(MODEL), TransformerWeights::Raw, &mut ());
    let why = raw.expect_err("it was not fetched").to_string();
    assert!(why.contains("`llm/model.safetensors`") && why.contains("is not kept in"), "{why}");
}

#[test]
fn offline_nothing_is_asked() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    let offline = hub.clone().offline(true);
    let why = why_not(&offline, MODEL);
    assert!(why.contains("is not kept in") && why.contains("HF_HUB_OFFLINE is set"), "{why}");
    let at = fetch(&hub, MODEL).expect("a model");
    server.seen();
    assert_eq!(fetch(&offline, MODEL).expect("a model"), at);
    assert!(server.seen().is_empty());
    // Half a model is none.
    std::fs::remove_file(at.join("tokenizer/model.safetensors")).expect("a link");
    let why = why_not(&offline, MODEL);
    assert!(why.contains("`tokenizer/model.safetensors`"), "{why}");
}

#[test]
fn the_token_goes_to_the_hub_and_to_nobody_else() {
    let (server, cache) = (server(), folder());
    fetch(&hub(&server, cache.path()).token("hf_secret"), MODEL).expect("a model");
    for seen in server.seen() {
        let expected = (!seen.path.starts_with("/store")).then(|| "Bearer hf_secret".to_string());
        assert_eq!(seen.token, expected, "{} {}", seen.method, seen.path);
    }
}

#[test]
fn what_could_leave_the_cache_is_no_name() {
    let text = "hart a/b/c /a/b a/ ../b a/.. a--b/c a/b@ a/b@../x a/b@x/../y a/b@/x a/b@.x \
                http://a/b a\\b/c .a/b a/b.";
    for text in text.split_whitespace() {
        let error = text.parse::<HubName>().expect_err(text);
        assert!(matches!(error, Error::Invalid { .. }), "{text}");
    }
    for text in ["a/b", "mit-han-lab/hart-0.7b-1024px", "a/b_c@refs/pr/1"] {
        assert_eq!(text.parse::<HubName>().expect("a name").to_string(), text);
    }
    let here = fixture("hart-tiny");
    assert_eq!(HubName::unless_path(&here), None);
    assert_eq!(HubName::unless_path("no-such/folder"), Some(name("no-such/folder")));
}

#[test]
fn shards_that_the_index_lists_must_be_there() {
    let (server, cache) = (server(), folder());
    let hub = hub(&server, cache.path());
    let mut files = files_of(&fixture("qwen-tiny"));
    server.add("me/text", "main", files.clone());
    let at = hub.fetch_text_encoder(&name("me/text"), &mut ()).expect("a text encoder");
    assert_eq!(files_of(&at).keys().filter(|name| name.contains("-of-")).count(), 2);
    files.remove("model-00002-of-00002.safetensors");
    server.add("me/text", "half", files);
    let half = hub.fetch_text_encoder(&name("me/text@half"), &mut ());
    let why = half.expect_err("a shard is missing").to_string();
    assert!(why.contains("`model-00002-of-00002.safetensors` of me/text@half"), "{why}");
}
