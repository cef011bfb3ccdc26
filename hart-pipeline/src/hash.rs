//! What data is known by: the SHA-256 hash of its bytes.

use std::fmt;

use sha2::{Digest, Sha256};

/// A SHA-256 hash; as text, 64 digits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct Hash([u8; 32]);

impl Hash {
    /// Of some bytes.
    pub(crate) fn of(bytes: &[u8]) -> Self {
        Self(Sha256::digest(bytes).into())
    }

    /// Of several pieces, told apart by their lengths.
    pub(crate) fn of_all<T: AsRef<[u8]>>(pieces: impl IntoIterator<Item = T>) -> Self {
        let mut hash = Sha256::new();
        for piece in pieces {
            let piece = piece.as_ref();
            hash.update((piece.len() as u64).to_le_bytes());
            hash.update(piece);
        }
        Self(hash.finalize().into())
    }
}

impl From<Sha256> for Hash {
    fn from(hash: Sha256) -> Self {
        Self(hash.finalize().into())
    }
}

impl AsRef<[u8]> for Hash {
    fn as_ref(&self) -> &[u8] {
        &self.0
    }
}

impl fmt::Display for Hash {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        self.0.iter().try_for_each(|byte| write!(f, "{byte:02x}"))
    }
}

#[cfg(test)]
mod tests {
    use super::Hash;

    #[test]
    fn pieces_are_told_apart() {
        let empty = "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855";
        assert_eq!(Hash::of(b"").to_string(), empty);
        assert_ne!(Hash::of_all(["ab", "c"]), Hash::of_all(["a", "bc"]));
        assert_eq!(Hash::of_all(["ab", "c"]), Hash::of_all(["ab".to_string(), "c".to_string()]));
    }
}
