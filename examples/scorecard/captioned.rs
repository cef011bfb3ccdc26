//! A contact sheet with the prompts under the images.

use font8x8::{BASIC_FONTS, UnicodeFonts};
use image::imageops::{FilterType, replace, resize};
use image::{Rgb, RgbImage};

/// Images in a row.
const COLUMNS: usize = 10;
/// The side of an image on the sheet, in pixels.
const SIDE: u32 = 128;
/// The side of a letter.
const LETTER: u32 = 8;
/// Lines of text under an image.
const LINES: usize = 4;
/// Space around an image and its text.
const MARGIN: u32 = 6;
/// The colour of the texts under images that are right.
const RIGHT: Rgb<u8> = Rgb([20, 20, 20]);
/// The colour of the others.
const WRONG: Rgb<u8> = Rgb([200, 30, 30]);

/// The sheet: each image, enlarged, over its prompt, in red where `right` says no.
pub(crate) fn sheet(images: &[RgbImage], prompts: &[String], right: &[bool]) -> RgbImage {
    let cell = [SIDE + 2 * MARGIN, SIDE + 3 * MARGIN + LINES as u32 * (LETTER + 2)];
    let rows = images.len().div_ceil(COLUMNS) as u32;
    let columns = COLUMNS.min(images.len()) as u32;
    let mut sheet = RgbImage::from_pixel(columns * cell[0], rows * cell[1], Rgb([255; 3]));
    for (place, ((image, prompt), right)) in images.iter().zip(prompts).zip(right).enumerate() {
        let x = (place % COLUMNS) as u32 * cell[0] + MARGIN;
        let y = (place / COLUMNS) as u32 * cell[1] + MARGIN;
        let image = resize(image, SIDE, SIDE, FilterType::Nearest);
        replace(&mut sheet, &image, i64::from(x), i64::from(y));
        let colour = if *right { RIGHT } else { WRONG };
        for (line, text) in wrap(prompt, (SIDE / LETTER) as usize).iter().take(LINES).enumerate() {
            let y = y + SIDE + MARGIN + line as u32 * (LETTER + 2);
            write(&mut sheet, [x, y], text, colour);
        }
    }
    sheet
}

/// A text in lines of at most `width` letters.
fn wrap(text: &str, width: usize) -> Vec<String> {
    let mut lines = vec![String::new()];
    for word in text.split_whitespace() {
        let line = lines.last_mut().expect("there is always one");
        let is_first = line.is_empty();
        if is_first || line.chars().count() + 1 + word.chars().count() <= width {
            *line += if is_first { "" } else { " " };
            *line += word;
        } else {
            lines.push(word.to_string());
        }
    }
    lines.iter().map(|line| line.chars().take(width).collect()).collect()
}

/// Writes a line of letters; those that the font has not are question marks.
fn write(sheet: &mut RgbImage, [x, y]: [u32; 2], text: &str, colour: Rgb<u8>) {
    for (place, letter) in text.chars().enumerate() {
        let rows = BASIC_FONTS.get(letter).or_else(|| BASIC_FONTS.get('?')).unwrap_or_default();
        for (dy, row) in rows.iter().enumerate() {
            for dx in (0..LETTER).filter(|dx| row >> dx & 1 == 1) {
                sheet.put_pixel(x + place as u32 * LETTER + dx, y + dy as u32, colour);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use image::{Rgb, RgbImage};

    use super::{RIGHT, WRONG, sheet, wrap};

    #[test]
    fn lines_are_no_longer_than_the_images() {
        assert_eq!(wrap("draw me a fox please", 10), ["draw me a", "fox please"]);
        assert_eq!(wrap("an extraordinarily", 8), ["an", "extraord"]);
    }

    #[test]
    fn prompts_of_wrong_images_are_red() {
        let image = RgbImage::from_pixel(4, 4, Rgb([0, 0, 255]));
        let prompts = ["a cat".to_string(), "a dog".to_string()];
        let sheet = sheet(&[image.clone(), image], &prompts, &[true, false]);
        let has = |columns: std::ops::Range<u32>, colour: Rgb<u8>| {
            sheet.enumerate_pixels().any(|(x, _, pixel)| columns.contains(&x) && *pixel == colour)
        };
        let (half, all) = (sheet.width() / 2, sheet.width());
        assert!(has(0..half, RIGHT) && !has(0..half, WRONG));
        assert!(has(half..all, WRONG) && !has(half..all, RIGHT));
    }
}
