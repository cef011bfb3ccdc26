//! The draws of [`SeededDraws`](crate::random::SeededDraws), made where they are used: ChaCha with 8
//! rounds, bit for bit that of the host.

// What the macros of CubeCL add has no documentation.
#![allow(missing_docs)]

use cubecl::prelude::*;

use super::logarithm::logarithm;

/// The stream that picks tokens, and that of the noise of smooth sampling.
pub const STREAMS: [u32; 2] = [1, 2];

/// Words of a block.
pub const WORDS: usize = 16;

/// The address of draws: a seed in two halves, the scale and the position in it.
#[derive(CubeType, Clone, Copy)]
pub struct Address {
    /// The lower half of the seed.
    pub seed_low: u32,
    /// The upper half.
    pub seed_high: u32,
    /// The scale.
    pub scale: u32,
    /// The row-major position in the scale.
    pub position: u32,
}

/// Block `counter` of the generator of `address` in `stream`, into `words`.
#[cube]
pub fn block(words: &mut Array<u32>, address: Address, #[comptime] stream: u32, counter: u32) {
    for word in 0..WORDS {
        words[word] = 0;
    }
    add_start(words, address, stream, counter);
    for _ in 0..4u32 {
        quarter_rounds(words, 0usize);
        quarter_rounds(words, 1usize);
    }
    add_start(words, address, stream, counter);
}

/// Adds what a block starts from: constants, the key (seed, stream, scale), counter and nonce
/// (position); the words left out are zero, upper halves of small numbers.
#[cube]
fn add_start(words: &mut Array<u32>, address: Address, #[comptime] stream: u32, counter: u32) {
    words[0] += 0x6170_7865;
    words[1] += 0x3320_646e;
    words[2] += 0x7962_2d32;
    words[3] += 0x6b20_6574;
    words[4] += address.seed_low;
    words[5] += address.seed_high;
    words[6] += stream;
    words[8] += address.scale;
    words[12] += counter;
    words[14] += address.position;
}

/// The quarter rounds of the columns of a block of four by four words, or with `slant` 1 of its
/// diagonals.
#[cube]
fn quarter_rounds(words: &mut Array<u32>, #[comptime] slant: usize) {
    #[unroll]
    for a in 0..4usize {
        let b = comptime!(4 + (a + slant) % 4);
        let c = comptime!(8 + (a + 2 * slant) % 4);
        let d = comptime!(12 + (a + 3 * slant) % 4);
        words[a] += words[b];
        words[d] = turn(words[d] ^ words[a], 16u32);
        words[c] += words[d];
        words[b] = turn(words[b] ^ words[c], 12u32);
        words[a] += words[b];
        words[d] = turn(words[d] ^ words[a], 8u32);
        words[c] += words[d];
        words[b] = turn(words[b] ^ words[c], 7u32);
    }
}

#[cube]
fn turn(word: u32, #[comptime] left: u32) -> u32 {
    let right = comptime!(32 - left);
    (word << left) | (word >> right)
}

/// Where the token at `address` is picked in its cumulative distribution, in [0, 1).
#[cube]
pub fn point(address: Address) -> f32 {
    let mut words = Array::<u32>::new(WORDS);
    block(&mut words, address, comptime!(STREAMS[0]), 0);
    f32::cast_from(words[0] >> 8) / 16_777_216.0
}

/// The Gumbel noise that a word of the second stream stands for.
#[cube]
pub fn gumbel(word: u32) -> f32 {
    // The middle of one of 2²³ cells: 24 bits, so exact.
    let uniform = (f32::cast_from(word >> 9) + 0.5) / 8_388_608.0;
    -logarithm(-logarithm(uniform))
}
