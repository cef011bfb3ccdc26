//! Fetching one file, from where an earlier attempt ended.

use std::fs::{File, OpenOptions};
use std::io::{ErrorKind, Read, Seek, SeekFrom, Write};
use std::path::Path;
use std::time::Duration;

use hart_core::{Error, Result};
use ureq::http::{StatusCode, header};
use ureq::{Body, http::Response};

use super::HubName;
use super::check::{Hasher, Identity};
use super::client::Client;
use super::failure::{Failure, about};
use crate::observer::{Event, Observer, tell};

/// Attempts in a row that may bring nothing.
pub(super) const ATTEMPTS: u32 = 4;
/// Bytes that are read at a time.
const CHUNK: usize = 256 << 10;

/// A file of a commit, and what it has to be.
#[derive(Debug)]
pub(super) struct Remote<'a> {
    pub(super) client: &'a Client<'a>,
    /// The repository as it was asked for, which is what people are told.
    pub(super) name: &'a HubName,
    /// The same at a commit.
    pub(super) pinned: &'a HubName,
    pub(super) file: &'a str,
    pub(super) identity: Identity,
}

/// As much of a file as has arrived.
struct Partial<'a> {
    path: &'a Path,
    file: File,
    done: u64,
    hasher: Hasher,
}

impl Remote<'_> {
    /// Fetches the file to `path`, where a part of it may be. It is there only in the end, and only
    /// if it is the right one; a part stays when the hub is not reached any more.
    pub(super) fn fetch(&self, path: &Path, observer: &mut dyn Observer) -> Result<()> {
        let mut partial = Partial::open(path, &self.identity)?;
        let resumed = partial.done > 0;
        let fetched = self.fill(&mut partial, observer).and_then(|()| partial.check(self));
        match fetched {
            // What an earlier attempt left may have been damaged since.
            Err(Wrong::File(_)) if resumed => {
                let mut partial = Partial::open(path, &self.identity)?;
                self.fill(&mut partial, observer).and_then(|()| partial.check(self))
            }
            fetched => fetched,
        }
        .map_err(|wrong| match wrong {
            Wrong::File(error) | Wrong::Other(error) => error,
        })
    }

    /// Tells the observer how far it is.
    pub(super) fn report(&self, done: u64, observer: &mut dyn Observer) -> Result<()> {
        let (file, size) = (self.file, self.identity.size);
        let repository = self.name.repository();
        tell(observer, Event::Download { repository, file, done, size })
    }

    /// Reads until everything has arrived. Cut connections are taken up where they ended.
    fn fill(&self, partial: &mut Partial<'_>, observer: &mut dyn Observer) -> Result<(), Wrong> {
        let mut in_vain = 0;
        self.report(partial.done, observer)?;
        while partial.done < self.identity.size {
            let before = partial.done;
            let why = match self.client.read(self.pinned, self.file, partial.done) {
                Ok(response) => self.take(response, partial, observer)?,
                Err(Failure::Passing(why)) => Some(why),
                Err(failure) => return Err(self.give_up(failure).into()),
            };
            in_vain = if partial.done == before { in_vain + 1 } else { 0 };
            if in_vain == ATTEMPTS {
                let why = why.unwrap_or_else(|| "it sends nothing".to_string());
                return Err(self.give_up(Failure::Passing(why)).into());
            }
            std::thread::sleep(Duration::from_secs(in_vain.into()));
        }
        Ok(())
    }

    fn give_up(&self, failure: Failure) -> Error {
        failure.into_error(self.client.hub, about(self.name, Some(self.file)))
    }

    /// Takes in an answer; gives why it ended before its time.
    fn take(
        &self,
        response: Response<Body>,
        partial: &mut Partial<'_>,
        observer: &mut dyn Observer,
    ) -> Result<Option<String>, Wrong> {
        let sent = announced(&response);
        // The hub sends the file from its beginning, or knows nothing of the rest.
        if partial.done > 0 && !matches!(sent, Sent::From(..)) {
            partial.empty(&self.identity)?;
        }
        let total = match sent {
            Sent::Nothing => return Ok(None),
            Sent::Whole(total) => total,
            Sent::From(start, total) if start == partial.done => Some(total),
            Sent::From(..) => return Ok(Some("it sends another part than asked for".to_string())),
        };
        if let Some(total) = total.filter(|total| *total != self.identity.size) {
            return Err(partial.refuse(self, format!("{total} bytes")));
        }
        let mut body = response.into_body().into_reader();
        let mut buffer = vec![0; CHUNK];
        loop {
            match body.read(&mut buffer) {
                Ok(0) => return Ok(None),
                Ok(count) => partial.add(&buffer[..count])?,
                Err(error) if error.kind() == ErrorKind::Interrupted => continue,
                Err(error) => return Ok(Some(error.to_string())),
            }
            if partial.done > self.identity.size {
                return Err(partial.refuse(self, "more bytes"));
            }
            self.report(partial.done, observer)?;
        }
    }
}

