//! Models by their name at the Hugging Face hub (feature `hub`).
//!
//! ```no_run
//! use hart_pipeline::backend::{DefaultBackend, default_device};
//! use hart_pipeline::{HartPipeline, Request};
//!
//! let name = "mit-han-lab/hart-0.7b-1024px";
//! let pipeline = HartPipeline::<DefaultBackend>::from_pretrained(name, &default_device())?;
//! let images = pipeline.generate(&Request::new("a red heart, flat style").seed(7))?;
//! # Ok::<(), hart_pipeline::Error>(())
//! ```
//!
//! Of a repository only the files that are read are fetched, once: they are kept in the folder that
//! Python's `huggingface_hub` uses as well, and either finds what the other has fetched. Later the
//! hub is only asked which commit a branch is at; where it cannot be reached, what is kept is used,
//! and the observer is told ([`Event::FromCache`]). A download that is interrupted goes on where
//! it ended, and a file is kept only if it has the size and the hash that the hub announced.
//! Several processes may ask for the same model at once: one fetches, the others wait.
//!
//! [`Hub`] has the settings; [`Hub::from_env`] lists the environment variables.
//!
//! # Why not the crate `hf-hub`
//! Its version 0.5 checks neither sizes nor hashes, waits at most five seconds for another process,
//! under locks that Python does not know, never gives up on a connection that went silent, and
//! cannot be stopped by an observer. Version 1.0 checks no hashes either, and brings 236 crates, an
//! asynchronous runtime among them. With what it takes to make up for that, little of either is
//! left; so this stands on [`ureq`], as 0.5 does, which brings 26.

mod builder;
mod cache;
mod check;
mod client;
mod download;
mod failure;
mod files;
mod name;
mod settings;

use std::collections::BTreeSet;
use std::path::{Path, PathBuf};
use std::time::Duration;

use hart_core::checkpoint::shards;
use hart_core::{Error, Result};

use crate::model::TransformerWeights;
use crate::observer::{Event, Observer, tell};
use crate::text::words::{SYNONYMS, WORDS};
use cache::{Cache, make_folder_of};
use check::Identity;
use client::Client;
use download::{ATTEMPTS, Remote};
use failure::{Failure, about};
use files::Wanted;

pub use name::HubName;
pub use settings::Hub;

/// The text encoder of the released model, and of every model that neither brings its own nor has
/// another one named.
pub const TEXT_ENCODER: &str = "mit-han-lab/Qwen2-VL-1.5B-Instruct";

impl Hub {
    /// Fetches what a model needs, and gives its folder. Its own text encoder, `text/`, comes
    /// along if it has one.
    ///
    /// # Errors
    /// [`Error::Hub`] when the hub has no such model, or does not let it be read, or cannot be
    /// reached, or sends something else; [`Error::Io`] when the cache cannot be written;
    /// [`Error::Cancelled`] when the observer asked to stop.
    pub fn fetch_model(
        &self,
        name: &HubName,
        weights: TransformerWeights,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        let client = Client::new(self);
        Repository::open(&client, name, observer)?.fetch_model(weights, true, observer)
    }

    /// Fetches what a text encoder needs, and gives its folder; errors as for
    /// [`Self::fetch_model`].
    pub fn fetch_text_encoder(
        &self,
        name: &HubName,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        let client = Client::new(self);
        Repository::open(&client, name, observer)?.fetch_text_encoder(observer)
    }
}

/// A repository at a commit.
struct Repository<'a> {
    client: &'a Client<'a>,
    cache: Cache,
    /// As it was asked for.
    name: HubName,
    /// At its commit.
    pinned: HubName,
    /// The files that it has; without the hub, those of them that are in the cache.
    listed: BTreeSet<String>,
    /// Why the hub is not asked, if it is not.
    unreached: Option<String>,
}

impl<'a> Repository<'a> {
    /// Asks the hub which commit is meant and what is in it, or the cache where that is not
    /// possible.
    fn open(client: &'a Client<'a>, name: &HubName, observer: &mut dyn Observer) -> Result<Self> {
        let hub = client.hub;
        let cache = Cache::new(&hub.cache, name);
        let (found, unreached) = if hub.offline {
            (None, Some("nothing is fetched while HF_HUB_OFFLINE is set".to_string()))
        } else {
            match client.list(name) {
                Ok(found) => (Some(found), None),
                Err(Failure::Passing(why)) if cache.commit(name.revision()).is_some() => {
                    (None, Some(format!("{} cannot be reached: {why}", hub.endpoint)))
                }
                Err(failure) => return Err(failure.into_error(hub, asked(name))),
            }
        };
        let (commit, listed) = match found {
            Some(found) => found,
            None => {
                let commit = cache.commit(name.revision());
                let commit = commit.ok_or_else(|| not_kept(asked(name), hub, &unreached))?;
                let listed = cache.listed(&commit);
                (commit, listed)
            }
        };
        if let Some(reason) = unreached.as_deref().filter(|_| !hub.offline) {
            tell(observer, Event::FromCache { repository: name.repository(), reason })?;
        }
        let pinned = name.at_commit(&commit);
        Ok(Self { client, cache, name: name.clone(), pinned, listed, unreached })
    }

