//! Changing files at random.

use rand::{Rng, RngExt, SeedableRng};
use rand_chacha::ChaCha8Rng;

/// Pieces that readers of text and of bytes stumble over.
#[rustfmt::skip]
const PIECES: &[&[u8]] = &[
    b"null", b"true", b"-1", b"0", b"1e400", b"18446744073709551616", b"9223372036854775807",
    b"4294967295", b"1e9", b"0.5", b"\"\"", b"[]", b"{}", b"[", b"{", b"}", b"]", b",", b":",
    b"\"", b"\\u0000", b"\\ud800", b"\xff\xfe", b"\xef\xbb\xbf", b"\r\n", b"\n\n", b"'''",
    b"\"\"\"", b"= ", b"[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[[", b"../", b"/", b"\0",
    b"\xff\xff\xff\xff", b"\xff\xff\xff\x7f", b"\0\0\0\x80", b"\0\0\0\0\0\0\0\x80",
    b"\xff\xff\xff\xff\xff\xff\xff\x7f", b"\0\0\x01\0", b"PK\x01\x02", b"PK\x05\x06",
    b"X\xff\xff\xff\x7f", b"\x8a\xff", b"h\0", b"(", b"t", b"Q", b"R",
];

/// A file of the corpus with some changes; the same for the same number.
pub(crate) fn changed(corpus: &[(String, Vec<u8>)], case: u64) -> Vec<u8> {
    let mut draws = ChaCha8Rng::seed_from_u64(case);
    let mut bytes = corpus[draws.random_range(0..corpus.len())].1.clone();
    for _ in 0..draws.random_range(1..=6) {
        change(&mut bytes, corpus, &mut draws);
    }
    bytes
}

fn change(bytes: &mut Vec<u8>, corpus: &[(String, Vec<u8>)], draws: &mut impl Rng) {
    let at = draws.random_range(0..=bytes.len());
    let end = (at + draws.random_range(0..=16)).min(bytes.len());
    match draws.random_range(0..10) {
        0 if at < bytes.len() => bytes[at] = draws.random(),
        1 if at < bytes.len() => bytes[at] ^= 1 << draws.random_range(0..8),
        2 if at < bytes.len() => bytes[at] = bytes[at].wrapping_add(1),
        3 => drop(bytes.drain(at..end)),
        4 => {
            let piece = bytes[at..end].repeat(draws.random_range(1..=8));
            drop(bytes.splice(at..at, piece));
        }
        // Replaced by or put before what is there.
        5 | 6 => {
            let piece = PIECES[draws.random_range(0..PIECES.len())];
            let over = if draws.random() { (at + piece.len()).min(bytes.len()) } else { at };
            drop(bytes.splice(at..over, piece.iter().copied()));
        }
        // A part of another file of the kind.
        7 => {
            let other = &corpus[draws.random_range(0..corpus.len())].1;
            let from = draws.random_range(0..=other.len());
            let to = (from + draws.random_range(0..=64)).min(other.len());
            drop(bytes.splice(at..end, other[from..to].iter().copied()));
        }
        8 => {
            let other = draws.random_range(0..=bytes.len());
            let length = (end - at).min(bytes.len() - other);
            let piece = bytes[at..at + length].to_vec();
            bytes[other..other + length].copy_from_slice(&piece);
        }
        9 => bytes.truncate(at),
        _ => bytes.push(draws.random()),
    }
}
