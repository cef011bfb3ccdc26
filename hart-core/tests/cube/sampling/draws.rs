//! The generator on the device: bits of the host, and noise to rounding.

use burn::tensor::{DType, Shape};
use burn_cubecl::tensor::CubeTensor;
use cubecl::prelude::*;
use hart_core::kernels::cube::sampling::chacha::{Address, WORDS, block, gumbel};
use hart_core::random::generator;
use rand::Rng;

#[cfg(feature = "cuda")]
type Device = cubecl::cuda::CudaRuntime;
#[cfg(not(feature = "cuda"))]
type Device = cubecl::wgpu::WgpuRuntime;

/// Blocks of an address that are compared.
const BLOCKS: usize = 3;

#[cube(launch)]
fn blocks(
    addresses: &Array<u32>,
    out: &mut Array<u32>,
    #[comptime] stream: u32,
    #[comptime] count: usize,
) {
    let first = UNIT_POS as usize * 4;
    let address = Address {
        seed_low: addresses[first],
        seed_high: addresses[first + 1],
        scale: addresses[first + 2],
        position: addresses[first + 3],
    };
    let mut words = Array::<u32>::new(WORDS);
    for counter in 0..count {
        block(&mut words, address, stream, counter as u32);
        for word in 0..WORDS {
            out[(UNIT_POS as usize * count + counter) * WORDS + word] = words[word];
        }
    }
}

#[cube(launch)]
fn gumbels(words: &Array<u32>, out: &mut Array<f32>) {
    if ABSOLUTE_POS < out.len() {
        out[ABSOLUTE_POS] = gumbel(words[ABSOLUTE_POS]);
    }
}

fn on_device(words: &[u32]) -> CubeTensor<Device> {
    let client = Device::client(&Default::default());
    let buffer = client.create_from_slice(u32::as_bytes(words));
    let shape = Shape::new([words.len()]);
    CubeTensor::new_contiguous(client, Default::default(), shape, buffer, DType::U32)
}

fn bits(x: CubeTensor<Device>) -> Vec<u32> {
    let bytes = x.client.read_one(x.handle).expect("what the device computed");
    u32::from_bytes(&bytes).to_vec()
}

#[test]
fn words_are_those_of_the_host() {
    let addresses = [
        (0, 0, 0),
        (7, 3, 5),
        (u64::MAX, 9, 4095),
        (0x0123_4567_89ab_cdef, 13, u32::MAX),
        (1 << 63, u32::MAX, 1),
    ];
    let flat: Vec<u32> = addresses
        .iter()
        .flat_map(|&(seed, scale, position)| [seed as u32, (seed >> 32) as u32, scale, position])
        .collect();
    for stream in [1, 2] {
        let (input, out) = (on_device(&flat), on_device(&[0; 5 * BLOCKS * WORDS]));
        let client = input.client.clone();
        blocks::launch(
            &client,
            CubeCount::Static(1, 1, 1),
            CubeDim::new_1d(addresses.len() as u32),
            input.into_array_arg(),
            out.clone().into_array_arg(),
            stream,
            BLOCKS,
        );
        let found = bits(out);
        for (&(seed, scale, position), found) in
            addresses.iter().zip(found.chunks_exact(BLOCKS * WORDS))
        {
            let mut host = generator(seed, stream.into(), [scale.into(), position.into()]);
            let expected: Vec<u32> = (0..BLOCKS * WORDS).map(|_| host.next_u32()).collect();
            assert_eq!(found, expected, "{seed:x} {scale} {position} {stream}");
        }
    }
}

#[test]
fn noise_is_that_of_the_host_to_rounding() {
    // The ends, both sides of the middle, where the inner logarithm is about one, and others.
    let mut words = vec![0, 1 << 9, u32::MAX, u32::MAX - (1 << 9), 1 << 31, (1 << 31) - 1];
    words.extend((0..1000).map(|i| 1_580_030_168u32.wrapping_add(i << 9)));
    words.extend((0..1000).map(|i| u32::MAX - (i << 9)));
    let mut host = generator(3, 1000, [0, 0]);
    words.extend((0..20_000).map(|_| host.next_u32()));
    let (input, out) = (on_device(&words), on_device(&vec![0; words.len()]));
    let client = input.client.clone();
    gumbels::launch(
        &client,
        CubeCount::Static(words.len().div_ceil(256) as u32, 1, 1),
        CubeDim::new_1d(256),
        input.into_array_arg(),
        out.clone().into_array_arg(),
    );
    for (word, found) in words.into_iter().zip(bits(out)) {
        let uniform = (f64::from(word >> 9) + 0.5) / f64::from(1u32 << 23);
        let expected = -(-uniform.ln()).ln();
        let difference = (f64::from(f32::from_bits(found)) - expected).abs();
        assert!(difference <= 3e-7 * expected.abs().max(1.0), "{word:x}: off by {difference}");
    }
}
