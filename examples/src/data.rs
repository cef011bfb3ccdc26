//! Images with captions: a JSONL file beside a folder of images.

use std::fs::File;
use std::io::{BufRead, BufReader};
use std::path::{Path, PathBuf};

use anyhow::{Context, bail, ensure};
use hart_core::random::{generator, uniform};
use image::RgbImage;
use image::imageops::FilterType;
use rand::Rng;
use serde::Deserialize;

/// The stream of a seed that augmentation draws from.
const AUGMENTATION: u64 = 120;
/// The stream of a seed that the order of an epoch comes from.
const ORDER: u64 = 121;
/// The stream of a seed that captions are chosen from.
const CAPTION: u64 = 122;

/// One line of the file. Further columns are kept for those who know them.
#[derive(Debug, Clone, Deserialize)]
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
    /// A column of text.
    pub fn text(&self, key: &str) -> Option<&str> {
        self.details.get(key)?.as_str()
    }
}

/// The records of a file.
#[derive(Debug, Clone)]
pub struct Records {
    /// In the order of the file.
    pub records: Vec<Record>,
    folder: PathBuf,
}

/// How training images are varied.
#[derive(Debug, Clone, Copy, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct Augmentation {
    /// The share of images that are mirrored.
    pub mirror: f64,
    /// Of the shorter side at least this much is kept when a square is cut out.
    pub least_crop: f64,
}

impl Default for Augmentation {
    fn default() -> Self {
        Self { mirror: 0.0, least_crop: 1.0 }
    }
}

impl Records {
    /// Reads a file of records and checks that it has some, each with an image that is there and a
    /// caption.
    ///
    /// # Errors
    /// Naming the file and the line that is wrong.
    pub fn open(path: &Path) -> anyhow::Result<Self> {
        let name = path.display();
        let file = File::open(path).with_context(|| format!("cannot open the records {name}"))?;
        let folder = path.parent().unwrap_or(Path::new("")).to_path_buf();
        let mut records = vec![];
        for (line, text) in BufReader::new(file).lines().enumerate() {
            let at = || format!("{name}, line {}", line + 1);
            let text = text.with_context(at)?;
            if text.trim().is_empty() {
                continue;
            }
            let record: Record = serde_json::from_str(&text).with_context(|| {
                format!("{}: expected an object with `image` and a list `captions`", at())
            })?;
            let caption = record.captions.iter().find(|caption| !caption.trim().is_empty());
            ensure!(caption.is_some(), "{}: there is no caption", at());
            let image = folder.join(&record.image);
            ensure!(image.is_file(), "{}: there is no image {}", at(), image.display());
            records.push(record);
        }
        ensure!(!records.is_empty(), "{name} has no records");
        Ok(Self { records, folder })
    }

    /// How many there are.
    pub fn len(&self) -> usize {
        self.records.len()
    }

    /// Whether there is none; [`Self::open`] refuses such files.
    pub fn is_empty(&self) -> bool {
        self.records.is_empty()
    }

    /// An image as it is: the middle square, `side` pixels a side, `[3, side, side]` in [-1, 1].
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn image(&self, index: usize, side: usize) -> anyhow::Result<Vec<f32>> {
        Ok(planes(&self.picture(index, side)?))
    }

    /// An image as it is: the middle square, `side` pixels a side.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn picture(&self, index: usize, side: usize) -> anyhow::Result<RgbImage> {
        self.cut(index, side, 1.0, [0.5, 0.5], false)
    }

    /// An image varied at random: a square of it, perhaps mirrored. The draws are those of the
    /// address.
    ///
    /// # Errors
    /// When the image cannot be read.
    pub fn varied(
        &self,
        index: usize,
        side: usize,
        augmentation: &Augmentation,
        seed: u64,
        address: [u64; 2],
    ) -> anyhow::Result<Vec<f32>> {
        let mut draws = generator(seed, AUGMENTATION, address);
        let mut draw = || uniform(draws.next_u64());
        let mirrored = draw() < augmentation.mirror;
        let least = augmentation.least_crop;
        let share = least + (1.0 - least) * draw();
        let place = [draw(), draw()];
        Ok(planes(&self.cut(index, side, share, place, mirrored)?))
    }

    /// The caption of an image in some step: the first one for a share `plain` of the steps, else
    /// any of them.
    pub fn caption(&self, index: usize, plain: f64, seed: u64, address: [u64; 2]) -> &str {
        let captions = &self.records[index].captions;
        let mut draws = generator(seed, CAPTION, address);
        let chosen = match uniform(draws.next_u64()) < plain {
            true => 0,
            false => draws.next_u64() as usize % captions.len(),
        };
        &captions[chosen]
    }

    fn cut(
        &self,
        index: usize,
        side: usize,
        share: f64,
        place: [f64; 2],
        mirrored: bool,
    ) -> anyhow::Result<RgbImage> {
        let path = self.folder.join(&self.records[index].image);
        let image = image::open(&path)
            .with_context(|| format!("cannot read the image {}", path.display()))?;
        let image = on_white(image);
        let (width, height) = image.dimensions();
        if width == 0 || height == 0 {
            bail!("the image {} has no pixels", path.display());
        }
        let cut = ((f64::from(width.min(height)) * share).round() as u32).max(1);
        let at = |length: u32, place: f64| (f64::from(length - cut) * place).round() as u32;
        let (x, y) = (at(width, place[0]), at(height, place[1]));
        let mut square = image::imageops::crop_imm(&image, x, y, cut, cut).to_image();
        let wanted = side as u32;
        if cut != wanted {
            let filter = if cut > wanted { FilterType::Triangle } else { FilterType::CatmullRom };
            square = image::imageops::resize(&square, wanted, wanted, filter);
        }
        if mirrored {
            image::imageops::flip_horizontal_in_place(&mut square);
        }
        Ok(square)
    }
}

/// A square picture as planes `[3, side, side]` in [-1, 1].
fn planes(picture: &RgbImage) -> Vec<f32> {
    let count = (picture.width() * picture.height()) as usize;
    let mut planes = vec![0.0; 3 * count];
    for (position, pixel) in picture.pixels().enumerate() {
        for (channel, &value) in pixel.0.iter().enumerate() {
            planes[channel * count + position] = f32::from(value) / 127.5 - 1.0;
        }
    }
    planes
}

/// Transparent parts become white.
fn on_white(image: image::DynamicImage) -> RgbImage {
    if !image.color().has_alpha() {
        return image.into_rgb8();
    }
    let image = image.into_rgba8();
    RgbImage::from_fn(image.width(), image.height(), |x, y| {
        let [r, g, b, a] = image.get_pixel(x, y).0;
        let over = |value: u8| {
            let value = u32::from(value) * u32::from(a) + 255 * (255 - u32::from(a));
            ((value + 127) / 255) as u8
        };
        image::Rgb([over(r), over(g), over(b)])
    })
}

/// The order in which `count` items are visited in an epoch.
pub fn epoch_order(count: usize, seed: u64, epoch: u64) -> Vec<usize> {
    let mut draws = generator(seed, ORDER, [epoch, 0]);
    let mut keyed: Vec<(u64, usize)> = (0..count).map(|item| (draws.next_u64(), item)).collect();
    keyed.sort_unstable();
    keyed.into_iter().map(|(_, item)| item).collect()
}
