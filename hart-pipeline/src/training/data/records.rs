//! Records: images with their captions, a JSONL file beside a folder of images or all in memory.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use hart_core::random::{generator, uniform};
use hart_core::{Error, Grid, Result};
use image::RgbImage;
use rand::Rng;
use serde::{Deserialize, Serialize};

use super::crop::{Augmentation, Crop};
use crate::hash::Hash;
use crate::image::Pixels;

/// The stream of a seed that captions are chosen from.
const CAPTION: u64 = 122;

/// One line of the file. Further columns are kept for those who know them.
#[derive(Debug, Clone, Serialize, Deserialize)]
#[non_exhaustive]
pub struct Record {
    /// The image, relative to the folder of the file.
    pub image: PathBuf,
    /// What may be asked for to get it, the plainest first.
    pub captions: Vec<String>,
    /// All other columns.
    #[serde(flatten)]
    pub details: serde_json::Map<String, serde_json::Value>,
}

impl Record {
    /// An image by its path, with its captions.
    pub fn new(image: impl Into<PathBuf>, captions: Vec<String>) -> Self {
        Self { image: image.into(), captions, details: Default::default() }
    }

    /// A column of text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.details.get(key)?.as_str()
    }

    /// What is wrong with the captions, if anything is.
    fn problem(&self) -> Option<&'static str> {
        if self.captions.is_empty() {
            return Some("there is no caption");
        }
        let is_blank = |caption: &String| caption.trim().is_empty();
        self.captions.iter().any(is_blank).then_some("a caption is blank")
    }
}

/// At least one record, each with an image and a caption.
#[derive(Debug, Clone)]
pub struct Records {
    records: Vec<Record>,
    images: Images,
    /// What errors call them: their file.
    path: PathBuf,
    /// Hashes of the images, once they were checked.
    hashes: Vec<Hash>,
}

/// Where the images are.
#[derive(Debug, Clone)]
pub(super) enum Images {
    /// In files, relative to this folder.
    Folder(PathBuf),
    /// In memory, one a record.
    Memory(Vec<RgbImage>),
}

impl Records {
    /// Reads a file of records, a JSON object with `image` and `captions` a line, and checks that
    /// it has some, each with an image that is there and with captions that are not blank.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`], naming the file and the line that is wrong.
    pub fn open(path: impl AsRef<Path>) -> Result<Self> {
        Self::read(path.as_ref(), true)
    }

    /// As [`Self::open`], but images may be missing when `images` is not set.
    pub(in crate::training) fn read(path: &Path, images: bool) -> Result<Self> {
        let file = File::open(path).map_err(|error| Error::io(path, error))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut records = vec![];
        for (line, text) in BufReader::new(file).lines().enumerate() {
            let text = text.map_err(|error| Error::io(path, error))?;
            if text.trim().is_empty() {
                continue;
            }
            let record = parse(&text).and_then(|record| {
                let image = folder.join(&record.image);
                let is_missing = images && !image.is_file();
                let problem = || format!("there is no image {}", image.display());
                if is_missing { Err(problem()) } else { Ok(record) }
            });
            let place = || format!("{}, line {}", path.display(), line + 1);
            records.push(record.map_err(|problem| Error::malformed(place(), problem))?);
        }
        if records.is_empty() {
            return Err(Error::malformed(path, "there are no records"));
        }
        let images = Images::Folder(folder);
        Ok(Self { records, images, path: path.to_path_buf(), hashes: vec![] })
    }

    /// Images in memory with their captions, the plainest first; they are called by their index.
    ///
    /// # Errors
    /// [`Error::Invalid`] when there is none, or one has no caption.
    pub fn from_images(images: impl IntoIterator<Item = (Pixels, Vec<String>)>) -> Result<Self> {
        let (mut records, mut found) = (vec![], vec![]);
        for (pixels, captions) in images {
            let record = Record::new(records.len().to_string(), captions);
            if let Some(problem) = record.problem() {
                let what = format!("the captions of image {}", records.len());
                let found = format!("{:?}: {problem}", record.captions);
                return Err(Error::invalid(what, found, "at least one, and none blank"));
            }
            records.push(record);
            found.push(pixels.try_into()?);
        }
        if records.is_empty() {
            return Err(Error::invalid("the number of records", 0, "at least 1"));
        }
        let path = PathBuf::from("the images in memory");
        Ok(Self { records, images: Images::Memory(found), path, hashes: vec![] })
    }

    /// What errors call them.
    pub(super) fn path(&self) -> &Path {
        &self.path
    }

    /// Where their images are.
    pub(super) fn images(&self) -> &Images {
        &self.images
    }

