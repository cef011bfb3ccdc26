//! Models by their name, from a hub that runs in this test.

mod fetching;
mod processes;
mod refusals;
mod server;
mod settings;

use std::ops::ControlFlow;
use std::path::{Path, PathBuf};

use hart_pipeline::hub::{Hub, HubName, TEXT_ENCODER};
use hart_pipeline::{Event, Result, TransformerWeights};
use tempfile::TempDir;

use server::{Server, files_of};

/// A model that the hub has, in the layout of the release.
const MODEL: &str = "mit-han-lab/hart-tiny";

fn fixture(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../fixtures").join(name)
}

/// A hub with a model and the text encoder that belongs to it.
fn server() -> Server {
    let server = Server::start();
    let mut files = files_of(&fixture("hart-tiny"));
    files.insert("README.md".to_string(), b"# A model".to_vec());
    server.add(MODEL, "main", files);
    server.add(TEXT_ENCODER, "main", files_of(&fixture("qwen-tiny")));
    server
}

fn folder() -> TempDir {
    tempfile::tempdir().expect("a temporary folder")
}

/// The settings of a client with an empty environment.
fn hub(server: &Server, cache: &Path) -> Hub {
    Hub::from_variables(|_| None, None).endpoint(&server.endpoint).cache(cache)
}

fn name(text: &str) -> HubName {
    text.parse().expect("a name")
}

fn fetch(hub: &Hub, model: &str) -> Result<PathBuf> {
    hub.fetch_model(&name(model), TransformerWeights::Auto, &mut ())
}

/// What is said of a model that cannot be fetched.
fn why_not(hub: &Hub, model: &str) -> String {
    fetch(hub, model).expect_err("it cannot be fetched").to_string()
}

/// An observer that stops when so many bytes of a file are here.
fn stop_at(stop: u64, part: &str) -> impl FnMut(Event<'_>) -> ControlFlow<()> {
    move |event| match event {
        Event::Download { file, done, .. } if file.contains(part) && done >= stop => {
            ControlFlow::Break(())
        }
        _ => ControlFlow::Continue(()),
    }
}
