//! All images of a data set, read once before any work: their hashes, and those that are bad.

use std::collections::HashMap;
use std::path::{Path, PathBuf};

use hart_core::{Error, Result};
use rayon::prelude::*;

use super::records::{Images, Records, read};
use crate::hash::Hash;
use crate::training::notice::Notice;
use crate::training::observer::{TrainingEvent, TrainingObserver, report};

/// Images that are read between two reports.
const REPORTED: usize = 1024;

/// Image files by their paths, with the hashes of their bytes or what is wrong with them.
type Found = HashMap<PathBuf, Result<Hash, String>>;

/// Reads all images of some records, and says of every one that cannot be read: as one error, or,
/// with `skip`, to the observer, and its records are left out. Gives the records with the hashes of
/// their images, and a hash of all of these; where that is `known` to be of images that can be read,
/// no image is decoded.
///
/// # Errors
/// [`Error::Malformed`] with all bad files, or when no record is left, and [`Error::Cancelled`] when
/// the observer wants to stop.
pub(in crate::training) fn check_images(
    sets: Vec<Records>,
    skip: bool,
    known: Option<&str>,
    observer: &mut dyn TrainingObserver,
) -> Result<(Vec<Records>, Hash)> {
    let mut paths: Vec<PathBuf> = sets.iter().flat_map(Records::paths).collect();
    paths.sort();
    paths.dedup();
    let hash = |path: &Path| match std::fs::read(path) {
        Ok(bytes) => Ok(Hash::of(&bytes)),
        Err(error) => Err(format!("{}: {error}", path.display())),
    };
    let mut found = look(&paths, &hash, observer)?;
    if known.is_none_or(|known| all(&paths, &found).to_string() != known) {
        let hashes = found;
        let decode = |path: &Path| {
            let hash = hashes[path].clone()?;
            read(path).map(|_| hash).map_err(|error| error.to_string())
        };
        found = look(&paths, &decode, observer)?;
    }
    let bad: Vec<&String> = paths.iter().filter_map(|path| found[path].as_ref().err()).collect();
    if !bad.is_empty() && !skip {
        let list: String = bad.iter().map(|problem| format!("\n  {problem}")).collect();
        let problem = format!(
            "{} of {} images cannot be read; mend or remove them, or set `skip_bad`:{list}",
            bad.len(),
            paths.len()
        );
        return Err(Error::malformed(sets[0].path(), problem));
    }
    for image in bad {
        let notice = Notice::Skipped { image: image.clone() };
        report(observer, TrainingEvent::Notice(&notice))?;
    }
    let sets = sets.into_iter().map(|set| keep(set, &found, observer));
    let sets: Vec<Records> = sets.collect::<Result<_>>()?;
    Ok((sets, all(&paths, &found)))
}

/// What `check` finds of every image, many at once.
fn look(
    paths: &[PathBuf],
    check: &(dyn Fn(&Path) -> Result<Hash, String> + Sync),
    observer: &mut dyn TrainingObserver,
) -> Result<Found> {
    let mut found = Found::new();
    for part in paths.chunks(REPORTED) {
        let part: Vec<_> = part.par_iter().map(|path| (path.clone(), check(path))).collect();
        found.extend(part);
        if found.len() < paths.len() {
            let event = TrainingEvent::Checking { done: found.len(), images: paths.len() };
            report(observer, event)?;
        }
    }
    Ok(found)
}

/// The hash of all images that can be read, whatever they are called.
fn all(paths: &[PathBuf], found: &Found) -> Hash {
    Hash::of_all(paths.iter().filter_map(|path| found[path].as_ref().ok()))
}

/// The records whose images can be read, with their hashes.
fn keep(set: Records, found: &Found, observer: &mut dyn TrainingObserver) -> Result<Records> {
    let hashes: Vec<Option<Hash>> = match set.images() {
        Images::Folder(_) => set.paths().map(|path| found[&path].clone().ok()).collect(),
        Images::Memory(images) => {
            let sides = |image: &image::RgbImage| {
                [image.width().to_le_bytes(), image.height().to_le_bytes()].concat()
            };
            let hash = |image: &image::RgbImage| Hash::of_all([&sides(image), image.as_raw()]);
            images.iter().map(|image| Some(hash(image))).collect()
        }
    };
    let (of, path) = (set.len(), set.path().to_path_buf());
    let kept = set.with_hashes(hashes);
    let Some(kept) = kept else {
        return Err(Error::malformed(path, "no image of its records can be read"));
    };
    if kept.len() < of {
        let notice = Notice::SkippedRecords { count: of - kept.len(), of };
        report(observer, TrainingEvent::Notice(&notice))?;
    }
    Ok(kept)
}

