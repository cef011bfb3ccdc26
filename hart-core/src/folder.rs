//! Writing files so that nothing is ever half there.

use std::fs::File;
use std::io::Write;
use std::path::Path;

use crate::{Error, Result};

/// Writes `path` through a temporary file beside it that is renamed at the end: a reader sees the
/// old content or the whole new one, and a failure leaves nothing behind.
///
/// # Errors
/// [`Error::Io`] when the folder cannot be written or the disk is full.
pub fn write_atomically(path: impl AsRef<Path>, bytes: &[u8]) -> Result<()> {
    let path = path.as_ref();
    write_atomically_by(path, |file, _| {
        file.write_all(bytes).map_err(|error| Error::io(path, error))
    })
}

/// As [`write_atomically`], of what `write` writes into the temporary file, or over its path.
pub(crate) fn write_atomically_by(
    path: &Path,
    write: impl FnOnce(&mut File, &Path) -> Result<()>,
) -> Result<()> {
    let folder = match path.parent() {
        Some(parent) if !parent.as_os_str().is_empty() => parent,
        _ => Path::new("."),
    };
    let at = |source| Error::io(path, source);
    let mut file = tempfile::NamedTempFile::new_in(folder).map_err(at)?;
    let temporary = file.path().to_path_buf();
    write(file.as_file_mut(), &temporary)?;
    // What was written over the path may be another file than the one that was opened.
    let written = File::open(&temporary).map_err(at)?;
    written.sync_all().map_err(at)?;
    set_shared_permissions(&written).map_err(at)?;
    file.persist(path).map_err(|error| at(error.error))?;
    Ok(())
}

/// Temporary files are private to their owner; a result is an ordinary file.
#[cfg(unix)]
fn set_shared_permissions(file: &std::fs::File) -> std::io::Result<()> {
    use std::os::unix::fs::PermissionsExt;
    file.set_permissions(std::fs::Permissions::from_mode(0o644))
}

#[cfg(not(unix))]
fn set_shared_permissions(_: &std::fs::File) -> std::io::Result<()> {
    Ok(())
}
