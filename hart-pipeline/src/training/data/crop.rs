//! Images of any size as training images: cut to the model's aspect, resized.

use hart_core::random::{generator, uniform};
use hart_core::{Grid, Result};
use image::RgbImage;
use image::imageops::{FilterType, crop_imm, flip_horizontal_in_place, resize};
use rand::Rng;
use serde::{Deserialize, Serialize};

use crate::training::experiment::{check, check_shares};

/// The stream of a seed that augmentation draws from.
const AUGMENTATION: u64 = 120;

/// How training images are varied.
#[derive(Debug, Clone, Copy, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[non_exhaustive]
pub struct Augmentation {
    /// The share of images that are mirrored.
    pub mirror: f64,
    /// Of the largest piece of the model's aspect at least this share is kept along each side.
    pub least_crop: f64,
}

impl Augmentation {
    /// Checks both values, as those of the table `[data.augmentation]`.
    ///
    /// # Errors
    /// [`Error::Config`](hart_core::Error::Config) for the first that is out of its range.
    pub fn check(&self) -> Result<()> {
        let (mirror, least) = (self.mirror, self.least_crop);
        check_shares("data.augmentation", &[("mirror", mirror)])?;
        let fits = least > 0.0 && least <= 1.0;
        check(fits, "data.augmentation", "least_crop", least, "above 0, up to 1")
    }
}

impl Default for Augmentation {
    /// None: the largest piece in the middle, as it is.
    fn default() -> Self {
        Self { mirror: 0.0, least_crop: 1.0 }
    }
}

/// Which piece of an image is cut out.
#[derive(Debug, Clone, Copy)]
pub(super) struct Crop {
    /// Its sides over those of the largest piece of that aspect.
    share: f64,
    /// Where it lies between the edges, from 0 to 1 along x and y.
    place: [f64; 2],
    mirrored: bool,
}

impl Crop {
    /// All of the middle.
    pub(super) const MIDDLE: Self = Self { share: 1.0, place: [0.5, 0.5], mirrored: false };

    /// One drawn at the address of a seed.
    pub(super) fn draw(augmentation: &Augmentation, seed: u64, address: [u64; 2]) -> Self {
        let mut draws = generator(seed, AUGMENTATION, address);
        let mut draw = || uniform(draws.next_u64());
        let mirrored = draw() < augmentation.mirror;
        let least = augmentation.least_crop;
        let share = least + (1.0 - least) * draw();
        Self { share, place: [draw(), draw()], mirrored }
    }

    /// The piece of an image, as an image of this size.
    pub(super) fn of(self, image: &RgbImage, size: Grid) -> RgbImage {
        let (width, height) = image.dimensions();
        let [cut_width, cut_height] = self.sides([width, height], size);
        let at = |free: u32, place: f64| (f64::from(free) * place).round() as u32;
        let x = at(width - cut_width, self.place[0]);
        let y = at(height - cut_height, self.place[1]);
        let mut piece = crop_imm(image, x, y, cut_width, cut_height).to_image();
        let wanted = [size.columns as u32, size.rows as u32];
        if [cut_width, cut_height] != wanted {
            let shrinks = cut_width * cut_height > wanted[0] * wanted[1];
            let filter = if shrinks { FilterType::Triangle } else { FilterType::CatmullRom };
            piece = resize(&piece, wanted[0], wanted[1], filter);
        }
        if self.mirrored {
            flip_horizontal_in_place(&mut piece);
        }
        piece
    }

    /// Width and height of the piece: of the aspect of `size`, its tight side a share of the
    /// image's.
    fn sides(self, [width, height]: [u32; 2], size: Grid) -> [u32; 2] {
        let side = |tight: u32, over: usize, under: usize, most: u32| {
            let side = f64::from(tight) * self.share * (over as f64 / under as f64);
            (side.round() as u32).clamp(1, most)
        };
        let (rows, columns) = (size.rows, size.columns);
        let wide = u64::from(width) * rows as u64 > u64::from(height) * columns as u64;
        let tight = if wide { (height, rows) } else { (width, columns) };
        [side(tight.0, columns, tight.1, width), side(tight.0, rows, tight.1, height)]
    }
}

#[cfg(test)]
mod tests {
    use super::{Crop, Grid};

    #[test]
    fn a_piece_has_the_aspect_of_the_model() {
        let sides = |image, size, share| Crop { share, ..Crop::MIDDLE }.sides(image, size);
        let (square, wide) = (Grid::square(16), Grid::new(16, 32));
        assert_eq!(sides([100, 60], square, 1.0), [60, 60]);
        assert_eq!(sides([60, 100], square, 0.55), [33, 33]);
        assert_eq!(sides([100, 60], wide, 1.0), [100, 50]);
        assert_eq!(sides([300, 60], wide, 1.0), [120, 60]);
        assert_eq!(sides([300, 60], wide, 0.5), [60, 30]);
        assert_eq!(sides([1, 1], wide, 1.0), [1, 1]);
    }
}
