//! The words of ChaCha with 8 rounds in operations on whole tensors, equal bit for bit to the host's
//! ([`crate::random::generator`]).

use tch::{Device, Kind, Tensor};

/// The first words of a generator's state.
const CONSTANTS: [u32; 4] = [0x6170_7865, 0x3320_646e, 0x7962_2d32, 0x6b20_6574];
/// Words of a block.
const BLOCK: usize = 16;

/// Where the words of one row come from.
#[derive(Debug, Clone, Copy)]
pub(super) struct Address {
    pub(super) seed: u64,
    pub(super) stream: u64,
    pub(super) address: [u64; 2],
}

/// The first `count` words of every address, `[addresses, count]` as 32-bit integers.
pub(super) fn words(addresses: &[Address], count: usize, device: Device) -> Tensor {
    let blocks = count.div_ceil(BLOCK);
    let start = State::start(addresses, blocks, device);
    let mut state = start.clone();
    for _ in 0..4 {
        state.quarter_rounds();
        state.rotate_lanes([3, 2, 1]);
        state.quarter_rounds();
        state.rotate_lanes([1, 2, 3]);
    }
    // `[16, addresses, blocks]` to the order in which the words are drawn.
    let words = state.finish(&start).permute([1, 2, 0]);
    let words = words.reshape([addresses.len() as i64, (blocks * BLOCK) as i64]);
    words.narrow(1, 0, count as i64)
}

/// Four rows of four lanes, `[4, addresses, blocks]` each.
struct State([Tensor; 4]);

impl State {
    fn start(addresses: &[Address], blocks: usize, device: Device) -> Self {
        let rows = addresses.len();
        let split = |word: u64| [word as u32, (word >> 32) as u32];
        let column =
            |of: &dyn Fn(&Address) -> u32| -> Vec<u32> { addresses.iter().map(of).collect() };
        let halves =
            |of: fn(&Address) -> u64| [column(&|a| split(of(a))[0]), column(&|a| split(of(a))[1])];
        let lanes = |lanes: [Vec<u32>; 4]| {
            let values: Vec<i32> = lanes.concat().into_iter().map(|word| word as i32).collect();
            let shape = [4, rows as i64, blocks as i64];
            let lanes = Tensor::from_slice(&values).view([4, rows as i64, 1]);
            lanes.to_device(device).expand(shape, false).contiguous()
        };
        let constants = CONSTANTS.map(|word| vec![word; rows]);
        let [seed, high_seed] = halves(|a| a.seed);
        let [stream, high_stream] = halves(|a| a.stream);
        let [first, high_first] = halves(|a| a.address[0]);
        let [second, high_second] = halves(|a| a.address[1]);
        let nothing = || vec![0; rows];
        // The last row counts blocks in its first two lanes, and has the nonce in the others.
        let last = lanes([nothing(), nothing(), second, high_second]);
        let counter = Tensor::arange(blocks as i64, (Kind::Int, device));
        last.select(0, 0).copy_(&counter.unsqueeze(0));
        Self([
            lanes(constants),
            lanes([seed, high_seed, stream, high_stream]),
            lanes([first, high_first, nothing(), nothing()]),
            last,
        ])
    }

    fn clone(&self) -> Self {
        Self([0, 1, 2, 3].map(|row: usize| self.0[row].copy()))
    }

    /// The quarter rounds of all four lanes at once.
    fn quarter_rounds(&mut self) {
        let [a, b, c, d] = &mut self.0;
        for (bits, more) in [(16, 12), (8, 7)] {
            let _ = a.g_add_(b);
            rotate_left(d.bitwise_xor_tensor_(a), bits);
            let _ = c.g_add_(d);
            rotate_left(b.bitwise_xor_tensor_(c), more);
        }
    }

    /// Turns the lanes of the last three rows, so that columns become diagonals and back.
    fn rotate_lanes(&mut self, by: [i64; 3]) {
        for (row, by) in self.0[1..].iter_mut().zip(by) {
            *row = row.roll([by], [0]);
        }
    }

    /// Adds the state it began with: `[16, addresses, blocks]`.
    fn finish(self, start: &Self) -> Tensor {
        let rows: Vec<Tensor> =
            self.0.iter().zip(&start.0).map(|(row, start)| row + start).collect();
        Tensor::cat(&rows, 0)
    }
}

/// Turns the bits of 32-bit integers to the left, in place.
fn rotate_left(mut x: Tensor, bits: i64) {
    // Shifting right repeats the sign, which the mask takes away.
    let mask = (1i64 << bits) - 1;
    let low = x.bitwise_right_shift_tensor_scalar(32 - bits).bitwise_and_(mask);
    let _ = x.bitwise_left_shift_tensor_scalar_(bits).bitwise_or_tensor_(&low);
}

#[cfg(test)]
mod tests {
    use rand::Rng;
    use tch::{Device, Kind, Tensor};

    use super::{Address, words};
    use crate::random::generator;

    #[test]
    fn words_are_those_of_the_host() {
        let seeds = [7, 0xfedc_ba98_7654_3210];
        let addresses: Vec<Address> = seeds
            .iter()
            .flat_map(|&seed| {
                [[0, 0], [13, 4095]].map(|address| Address { seed, stream: 2, address })
            })
            .collect();
        let found = words(&addresses, 100, Device::Cpu).to_kind(Kind::Int64);
        let expected: Vec<i64> = addresses
            .iter()
            .flat_map(|Address { seed, stream, address }| {
                let mut host = generator(*seed, *stream, *address);
                (0..100).map(|_| i64::from(host.next_u32() as i32)).collect::<Vec<_>>()
            })
            .collect();
        assert_eq!(found, Tensor::from_slice(&expected).view([4, 100]));
    }
}
