//! Files in memory as the system maps them, of checkpoints and of what is sent on: the one place that maps
//! a file.
#![allow(unsafe_code)]

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use memmap2::Mmap;

use super::content::Content;
use crate::{Error, Result};

/// A temporary file without a name, for what is too large to be in memory until it is sent on. However
/// the process ends, nothing of it is left.
#[derive(Debug)]
pub struct Spool(File);

impl Spool {
    /// Begins an empty one on the disk of a folder.
    ///
    /// # Errors
    /// [`Error::Io`] when the folder cannot be written.
    pub fn begin(folder: impl AsRef<Path>) -> Result<Self> {
        let folder = folder.as_ref();
        tempfile::tempfile_in(folder).map(Self).map_err(|error| Error::io(folder, error))
    }

    /// Its bytes, which are read from the disk when they are looked at.
    ///
    /// # Errors
    /// Those of the system.
    pub fn finish(mut self) -> io::Result<impl AsRef<[u8]> + Send + Sync + 'static> {
        self.0.flush()?;
        if self.0.metadata()?.len() == 0 {
            return Ok(Content::Held(vec![]));
        }
        // SAFETY: the mapping is read-only and private, and the file has no name and no other handle:
        // nothing can change or shorten it.
        unsafe { Mmap::map(&self.0) }.map(|map| Content::Mapped(Mapping(map)))
    }
}

impl Write for Spool {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        self.0.write(bytes)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.0.flush()
    }
}

impl AsRef<[u8]> for Content {
    fn as_ref(&self) -> &[u8] {
        self.bytes()
    }
}

/// A file mapped read-only.
#[derive(Debug)]
pub(super) struct Mapping(Mmap);

impl Content {
    /// Maps a file that is not empty.
    pub(super) fn map(path: &Path) -> Result<Self> {
        // Asked first, since to open a pipe waits for who writes into it.
        let metadata = std::fs::metadata(path).map_err(|e| Error::io(path, e))?;
        if !metadata.is_file() {
            return Err(Error::malformed(path, "a folder or device, expected a file"));
        }
        let file = File::open(path).map_err(|e| Error::io(path, e))?;
        if metadata.len() == 0 {
            let problem = crate::stand_in(&[]).unwrap_or_default();
            return Err(Error::malformed(path, problem));
        }
        // SAFETY: the mapping is read-only and private. What it cannot exclude is that another
        // process shortens the file while it is read, which ends the process with a bus error;
        // checkpoints are written once and renamed into place, never edited in place.
        let map = unsafe { Mmap::map(&file) }.map_err(|e| Error::io(path, e))?;
        Ok(Self::Mapped(Mapping(map)))
    }
}

impl Mapping {
    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        &self.0
    }

    /// Frees the memory of some bytes, as [`Content::forget`] says.
    pub(super) fn forget(&self, start: usize, length: usize) {
        #[cfg(unix)]
        {
            use memmap2::UncheckedAdvice::DontNeed;
            // SAFETY: nothing of a read-only mapping of a file is lost: a later access reads the file
            // again. A refusal costs memory, no more.
            let _ = unsafe { self.0.unchecked_advise_range(DontNeed, start, length) };
        }
        #[cfg(not(unix))]
        let _ = (start, length);
    }
}
