//! One seed an image, and every draw from a named stream of it.
//!
//! An image must depend on its seed and settings alone: not on the batch it was made in, the
//! backend's own generator or the number of threads. So every draw has an address (stream, scale,
//! position) and is computed from it; nothing is drawn in passing.

use rand::{Rng, SeedableRng};
use rand_chacha::ChaCha8Rng;
use rand_distr::{Distribution, StandardNormal};

/// How a token is picked from its distribution.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Pick {
    /// The most likely entry, the first on a tie.
    Greedy,
    /// By inversion of the cumulative distribution at this point of [0, 1).
    At(f32),
}

/// Where the randomness of a generation comes from.
///
/// A generation asks for draws by address: `image` is the index in the batch, `scale` the scale,
/// `position` the row-major index of a token in its scale. [`SeededDraws`] is what users run;
/// tests and experiments hand over recorded or chosen draws and run the very same code.
pub trait Draws: Sync {
    /// How the token at `position` of `scale` is picked.
    fn token(&self, image: usize, scale: usize, position: usize) -> Pick;

    /// Gumbel noise for smooth sampling, one value a codebook entry.
    fn smooth_noise(&self, image: usize, scale: usize, position: usize, noise: &mut [f32]);

    /// The order in which the masked passes reveal the `tokens` positions of the last scale: a
    /// permutation of `0..tokens`.
    fn order(&self, image: usize, tokens: usize) -> Vec<usize>;

    /// Standard normal start of the residual diffusion at `position`, one value a latent channel.
    fn diffusion_start(&self, image: usize, position: usize, noise: &mut [f32]);

    /// Standard normal noise of diffusion step `step` (counted in sampling order) at `position`.
    fn diffusion_step(&self, image: usize, step: usize, position: usize, noise: &mut [f32]);

    /// The seed of each image, where every draw is that of [`SeededDraws`]: a device can make them by
    /// itself then.
    fn seeds(&self) -> Option<&[u64]> {
        None
    }
}

impl<D: Draws + ?Sized> Draws for &D {
    fn token(&self, image: usize, scale: usize, position: usize) -> Pick {
        (**self).token(image, scale, position)
    }

    fn smooth_noise(&self, image: usize, scale: usize, position: usize, noise: &mut [f32]) {
        (**self).smooth_noise(image, scale, position, noise);
    }

    fn order(&self, image: usize, tokens: usize) -> Vec<usize> {
        (**self).order(image, tokens)
    }

    fn diffusion_start(&self, image: usize, position: usize, noise: &mut [f32]) {
        (**self).diffusion_start(image, position, noise);
    }

    fn diffusion_step(&self, image: usize, step: usize, position: usize, noise: &mut [f32]) {
        (**self).diffusion_step(image, step, position, noise);
    }

    fn seeds(&self) -> Option<&[u64]> {
        (**self).seeds()
    }
}

/// Draws from one `u64` seed an image, by the ChaCha generator with 8 rounds.
///
/// ```
/// use hart_core::random::{Draws, SeededDraws};
///
/// let alone = SeededDraws::new([7]);
/// let in_a_batch = SeededDraws::new([1, 7, 3]);
/// assert_eq!(alone.token(0, 4, 11), in_a_batch.token(1, 4, 11));
/// ```
#[derive(Debug, Clone)]
pub struct SeededDraws {
    seeds: Vec<u64>,
}

impl SeededDraws {
    /// One seed for each image of the batch.
    pub fn new(seeds: impl Into<Vec<u64>>) -> Self {
        Self { seeds: seeds.into() }
    }

    fn generator(&self, image: usize, stream: Stream, address: [usize; 2]) -> ChaCha8Rng {
        generator(self.seeds[image], stream as u64, address.map(|part| part as u64))
    }

    fn normals(&self, image: usize, address: [usize; 2], noise: &mut [f32]) {
        let mut generator = self.generator(image, Stream::Diffusion, address);
        noise.fill_with(|| StandardNormal.sample(&mut generator));
    }
}

/// The generator of one address in one stream of a seed. Streams and the first part of the address
/// give different keys, the second part a different nonce.
///
/// Streams below 100 belong to [`SeededDraws`], those below 200 to training; others are free.
pub fn generator(seed: u64, stream: u64, address: [u64; 2]) -> ChaCha8Rng {
    let mut key = [0; 32];
    key[..8].copy_from_slice(&seed.to_le_bytes());
    key[8..16].copy_from_slice(&stream.to_le_bytes());
    key[16..24].copy_from_slice(&address[0].to_le_bytes());
    let mut generator = ChaCha8Rng::from_seed(key);
    generator.set_stream(address[1]);
    generator
}