    /// The files of their images, one a record; none of those in memory.
    pub(super) fn paths(&self) -> impl Iterator<Item = PathBuf> {
        let folder = match &self.images {
            Images::Folder(folder) => Some(folder),
            Images::Memory(_) => None,
        };
        let folders = folder.into_iter();
        folders.flat_map(|folder| self.records.iter().map(|record| folder.join(&record.image)))
    }

    /// The records whose images have a hash; `None` when there is none.
    pub(super) fn with_hashes(mut self, hashes: Vec<Option<Hash>>) -> Option<Self> {
        let keep = |index: &usize| hashes[*index].is_some();
        let kept: Vec<usize> = (0..self.records.len()).filter(keep).collect();
        if let Images::Memory(images) = &mut self.images {
            *images = kept.iter().map(|&index| images[index].clone()).collect();
        }
        self.records = kept.iter().map(|&index| self.records[index].clone()).collect();
        self.hashes = hashes.into_iter().flatten().collect();
        (!self.records.is_empty()).then_some(self)
    }

    /// The hash of a record's image.
    ///
    /// # Panics
    /// When the images were not checked.
    pub(in crate::training) fn image_hash(&self, index: usize) -> &Hash {
        &self.hashes[index]
    }

    /// A hash of all that is learned from them in their order: images, and with `captions` these.
    ///
    /// # Panics
    /// When the images were not checked.
    pub(in crate::training) fn fingerprint(&self, captions: bool) -> Hash {
        let of = |(record, hash): (&Record, &Hash)| match captions {
            true => Hash::of_all([hash.as_ref(), Hash::of_all(&record.captions).as_ref()]),
            false => *hash,
        };
        assert_eq!(self.records.len(), self.hashes.len(), "the images were checked");
        Hash::of_all(self.records.iter().zip(&self.hashes).map(of))
    }

    /// How many there are.
    #[expect(clippy::len_without_is_empty, reason = "there is always one")]
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// The records in the order of the file.
    pub fn iter(&self) -> std::slice::Iter<'_, Record> {
        self.records.iter()
    }

    /// One of them.
    ///
    /// # Panics
    /// When there are fewer.
    pub fn get(&self, index: usize) -> &Record {
        &self.records[index]
    }

    /// An image as it is: its largest piece of the aspect of `size`, from the middle, in that size.
    ///
    /// # Errors
    /// [`Error::Io`] or [`Error::Malformed`] when the image cannot be read.
    ///
    /// # Panics
    /// When there are fewer records.
    pub fn image(&self, index: usize, size: Grid) -> Result<Pixels> {
        self.cut(index, size, Crop::MIDDLE)
    }

    /// An image varied at random: a piece of it in `size` pixels, perhaps mirrored. The draws are
    /// those of the address. Errors and panics as for [`Self::image`].
    pub fn varied_image(
        &self,
        index: usize,
        size: Grid,
        augmentation: &Augmentation,
        seed: u64,
        address: [u64; 2],
    ) -> Result<Pixels> {
        self.cut(index, size, Crop::draw(augmentation, seed, address))
    }

    /// The caption of an image in some step: the first one for a share `plain` of the steps, else
    /// any of them.
    ///
    /// # Panics
    /// When there are fewer records.
    pub fn caption(&self, index: usize, plain: f64, seed: u64, address: [u64; 2]) -> &str {
        let captions = &self.records[index].captions;
        let mut draws = generator(seed, CAPTION, address);
        let is_plain = uniform(draws.next_u64()) < plain;
        let chosen = if is_plain { 0 } else { draws.next_u64() as usize % captions.len() };
        &captions[chosen]
    }

    /// All captions of all records.
    pub fn captions(&self) -> impl Iterator<Item = &str> + Clone + Send {
        self.records.iter().flat_map(|record| record.captions.iter().map(String::as_str))
    }

    fn cut(&self, index: usize, size: Grid, crop: Crop) -> Result<Pixels> {
        let cut = match &self.images {
            Images::Memory(images) => crop.of(&images[index], size),
            Images::Folder(folder) => {
                crop.of(&read(&folder.join(&self.records[index].image))?, size)
            }
        };
        Pixels::new(size.columns, size.rows, cut.into_raw())
    }
}

/// One line of a file; the error says what is wrong with it.
fn parse(text: &str) -> Result<Record, String> {
    let record: Record = serde_json::from_str(text).map_err(|error| {
        format!("expected an object with `image` and a list `captions`: {error}")
    })?;
    match record.problem() {
        Some(problem) => Err(problem.to_string()),
        None => Ok(record),
    }
}

/// An image file as the `image` crate holds it.
pub(super) fn read(path: &Path) -> Result<RgbImage> {
    Pixels::open(path)?.try_into()
}
