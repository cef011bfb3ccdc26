//! What decoders of JPEG files do not tell.

/// Whether a JPEG file ends before its image does. Decoders fill up with grey what is missing; the
/// marker for the end of the image is missing then as well.
pub(super) fn is_cut_off(bytes: &[u8]) -> bool {
    // Segments and entropy-coded data alternate. A marker is 0xff and a byte that is none of: 0
    // (a 0xff of the data), 0xff (padding), a restart (0xd0 to 0xd7).
    let mut at = 2;
    while let Some(&[first, second]) = bytes.get(at..at + 2) {
        if first != 0xff || matches!(second, 0 | 0xff | 0xd0..=0xd7) {
            at += 1;
            continue;
        }
        at += 2;
        match (second, bytes.get(at..at + 2)) {
            (0xd9, _) => return false,
            // A marker without a segment.
            (0x01, _) => {}
            // Thumbnails are images with an end of their own, but inside of segments.
            (_, Some(&[high, low])) => at += usize::from(u16::from_be_bytes([high, low])),
            (_, _) => return true,
        }
    }
    true
}

#[cfg(test)]
mod tests {
    use super::is_cut_off;

    #[test]
    fn the_end_is_that_of_the_image_and_not_of_a_thumbnail() {
        let start = [0xff, 0xd8];
        let segment_with_an_end_inside = [0xff, 0xe1, 0, 6, 0xff, 0xd9, 1, 2];
        let scan = [0xff, 0xda, 0, 2, 1, 0xff, 0, 2, 0xff, 0xd0, 3];
        let end = [0xff, 0xff, 0xd9];
        let whole =
            [&start[..], &segment_with_an_end_inside, &scan, &end, b"trailing bytes"].concat();
        assert!(!is_cut_off(&whole));
        let image = whole.len() - b"trailing bytes".len();
        for length in 0..image {
            assert!(is_cut_off(&whole[..length]), "{length} of {image}");
        }
    }
}
