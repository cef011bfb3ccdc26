//! Writing files so that nothing is ever half there.

use std::fs::{self, File, OpenOptions};
use std::io::{self, ErrorKind, Write};
use std::path::{Path, PathBuf};

use crate::{Error, Result};

/// How many symbolic links lead to a file at most, as on Linux.
const MAX_LINKS: usize = 40;

/// Writes `path` through a temporary file beside it that is renamed at the end: a reader sees the
/// old content or the whole new one, and a failure leaves nothing behind.
///
/// A new file has the permissions that the user's mask leaves, a replaced one keeps its own. A
/// symbolic link stays, and what it leads to is written. Pipes and devices are written to.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written or the disk is full.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_atomically_by(path, |file| file.write_all(bytes).map_err(|error| Error::io(path, error)))
}

/// Finds out whether [`write_atomically`] could write `path`, before the work whose result it
/// shall be. Nothing is left behind, and an existing file stays as it is.
///
/// # Errors
/// [`Error::Io`], naming `path`: it is a folder, its folder is not there or cannot be written, or
/// it is a device that cannot be opened. Whether there is room is not known.
pub fn check_writable(path: impl AsRef<Path>) -> Result<()> {
    let path = path.as_ref();
    let at = |source| Error::io(path, source);
    match Target::of(path).map_err(at)? {
        Target::File(file) => temporary_beside(&file).map(drop).map_err(at),
        // To open a pipe would be to wait for its reader.
        Target::Stream { is_device: false } => Ok(()),
        Target::Stream { is_device: true } => {
            OpenOptions::new().write(true).open(path).map(drop).map_err(at)
        }
    }
}

/// As [`write_atomically`], of what `write` writes into the file.
pub(crate) fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    let at = |source| Error::io(path, source);
    let target = match Target::of(path).map_err(at)? {
        Target::File(file) => file,
        Target::Stream { .. } => {
            let mut stream = OpenOptions::new().write(true).open(path).map_err(at)?;
            return write(&mut stream);
        }
    };
    let mut file = temporary_beside(&target).map_err(at)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(at)?;
    if let Ok(replaced) = fs::metadata(&target) {
        // Some file systems know no permissions, and refuse to set them.
        let _ = file.as_file().set_permissions(replaced.permissions());
    }
    file.persist(&target).map_err(|error| at(error.error))?;
    Ok(())
}

/// What a path leads to.
enum Target {
    /// A file, which may not be there yet: the path without symbolic links.
    File(PathBuf),
    /// A device or a pipe, which is written to and not replaced.
    Stream {
        /// Whether it is a device and not a pipe.
        is_device: bool,
    },
}

impl Target {
    fn of(path: &Path) -> io::Result<Self> {
        let is_folder = || io::Error::from(ErrorKind::IsADirectory);
        if path.as_os_str().as_encoded_bytes().ends_with(b"/") || path.file_name().is_none() {
            return Err(is_folder());
        }
        match fs::metadata(path) {
            Ok(found) if found.is_dir() => Err(is_folder()),
            Ok(found) if found.is_file() => Ok(Self::File(fs::canonicalize(path)?)),
            Ok(found) => Ok(Self::Stream { is_device: !is_pipe(&found) }),
            Err(error) if error.kind() == ErrorKind::NotFound => follow(path).map(Self::File),
            Err(error) => Err(error),
        }
    }
}

/// The file that a path names which is not there: its own, or the one that links lead to.
fn follow(path: &Path) -> io::Result<PathBuf> {
    let mut path = path.to_path_buf();
    for _ in 0..MAX_LINKS {
        let Ok(next) = fs::read_link(&path) else { return Ok(path) };
        path = parent(&path).join(next);
    }
    Err(io::Error::other("too many symbolic links"))
}

#[cfg(unix)]
fn is_pipe(found: &fs::Metadata) -> bool {
    use std::os::unix::fs::FileTypeExt;
    found.file_type().is_fifo() || found.file_type().is_socket()
}

#[cfg(not(unix))]
fn is_pipe(_: &fs::Metadata) -> bool {
    true
}

/// The folder that a path is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// A temporary file in the folder of `path`. It is opened as any new file, so that it has the
/// permissions of one, and so that errors do not name it: it means nothing to anyone.
fn temporary_beside(path: &Path) -> io::Result<tempfile::NamedTempFile> {
    let create =
        |path: &Path| OpenOptions::new().read(true).write(true).create_new(true).open(path);
    tempfile::Builder::new().make_in(parent(path), create)
}
