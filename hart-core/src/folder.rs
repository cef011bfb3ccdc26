//! Writing files so that nothing is ever half there.

use std::fs::File;
use std::io::{self, Write};
use std::path::Path;

use crate::{Error, Result};

/// Writes `path` through a temporary file beside it that is renamed at the end: a reader sees the
/// old content or the whole new one, and a failure leaves nothing behind. Its permissions are those
/// of any new file, as the process's umask has them.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written or the disk is full.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_atomically_by(path, |file| file.write_all(bytes).map_err(|error| Error::io(path, error)))
}

/// As [`write_atomically`], of what `write` writes into the temporary file.
pub(crate) fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&mut File) -> Result<()>,
) -> Result<()> {
    let at = |source| Error::io(path, plain(source));
    let mut file = temporary("").tempfile_in(parent(path)).map_err(at)?;
    write(file.as_file_mut())?;
    file.as_file().sync_all().map_err(at)?;
    file.persist(path).map_err(|error| at(error.error))?;
    Ok(())
}

/// The folder that a path is in.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Makes temporary files and folders whose permissions are those of any new one: they become results,
/// and to change permissions afterwards is not allowed everywhere.
pub(crate) fn temporary(prefix: &str) -> tempfile::Builder<'_, '_> {
    let mut builder = tempfile::Builder::new();
    if !prefix.is_empty() {
        builder.prefix(prefix);
    }
    #[cfg(unix)]
    {
        use std::os::unix::fs::PermissionsExt;
        // Of a file, the bits to execute it are not asked for.
        let mode = if prefix.is_empty() { 0o666 } else { 0o777 };
        builder.permissions(std::fs::Permissions::from_mode(mode));
    }
    builder
}

/// The system's answer without the name of a temporary file, which tells nobody anything.
pub(crate) fn plain(error: io::Error) -> io::Error {
    if error.raw_os_error().is_some() { error } else { io::Error::from(error.kind()) }
}
