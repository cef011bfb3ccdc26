//! What files are that are not images of a known kind.

use hart_core::stand_in;

/// How much of a file is looked at.
const BEGINNING: usize = 512;

/// Says what a file is instead of a readable image, and what helps.
pub(super) fn foreign(bytes: &[u8]) -> String {
    let found = match (kind(bytes), stand_in(bytes)) {
        (Some((kind, what_helps)), _) => format!("it is {kind}: {what_helps}"),
        (None, Some(stand_in)) => return stand_in,
        (None, None) => "it is not an image".to_string(),
    };
    format!("{found} (PNG, JPEG, WebP, GIF, BMP and TIFF files are read)")
}

/// The kind of a file that shows something, and what helps.
fn kind(bytes: &[u8]) -> Option<(&'static str, &'static str)> {
    const CONVERT: &str = "convert it";
    let beginning = &bytes[..bytes.len().min(BEGINNING)];
    let text = String::from_utf8_lossy(beginning).trim_start().to_lowercase();
    if text.starts_with("<svg") || (text.starts_with("<?xml") && text.contains("<svg")) {
        return Some(("an SVG drawing", "draw it into pixels"));
    }
    if bytes.starts_with(b"%PDF") {
        return Some(("a PDF document", CONVERT));
    }
    if bytes.starts_with(b"8BPS") {
        return Some(("a Photoshop document", CONVERT));
    }
    if bytes.starts_with(b"\xff\x0a") || bytes.starts_with(b"\0\0\0\x0cJXL ") {
        return Some(("a JPEG XL image", CONVERT));
    }
    match (beginning.get(4..8), beginning.get(8..12)) {
        (Some(b"ftyp"), Some(b"avif" | b"avis")) => Some(("an AVIF image", CONVERT)),
        (Some(b"ftyp"), Some(b"heic" | b"heix" | b"mif1" | b"msf1" | b"hevc")) => {
            Some(("a HEIC image", CONVERT))
        }
        (Some(b"ftyp"), _) => Some(("a video", "take a frame of it")),
        _ => None,
    }
}
