//! The directory of a TIFF file.

/// Whether a value of a TIFF file's first directory says that it is longer than the whole file.
/// Decoders make room for all of a value, up to many times 4 GiB, before they read it.
pub(super) fn is_cut_off(file: &[u8]) -> bool {
    directory(file).is_none()
}

/// Walks over the first directory; nothing when it or one of its values cannot be in the file.
fn directory(file: &[u8]) -> Option<()> {
    let file = File { bytes: file, is_little: file.first()? == &b'I' };
    // The number of a file with offsets of 64 bits; its directories have wider entries.
    let is_big = file.number(2, 2)? == 43;
    let (start, count, entry, wide) = if is_big { (8, 8, 20, 8) } else { (4, 2, 12, 4) };
    let directory = usize::try_from(file.number(start, wide)?).ok()?;
    let entries = usize::try_from(file.number(directory, count)?).ok()?;
    let first = directory.checked_add(count)?;
    if entries > file.bytes.len() / entry {
        return None;
    }
    for number in 0..entries {
        // A tag, a type, how many values of it, and where they are.
        let at = first.checked_add(number * entry)?;
        let (kind, values) = (file.number(at.checked_add(2)?, 2)?, file.number(at + 4, wide)?);
        if values.checked_mul(width(kind))? > file.bytes.len() as u64 {
            return None;
        }
    }
    Some(())
}

/// Bytes of a value of a type; 1 for unknown ones.
fn width(kind: u64) -> u64 {
    match kind {
        3 | 8 => 2,
        4 | 9 | 11 | 13 => 4,
        5 | 10 | 12 | 16..=18 => 8,
        _ => 1,
    }
}

struct File<'a> {
    bytes: &'a [u8],
    is_little: bool,
}

impl File<'_> {
    /// A number of `width` bytes, at most 8.
    fn number(&self, at: usize, width: usize) -> Option<u64> {
        let bytes = self.bytes.get(at..at.checked_add(width)?)?;
        let add = |sum: u64, byte: &u8| sum << 8 | u64::from(*byte);
        let sum = if self.is_little {
            bytes.iter().rev().fold(0, add)
        } else {
            bytes.iter().fold(0, add)
        };
        Some(sum)
    }
}

#[cfg(test)]
mod tests {
    use super::is_cut_off;

    #[test]
    fn values_fit_into_the_file() {
        // One entry: four values of 16 bits, in a file of 30 bytes.
        let file = |values: [u8; 4]| {
            let entry = [&[0, 1, 3, 0][..], &values, &[26, 0, 0, 0]].concat();
            [&b"II*\0\x08\0\0\0\x01\0"[..], &entry, &[0; 8]].concat()
        };
        assert!(!is_cut_off(&file([4, 0, 0, 0])));
        assert!(!is_cut_off(&file([15, 0, 0, 0])));
        assert!(is_cut_off(&file([16, 0, 0, 0])));
        assert!(is_cut_off(&file([1, 0, 0x40, 0])));
        assert!(is_cut_off(&file([4, 0, 0, 0])[..12]), "a directory past the end");

        let big = |values: u8| {
            let entry = [&[0, 1, 0, 4][..], &[0, 0, 0, 0, 0, 0, 0, values], &[0; 8]].concat();
            let start = b"MM\0\x2b\0\x08\0\0\0\0\0\0\0\0\0\x10\0\0\0\0\0\0\0\x01";
            [&start[..], &entry].concat()
        };
        assert!(!is_cut_off(&big(11)), "44 bytes of 44");
        assert!(is_cut_off(&big(12)));
    }
}