/// Which part of a file an answer has.
enum Sent {
    Nothing,
    /// All, of so many bytes if it says so.
    Whole(Option<u64>),
    /// From a byte on, of so many.
    From(u64, u64),
}

fn announced(response: &Response<Body>) -> Sent {
    let header = |name| response.headers().get(name).and_then(|value| value.to_str().ok());
    if response.status() != StatusCode::PARTIAL_CONTENT {
        let length = header(header::CONTENT_LENGTH).and_then(|length| length.parse().ok());
        return if response.status().is_success() { Sent::Whole(length) } else { Sent::Nothing };
    }
    let range = header(header::CONTENT_RANGE).and_then(|range| {
        let (part, total) = range.strip_prefix("bytes ")?.split_once('/')?;
        Some(Sent::From(part.split_once('-')?.0.parse().ok()?, total.parse().ok()?))
    });
    range.unwrap_or(Sent::Nothing)
}

impl<'a> Partial<'a> {
    fn open(path: &'a Path, identity: &Identity) -> Result<Self> {
        let options =
            OpenOptions::new().read(true).write(true).create(true).truncate(false).open(path);
        let mut file = options.map_err(|error| Error::io(path, error))?;
        let mut hasher = identity.hasher();
        let done = hasher.read(&mut file).map_err(|error| Error::io(path, error))?;
        let mut partial = Self { path, file, done, hasher };
        if done > identity.size {
            partial.empty(identity)?;
        }
        Ok(partial)
    }

    fn add(&mut self, bytes: &[u8]) -> Result<()> {
        self.file.write_all(bytes).map_err(|error| Error::io(self.path, error))?;
        self.hasher.update(bytes);
        self.done += bytes.len() as u64;
        Ok(())
    }

    fn empty(&mut self, identity: &Identity) -> Result<()> {
        self.file
            .set_len(0)
            .and_then(|()| self.file.seek(SeekFrom::Start(0)))
            .map_err(|error| Error::io(self.path, error))?;
        (self.done, self.hasher) = (0, identity.hasher());
        Ok(())
    }

    /// Whether all is there, and right.
    fn check(&mut self, remote: &Remote<'_>) -> Result<(), Wrong> {
        let hasher = std::mem::replace(&mut self.hasher, remote.identity.hasher());
        let found = hasher.finish();
        if found != remote.identity.hash {
            return Err(self.refuse(remote, format!("the hash {found}")));
        }
        self.file.sync_all().map_err(|error| Error::io(self.path, error).into())
    }

    /// Throws away what has arrived.
    fn refuse(&mut self, remote: &Remote<'_>, found: impl std::fmt::Display) -> Wrong {
        let Identity { size, hash } = &remote.identity;
        let _ = std::fs::remove_file(self.path);
        Wrong::File(Error::hub(
            about(remote.name, Some(remote.file)),
            format!(
                "{} announced {size} bytes with the hash {hash}, but what arrived has {found}; \
                 nothing of it is kept. Try again; a proxy or a mirror may be changing files",
                remote.client.hub.endpoint
            ),
        ))
    }
}

/// Why a file was not fetched.
enum Wrong {
    /// What arrived is not the file.
    File(Error),
    Other(Error),
}

impl From<Error> for Wrong {
    fn from(error: Error) -> Self {
        Self::Other(error)
    }
}