/// A uniform value in [0, 1) from the upper 53 bits of a word.
pub fn uniform(word: u64) -> f64 {
    (word >> 11) as f64 / (1u64 << 53) as f64
}

/// The named streams. The numbers are part of what a seed means: never renumber them.
#[derive(Clone, Copy)]
pub(crate) enum Stream {
    Tokens = 1,
    SmoothNoise = 2,
    Order = 3,
    Diffusion = 4,
}

/// A uniform value in [0, 1) from the upper 24 bits of a word.
fn unit(word: u32) -> f32 {
    (word >> 8) as f32 / (1u32 << 24) as f32
}

impl Draws for SeededDraws {
    fn token(&self, image: usize, scale: usize, position: usize) -> Pick {
        let mut generator = self.generator(image, Stream::Tokens, [scale, position]);
        Pick::At(unit(generator.next_u32()))
    }

    fn smooth_noise(&self, image: usize, scale: usize, position: usize, noise: &mut [f32]) {
        let mut generator = self.generator(image, Stream::SmoothNoise, [scale, position]);
        noise.fill_with(|| {
            // The middle of one of 2²³ cells: never 0 or 1, so that both logarithms are finite.
            // In double precision, so that the rounded result is the same with every libm.
            let uniform = (f64::from(generator.next_u32() >> 9) + 0.5) / f64::from(1u32 << 23);
            -(-uniform.ln()).ln() as f32
        });
    }

    fn order(&self, image: usize, tokens: usize) -> Vec<usize> {
        let mut generator = self.generator(image, Stream::Order, [0, 0]);
        let mut keyed: Vec<(u64, usize)> =
            (0..tokens).map(|position| (generator.next_u64(), position)).collect();
        keyed.sort_unstable();
        keyed.into_iter().map(|(_, position)| position).collect()
    }

    fn diffusion_start(&self, image: usize, position: usize, noise: &mut [f32]) {
        self.normals(image, [0, position], noise);
    }

    fn diffusion_step(&self, image: usize, step: usize, position: usize, noise: &mut [f32]) {
        self.normals(image, [step + 1, position], noise);
    }

    fn seeds(&self) -> Option<&[u64]> {
        Some(&self.seeds)
    }
}

#[cfg(test)]
mod tests {
    use super::{Draws, Pick, SeededDraws};

    #[test]
    fn a_seed_means_the_same_numbers_for_ever() {
        // Recorded once from this very implementation: images of old seeds must come out again.
        let draws = SeededDraws::new([7]);
        let (mut normals, mut gumbels) = ([0.0; 2], [0.0; 2]);
        draws.diffusion_start(0, 9, &mut normals);
        draws.smooth_noise(0, 1, 2, &mut gumbels);
        assert_eq!(
            (draws.token(0, 3, 5), normals, gumbels, draws.order(0, 6)),
            (
                Pick::At(0.097_559_094),
                [0.006_761_661_3, -0.377_951_6],
                [0.476_855_67, -0.256_522_1],
                vec![4, 2, 1, 0, 3, 5]
            )
        );
    }

    #[test]
    fn addresses_are_independent() {
        let draws = SeededDraws::new([7, 8]);
        let mut seen = std::collections::HashSet::new();
        for image in 0..2 {
            for scale in 0..4 {
                for position in 0..16 {
                    let Pick::At(point) = draws.token(image, scale, position) else {
                        panic!("seeded draws are never greedy")
                    };
                    assert!((0.0..1.0).contains(&point));
                    assert!(seen.insert(point.to_bits()), "a repeated draw");
                }
            }
        }
    }

    #[test]
    fn normals_have_mean_zero_and_variance_one() {
        let draws = SeededDraws::new([3]);
        let mut noise = vec![0.0; 20_000];
        draws.diffusion_start(0, 0, &mut noise);
        let mean = noise.iter().sum::<f32>() / 2e4;
        let variance = noise.iter().map(|x| x * x).sum::<f32>() / 2e4;
        assert!(mean.abs() < 0.03 && (variance - 1.0).abs() < 0.05, "{mean} {variance}");
    }

    #[test]
    fn an_order_is_a_permutation() {
        let mut order = SeededDraws::new([11]).order(0, 100);
        assert_ne!(order, (0..100).collect::<Vec<_>>());
        order.sort_unstable();
        assert_eq!(order, (0..100).collect::<Vec<_>>());
    }
}