    fn fetch_model(
        &self,
        weights: TransformerWeights,
        with_text: bool,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        let wanted = files::of_model(&self.listed, weights, with_text);
        self.fetch(wanted, "a model in the layout of the release", observer)
    }

    fn fetch_text_encoder(&self, observer: &mut dyn Observer) -> Result<PathBuf> {
        let wanted = files::of_text_encoder(&self.listed);
        self.fetch(wanted, "a Qwen2 text encoder", observer)
    }

    /// Fetches the lists of words in a folder, and gives that folder; `None` without such a list.
    fn fetch_words(&self, folder: &str, observer: &mut dyn Observer) -> Result<Option<PathBuf>> {
        let at = self.cache.snapshot(self.pinned.revision());
        for name in [WORDS, SYNONYMS].map(|name| format!("{folder}{name}")) {
            if self.listed.contains(&name) {
                self.fetch_file(&at, &name, observer)?;
            } else if name.ends_with(WORDS) {
                return Ok(None);
            }
        }
        Ok(Some(at.join(folder)))
    }

    /// Fetches what is wanted and not there yet, and gives the folder it is in. `kind` is what the
    /// repository should have been if something is missing.
    fn fetch(
        &self,
        wanted: Result<Wanted, String>,
        kind: &str,
        observer: &mut dyn Observer,
    ) -> Result<PathBuf> {
        let mut wanted = wanted.map_err(|file| self.missing(&file, kind))?;
        let folder = self.cache.snapshot(self.pinned.revision());
        let mut writes = false;
        for file in &wanted.small {
            writes |= self.fetch_file(&folder, file, observer)?;
        }
        for index in &wanted.indices {
            let beside = index.rsplit_once('/').map_or("", |(folder, _)| folder);
            for shard in shards(folder.join(index))? {
                let shard = if beside.is_empty() { shard } else { format!("{beside}/{shard}") };
                if !self.listed.contains(&shard) {
                    return Err(self.missing(&shard, kind));
                }
                wanted.large.push(shard);
            }
        }
        for file in &wanted.large {
            writes |= self.fetch_file(&folder, file, observer)?;
        }
        // Only now, so that without a network a commit that is here as a whole is found.
        match self.cache.set_commit(self.name.revision(), self.pinned.revision()) {
            // A cache that cannot be written may still have everything.
            Err(_) if !writes => Ok(folder),
            noted => noted.map(|()| folder),
        }
    }

    /// Fetches a file unless it is there; gives whether it was not.
    fn fetch_file(&self, folder: &Path, file: &str, observer: &mut dyn Observer) -> Result<bool> {
        if folder.join(file).exists() {
            return Ok(false);
        }
        if self.unreached.is_some() {
            return Err(self.missing(file, ""));
        }
        let (client, name, pinned) = (self.client, &self.name, &self.pinned);
        let identity = self.identify(file)?;
        let remote = Remote { client, name, pinned, file, identity };
        let hash = remote.identity.hash.as_str();
        let (blob, partial) = (self.cache.blob(hash), self.cache.partial(hash));
        make_folder_of(&blob)?;
        let lock = self.cache.lock(hash, || {
            // Another process fetches it: this shows how far that one is.
            let done = std::fs::metadata(&partial).map_or(0, |found| found.len());
            remote.report(done, observer)
        })?;
        let is_there = |found: std::fs::Metadata| found.len() == remote.identity.size;
        if !std::fs::metadata(&blob).is_ok_and(is_there) {
            remote.fetch(&partial, observer)?;
            std::fs::rename(&partial, &blob).map_err(|error| Error::io(&blob, error))?;
        }
        self.cache.link(pinned.revision(), file, hash)?;
        drop(lock);
        Ok(true)
    }

    /// What a file is. The hub has answered before, so it is asked some more times.
    fn identify(&self, file: &str) -> Result<Identity> {
        let mut attempt = 1;
        loop {
            match self.client.identify(&self.pinned, file) {
                Err(Failure::Passing(_)) if attempt < ATTEMPTS => {
                    std::thread::sleep(Duration::from_secs(attempt.into()));
                    attempt += 1;
                }
                found => {
                    let what = || about(&self.name, Some(file));
                    return found.map_err(|failure| failure.into_error(self.client.hub, what()));
                }
            }
        }
    }

    /// The error of a file that is needed and not there.
    fn missing(&self, file: &str, kind: &str) -> Error {
        let (hub, what) = (self.client.hub, about(&self.name, Some(file)));
        if self.unreached.is_some() {
            return not_kept(what, hub, &self.unreached);
        }
        let page = format!("{}/{}", hub.endpoint, self.name.repository());
        Error::hub(what, format!("is not at {page}, so that this is not {kind}"))
    }
}

/// A name of which nothing is known. A path of a folder that was mistyped looks the same.
fn asked(name: &HubName) -> String {
    let name = name.to_string();
    if Path::new(&name).exists() { name } else { format!("{name} (no folder here)") }
}

/// The error of something that is not in the cache where the hub cannot be asked.
fn not_kept(what: String, hub: &Hub, unreached: &Option<String>) -> Error {
    let why = unreached.as_deref().unwrap_or_default();
    Error::hub(
        what,
        format!(
            "is not kept in {}, and {why}; fetch it once with a network, or set HF_HUB_CACHE to \
             where it is kept",
            hub.cache.display()
        ),
    )
}
