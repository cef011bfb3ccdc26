//! The chunks of a WebP file.

/// Whether a chunk of a WebP file goes on after the end of the file. Decoders make room for what a
/// chunk says it holds, up to 4 GiB, before they read it.
pub(super) fn is_cut_off(file: &[u8]) -> bool {
    inside(file).is_none_or(|inside| Chunks(inside).any(|chunk| chunk.is_err()))
}

/// Whether the image of a WebP file, or one of its frames, is larger than the file says at its
/// beginning. Decoders make room for it before they compare the two.
pub(super) fn is_larger_than_its_canvas(file: &[u8]) -> bool {
    let chunks = || Chunks(inside(file).unwrap_or_default()).map_while(Result::ok);
    let canvas = chunks().find_map(|(name, content)| match (name, content.get(4..10)?) {
        (b"VP8X", &[a, b, c, d, e, f]) => {
            Some([[a, b, c, 0], [d, e, f, 0]].map(|side| u32::from_le_bytes(side) + 1))
        }
        _ => None,
    });
    // Without a canvas there is one image, whose size is the one that is read.
    let Some(canvas) = canvas else { return false };
    let is_larger = |(name, content): (&[u8; 4], &[u8])| {
        size(name, content).is_some_and(|size| size[0] > canvas[0] || size[1] > canvas[1])
    };
    chunks().any(|(name, content)| {
        // A frame's place and time come before its chunks.
        let frame = if name == b"ANMF" { content.get(16..) } else { None };
        let mut parts = Chunks(frame.unwrap_or_default()).map_while(Result::ok);
        is_larger((name, content)) || parts.any(is_larger)
    })
}

/// Width and height of the image in a chunk.
fn size(name: &[u8; 4], content: &[u8]) -> Option<[u32; 2]> {
    match name {
        b"VP8 " => {
            let sides = content.get(6..10)?;
            Some([[sides[0], sides[1]], [sides[2], sides[3]]].map(|side| {
                // The two upper bits are for scaling.
                u32::from(u16::from_le_bytes(side) & 0x3fff)
            }))
        }
        b"VP8L" => {
            let bits = u32::from_le_bytes(content.get(1..5)?.try_into().ok()?);
            Some([bits & 0x3fff, bits >> 14 & 0x3fff].map(|side| side + 1))
        }
        _ => None,
    }
}

/// The chunks of a file, without bytes that follow them: it is `RIFF`, the size of what follows,
/// `WEBP`, chunks.
fn inside(file: &[u8]) -> Option<&[u8]> {
    let (head, content) = file.split_first_chunk::<8>()?;
    let size = u32::from_le_bytes([head[4], head[5], head[6], head[7]]) as usize;
    Some(content[..size.min(content.len())].get(4..).unwrap_or_default())
}

/// Chunks with their names; the last one is an error when it is cut off.
struct Chunks<'a>(&'a [u8]);

impl<'a> Iterator for Chunks<'a> {
    type Item = Result<(&'a [u8; 4], &'a [u8]), ()>;

    fn next(&mut self) -> Option<Self::Item> {
        // A name of four bytes, a size, so much content, and a byte more if that is odd.
        let (name, rest) = self.0.split_first_chunk::<4>()?;
        let (size, rest) = rest.split_first_chunk::<4>()?;
        let size = u32::from_le_bytes(*size) as usize;
        self.0 = rest.get(size.next_multiple_of(2)..).unwrap_or_default();
        Some(rest.get(..size).map(|content| (name, content)).ok_or(()))
    }
}

#[cfg(test)]
mod tests {
    use super::{is_cut_off, is_larger_than_its_canvas};

    #[test]
    fn chunks_end_in_the_file() {
        let file = |all: u8, last: u8| {
            let riff = [&b"RIFF"[..], &[all, 0, 0, 0], b"WEBP"].concat();
            [&riff[..], b"abcd\x03\0\0\0xyz\0", b"efgh", &[last, 0, 0, 0], b"12345"].concat()
        };
        assert!(!is_cut_off(&file(29, 4)));
        assert!(!is_cut_off(&file(29, 5)));
        assert!(is_cut_off(&file(29, 6)));
        assert!(is_cut_off(&file(29, 5)[..36]));
        assert!(!is_cut_off(&file(255, 5)), "the size of the whole is often wrong");
        assert!(!is_cut_off(&file(16, 255)), "what follows the image is nothing of it");
        assert!(is_cut_off(b"RIFF"));
    }

    #[test]
    fn images_fit_on_their_canvas() {
        let file = |chunks: &[(&[u8; 4], &[u8])]| {
            let mut file = b"RIFF\xff\xff\0\0WEBP".to_vec();
            for (name, content) in chunks {
                file.extend(*name);
                file.extend((content.len() as u32).to_le_bytes());
                file.extend(*content);
            }
            file
        };
        // 8 × 6 pixels, and as sides of a lossy image: 8 and 6 with the bits for scaling.
        let canvas = [0, 0, 0, 0, 7, 0, 0, 5, 0, 0];
        let lossy = |width: u8, height: u8| [0, 0, 0, 0x9d, 1, 0x2a, width, 0x40, height, 0x80];
        let lossless = |width: u32, height: u32| {
            let bits = (width - 1) | (height - 1) << 14;
            [&[0x2f][..], &bits.to_le_bytes(), &[0]].concat()
        };
        let still = |name, content: &[u8]| file(&[(b"VP8X", &canvas), (name, content)]);
        let frame = |name: &[u8], content: &[u8]| {
            let size = (content.len() as u32).to_le_bytes();
            still(b"ANMF", &[&[0; 16][..], name, &size, content].concat())
        };
        for (width, height, larger) in [(8, 6, false), (9, 6, true), (8, 7, true)] {
            let (lossy, lossless) = (lossy(width, height), lossless(width.into(), height.into()));
            for file in [
                still(b"VP8 ", &lossy),
                still(b"VP8L", &lossless),
                frame(b"VP8 ", &lossy),
                frame(b"VP8L", &lossless),
            ] {
                assert_eq!(is_larger_than_its_canvas(&file), larger, "{width} × {height}");
            }
        }
        assert!(!is_larger_than_its_canvas(&file(&[(b"VP8 ", &lossy(99, 99))])));
    }
}
