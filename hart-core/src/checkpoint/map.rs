//! The bytes of a checkpoint: the one place that maps a file into memory.
#![allow(unsafe_code)]

use std::fs::File;
use std::path::Path;

use memmap2::Mmap;

use crate::{Error, Result};

/// A file mapped read-only, or its content.
#[derive(Debug)]
pub(super) enum MappedFile {
    /// Mapped from the disk.
    Mapped(Mmap),
    /// In memory already.
    Held(Vec<u8>),
}

impl MappedFile {
    /// Maps a file that is not empty.
    pub(super) fn open(path: &Path) -> Result<Self> {
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
        Ok(Self::Mapped(map))
    }

    /// Frees the memory of some bytes that have been copied and will not be read again soon. Without
    /// it, everything that was ever read would count as this process's memory.
    pub(super) fn forget(&self, start: usize, length: usize) {
        #[cfg(unix)]
        if let Self::Mapped(map) = self {
            use memmap2::UncheckedAdvice;
            // SAFETY: nothing of a read-only mapping of a file is lost: a later access reads the file
            // again. A refusal costs memory, no more.
            let _ = unsafe { map.unchecked_advise_range(UncheckedAdvice::DontNeed, start, length) };
        }
        #[cfg(not(unix))]
        let _ = (start, length);
    }

    /// The whole file.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            Self::Mapped(map) => map,
            Self::Held(bytes) => bytes,
        }
    }
}
