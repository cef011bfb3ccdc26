//! What killed processes have left.

use super::{Failure, Store};

impl Store {
    /// Removes from a folder what a process that was killed has left while it wrote an object: files
    /// called as the object with `#` and a number. Only those of objects that are there, and would not
    /// be created again. A bucket has none.
    pub(in crate::bulk) fn sweep(&self, folder: &str) -> Result<(), Failure> {
        let Some(root) = &self.folder else { return Ok(()) };
        let folder = root.join(folder);
        for entry in std::fs::read_dir(&folder).into_iter().flatten().flatten() {
            let name = entry.file_name().to_string_lossy().into_owned();
            let Some((object, number)) = name.rsplit_once('#') else { continue };
            let is_staged = !number.is_empty() && number.bytes().all(|c| c.is_ascii_digit());
            if is_staged && folder.join(object).exists() {
                match std::fs::remove_file(entry.path()) {
                    Err(error) if error.kind() != std::io::ErrorKind::NotFound => {
                        return Err(Failure::of_file(entry.path().display(), error));
                    }
                    _ => {}
                }
            }
        }
        Ok(())
    }
}
