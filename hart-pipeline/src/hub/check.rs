//! Whether a file is the one that the hub announced.

use std::io::{self, Read};

use sha1::Sha1;
use sha2::{Digest, Sha256};

/// What a file has to be: its size, and the hash by which the cache calls it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(super) struct Identity {
    /// Bytes.
    pub(super) size: u64,
    /// Hexadecimal digits: 64 of a SHA-256 for large files, 40 of the SHA-1 that git gives small
    /// ones.
    pub(super) hash: String,
}

impl Identity {
    /// From the hub's answers; `None` when the hash is of no known kind.
    pub(super) fn new(size: u64, tag: &str) -> Option<Self> {
        let hash = tag.trim_start_matches("W/").trim_matches('"');
        let is_hash = matches!(hash.len(), 40 | 64)
            && hash.bytes().all(|b| matches!(b, b'0'..=b'9' | b'a'..=b'f'));
        is_hash.then(|| Self { size, hash: hash.to_string() })
    }

    /// Begins to hash the file.
    pub(super) fn hasher(&self) -> Hasher {
        if self.hash.len() == 64 {
            return Hasher::Large(Sha256::new());
        }
        // Git hashes a header before the content.
        Hasher::Small(Sha1::new_with_prefix(format!("blob {}\0", self.size)))
    }
}

/// The hash of a file, growing with it.
pub(super) enum Hasher {
    Large(Sha256),
    Small(Sha1),
}

impl Hasher {
    pub(super) fn update(&mut self, bytes: &[u8]) {
        match self {
            Self::Large(hash) => hash.update(bytes),
            Self::Small(hash) => hash.update(bytes),
        }
    }

    /// Takes in all of a file, and gives how many bytes that were.
    pub(super) fn read(&mut self, file: &mut impl Read) -> io::Result<u64> {
        let mut buffer = vec![0; 1 << 20];
        let mut total = 0;
        loop {
            match file.read(&mut buffer) {
                Ok(0) => return Ok(total),
                Ok(count) => {
                    self.update(&buffer[..count]);
                    total += count as u64;
                }
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
    }

    /// Its hexadecimal digits.
    pub(super) fn finish(self) -> String {
        let bytes = match self {
            Self::Large(hash) => hash.finalize().to_vec(),
            Self::Small(hash) => hash.finalize().to_vec(),
        };
        bytes.iter().map(|byte| format!("{byte:02x}")).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn hashes_are_those_of_git_and_of_the_hub() {
        // `printf 'hello\n' | git hash-object --stdin`, and `sha256sum`.
        let small = "ce013625030ba8dba906f756967f9e9ca394464a";
        let large = "5891b5b522d5df086d0ff0b110fbd9d21bb4fc7163af34d08286a2e846f6be03";
        for hash in [small, large] {
            let mut hasher = Identity::new(6, &format!("\"{hash}\"")).expect("a hash").hasher();
            hasher.read(&mut b"hello\n".as_slice()).expect("readable");
            assert_eq!(hasher.finish(), hash);
        }
    }

    #[test]
    fn what_is_no_hash_cannot_name_a_file() {
        for tag in ["", "\"../../../etc/passwd\"", "W/\"12\"", &"G".repeat(40), &"A".repeat(64)] {
            assert_eq!(Identity::new(1, tag), None, "{tag}");
        }
    }
}
