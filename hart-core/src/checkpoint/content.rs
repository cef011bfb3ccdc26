//! The bytes of a checkpoint.

#[cfg(feature = "fs")]
use super::map::Mapping;

/// The content of a file.
#[derive(Debug)]
pub(super) enum Content {
    /// Mapped from the disk, and read when it is looked at.
    #[cfg(feature = "fs")]
    Mapped(Mapping),
    /// In memory already.
    Held(Vec<u8>),
}

impl Content {
    /// All of it.
    pub(super) fn bytes(&self) -> &[u8] {
        match self {
            #[cfg(feature = "fs")]
            Self::Mapped(mapping) => mapping.bytes(),
            Self::Held(bytes) => bytes,
        }
    }

    /// Frees the memory of some bytes that have been copied and will not be read again soon. Without
    /// it, everything of a mapped file that was ever read would count as this process's memory.
    pub(super) fn forget(&self, start: usize, length: usize) {
        match self {
            #[cfg(feature = "fs")]
            Self::Mapped(mapping) => mapping.forget(start, length),
            Self::Held(_) => _ = (start, length),
        }
    }
}
