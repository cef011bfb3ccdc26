//! Folders that are written completely or not at all.

use std::path::Path;

use anyhow::{Context, bail};
use hart_core::StagedFolder;
use image::RgbImage;
use image::codecs::png::{CompressionType, FilterType, PngEncoder};

/// A folder that is being written, beside its final place.
pub(crate) struct Unfinished {
    folder: StagedFolder,
}

impl Unfinished {
    /// Begins a folder at `place`. A folder that exists there is replaced at the end, if `force` is
    /// set and it holds `mark`, the file that identifies folders of this program.
    pub(crate) fn begin(place: &Path, mark: &str, force: bool) -> anyhow::Result<Self> {
        if place.exists() {
            if !force {
                bail!("{} is there already; `--force` replaces it", place.display());
            }
            let empty =
                || std::fs::read_dir(place).is_ok_and(|mut entries| entries.next().is_none());
            if !place.join(mark).is_file() && !empty() {
                bail!(
                    "{} was not made by this program (it has no {mark}), so it is not replaced",
                    place.display()
                );
            }
        }
        let parent = parent(place);
        std::fs::create_dir_all(parent)
            .with_context(|| format!("cannot create the folder {}", parent.display()))?;
        let folder = StagedFolder::begin(place, ".unfinished-")?;
        Ok(Self { folder })
    }

    /// Where it is being written.
    pub(crate) fn path(&self) -> &Path {
        self.folder.path()
    }

    /// Moves it to its place.
    pub(crate) fn finish(self) -> anyhow::Result<()> {
        Ok(self.folder.replace()?)
    }
}

/// The parent folder of a path.
pub(crate) fn parent(path: &Path) -> &Path {
    path.parent().filter(|parent| !parent.as_os_str().is_empty()).unwrap_or(Path::new("."))
}

/// Writes a file.
pub(crate) fn write(path: &Path, content: impl AsRef<[u8]>) -> anyhow::Result<()> {
    std::fs::write(path, content).with_context(|| format!("cannot write {}", path.display()))
}

/// Writes an image as PNG; `best` compresses it as far as possible.
pub(crate) fn write_image(path: &Path, image: &RgbImage, best: bool) -> anyhow::Result<()> {
    let compression = if best { CompressionType::Best } else { CompressionType::Default };
    let mut bytes = vec![];
    let encoder = PngEncoder::new_with_quality(&mut bytes, compression, FilterType::Adaptive);
    image.write_with_encoder(encoder).context("cannot encode an image")?;
    write(path, bytes)
}

#[cfg(test)]
mod tests {
    use super::{Unfinished, write};

    #[test]
    fn only_own_folders_are_replaced() {
        let parent = tempfile::tempdir().unwrap();
        let place = parent.path().join("set");
        let begin = |force| Unfinished::begin(&place, "dataset.json", force);
        let make = |text: &str| {
            let folder = begin(true).unwrap();
            write(&folder.path().join("dataset.json"), text).unwrap();
            folder.finish().unwrap();
        };
        make("first");
        assert!(begin(false).is_err());
        make("second");
        assert_eq!(std::fs::read(place.join("dataset.json")).unwrap(), b"second");
        std::fs::remove_file(place.join("dataset.json")).unwrap();
        write(&place.join("thesis.txt"), "years of work").unwrap();
        assert!(begin(true).is_err());
        let left = std::fs::read_dir(parent.path()).unwrap().count();
        assert_eq!(left, 1, "temporary folders are gone");
    }
}