#[cfg(test)]
mod tests {
    use std::fs;
    use std::ops::ControlFlow;
    use std::path::Path;

    use hart_core::Result;

    use super::{Records, check_images};
    use crate::hash::Hash;
    use crate::image::Pixels;
    use crate::training::observer::TrainingEvent;

    /// Three records of two colours.
    fn records(folder: &Path) -> Records {
        let image = |name: &str, colour: u8| {
            let pixels = Pixels::new(4, 4, vec![colour; 48]).expect("pixels");
            pixels.save(folder.join(name)).expect("a writable folder");
        };
        image("a.png", 1);
        image("b.png", 2);
        image("c.png", 1);
        let line = |name: &str| format!("{{\"image\":\"{name}.png\",\"captions\":[\"{name}\"]}}\n");
        let path = folder.join("records.jsonl");
        fs::write(&path, ["a", "b", "c"].map(line).concat()).expect("a writable folder");
        Records::open(path).expect("records")
    }

    /// What a check gives, with what it says.
    fn checked(sets: Vec<Records>, skip: bool) -> (Result<(Vec<Records>, Hash)>, Vec<String>) {
        let mut said = vec![];
        let mut observer = |event: TrainingEvent<'_>| {
            if let TrainingEvent::Notice(notice) = event {
                said.push(notice.to_string());
            }
            ControlFlow::Continue(())
        };
        let checked = check_images(sets, skip, None, &mut observer);
        (checked, said)
    }

    #[test]
    fn all_bad_images_are_named_or_skipped() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let records = records(folder.path());
        let (whole, said) = checked(vec![records.clone()], false);
        let (sets, hash) = whole.expect("images that can be read");
        assert!(said.is_empty());
        assert_eq!(sets[0].image_hash(0), sets[0].image_hash(2), "the same bytes");
        assert_ne!(sets[0].image_hash(0), sets[0].image_hash(1));

        fs::write(folder.path().join("a.png"), "no image").expect("a file");
        fs::remove_file(folder.path().join("c.png")).expect("a file");
        let (refused, _) = checked(vec![records.clone(), records.clone()], false);
        let refused = refused.expect_err("bad images").to_string();
        let expected = ["records.jsonl: 2 of 3 images", "a.png", "c.png", "skip_bad"];
        assert!(expected.iter().all(|part| refused.contains(part)), "{refused}");
        assert_eq!(refused.matches("a.png").count(), 1, "{refused}");

        let (skipped, said) = checked(vec![records.clone()], true);
        let (sets, other) = skipped.expect("one image");
        assert_eq!((sets[0].len(), sets[0].get(0).captions[0].as_str()), (1, "b"));
        assert_ne!(hash, other);
        assert_eq!(said.len(), 3, "{said:?}");
        assert!(said[2].starts_with("2 of 3 records are skipped"), "{said:?}");

        fs::remove_file(folder.path().join("b.png")).expect("a file");
        assert!(checked(vec![records], true).0.is_err());
    }

    #[test]
    fn known_images_are_not_decoded() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let records = records(folder.path());
        fs::write(folder.path().join("a.png"), "no image").expect("a file");
        let paths = ["a", "b", "c"].map(|name| folder.path().join(format!("{name}.png")));
        let hashes = paths.map(|path| Hash::of(&fs::read(path).expect("a file")));
        let known = Hash::of_all(hashes).to_string();
        let (sets, _) =
            check_images(vec![records], false, Some(&known), &mut ()).expect("known images");
        assert_eq!(*sets[0].image_hash(0), Hash::of(b"no image"));
    }

    #[test]
    fn records_are_known_by_content_and_order() {
        let folder = tempfile::tempdir().expect("a temporary folder");
        let records = records(folder.path());
        let path = folder.path().join("records.jsonl");
        let fingerprint = |captions: bool| {
            let records = Records::open(&path).expect("records");
            let (sets, _) = check_images(vec![records], false, None, &mut ()).expect("images");
            sets[0].fingerprint(captions).to_string()
        };
        let [images, both] = [false, true].map(fingerprint);
        let text = fs::read_to_string(&path).expect("records");
        let mut lines: Vec<&str> = text.lines().collect();
        lines.reverse();
        fs::write(&path, lines.join("\n")).expect("records");
        // The first and the last image are the same, their captions are not.
        assert_eq!(fingerprint(false), images);
        assert_ne!(fingerprint(true), both);
        fs::write(&path, lines[1..].join("\n")).expect("records");
        assert_ne!(fingerprint(false), images);
        drop(records);
    }
}
