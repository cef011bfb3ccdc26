//! Writing a tar that is the same whoever writes it.

use std::io::{self, BufWriter, Write};

use hart_core::Spool;
use sha2::{Digest, Sha256};

use super::manifest::FileHash;
use crate::hash::Hash;

/// A tar on its way, in a temporary file.
pub(super) struct TarWriter {
    tar: tar::Builder<Hashed>,
    files: Vec<FileHash>,
}

/// Hashes what is written.
struct Hashed {
    file: BufWriter<Spool>,
    hash: Sha256,
    bytes: u64,
}

impl TarWriter {
    pub(super) fn new(file: Spool) -> Self {
        let hashed = Hashed { file: BufWriter::new(file), hash: Sha256::new(), bytes: 0 };
        Self { tar: tar::Builder::new(hashed), files: vec![] }
    }

    /// Adds a file. Time and owner are nobody's.
    pub(super) fn add(&mut self, name: String, content: &[u8]) -> io::Result<()> {
        let mut header = tar::Header::new_ustar();
        header.set_entry_type(tar::EntryType::Regular);
        header.set_size(content.len() as u64);
        header.set_mode(0o644);
        header.set_mtime(0);
        header.set_uid(0);
        header.set_gid(0);
        self.tar.append_data(&mut header, &name, content)?;
        let sha256 = Hash::of(content).to_string();
        self.files.push(FileHash { name, bytes: content.len() as u64, sha256 });
        Ok(())
    }

    /// The file, what it is called and known by, and the files in it.
    pub(super) fn finish(self, name: String) -> io::Result<(Spool, FileHash, Vec<FileHash>)> {
        let Hashed { file, hash, bytes } = self.tar.into_inner()?;
        let spool = file.into_inner().map_err(io::IntoInnerError::into_error)?;
        let sha256 = Hash::from(hash).to_string();
        Ok((spool, FileHash { name, bytes, sha256 }, self.files))
    }
}

impl Write for Hashed {
    fn write(&mut self, bytes: &[u8]) -> io::Result<usize> {
        let count = self.file.write(bytes)?;
        self.hash.update(&bytes[..count]);
        self.bytes += count as u64;
        Ok(count)
    }

    fn flush(&mut self) -> io::Result<()> {
        self.file.flush()
    }
}
