//! What a run begins with: its folder, and data that was looked at.

use std::path::Path;

use hart_core::{Error, Result};

use super::data::{Records, check_images};
use super::observer::TrainingObserver;
use super::run::{Content, Run, RunFolder, RunSettings};
use crate::hash::Hash;

/// The kinds of files in a folder that weights follow from.
const KINDS: [&str; 4] = ["safetensors", "bin", "json", "txt"];

/// Opens the folder of a run, which is to have a model in the folder `model`, and reads all images
/// of its records before any work. Gives the records, and the hash of the images by the key
/// `images`.
///
/// # Errors
/// Those of [`RunFolder::open`], and of [`check_images`].
pub(super) fn prepare(
    settings: &RunSettings,
    model: &str,
    sets: Vec<Records>,
    skip: bool,
    observer: &mut dyn TrainingObserver,
) -> Result<(RunFolder, Vec<Records>, Content)> {
    let folder = RunFolder::open(&settings.folder)?;
    folder.check_place(model)?;
    let before = Run::content(&folder);
    let (sets, images) = check_images(sets, skip, before.get("images"), observer)?;
    Ok((folder, sets, Content::default().with("images", images)))
}

/// The hash of all files in a folder that weights follow from; not of folders in it.
///
/// # Errors
/// [`Error::Io`] when it cannot be read.
pub(super) fn hash_folder(folder: &Path) -> Result<Hash> {
    let entries = std::fs::read_dir(folder).map_err(|error| Error::io(folder, error))?;
    let is_of_kind = |path: &std::path::PathBuf| {
        path.extension().is_some_and(|kind| KINDS.iter().any(|known| kind == *known))
    };
    let mut paths: Vec<_> = entries.flatten().map(|entry| entry.path()).collect();
    paths.retain(|path| path.is_file() && is_of_kind(path));
    paths.sort();
    let mut pieces = vec![];
    for path in paths {
        let name = path.file_name().unwrap_or_default().to_string_lossy().into_owned();
        let bytes = std::fs::read(&path).map_err(|error| Error::io(&path, error))?;
        pieces.push(Hash::of_all([name.as_bytes(), Hash::of(&bytes).as_ref()]));
    }
    Ok(Hash::of_all(pieces))
}
