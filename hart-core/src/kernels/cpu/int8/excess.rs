//! Exact products of bytes on processors that add them up in 16 bits.
//!
//! An x86-64 processor without VNNI multiplies bytes with `vpmaddubsw`: products of two neighbours,
//! an input of at most 255 and a weight of at most ±127 each, are added in 16 bits, and what does
//! not fit is cut off. Fewer bits for the inputs would avoid it, and would make other images than
//! processors with VNNI do. Instead the weights are cut, where two neighbours of one sign are
//! together more than 128. What is cut off is kept: its products are added afterwards, one by one
//! where it is little, as in trained weights, else by a second product of matrices, in which no
//! pair overflows since one of its two entries is 0.

use rten_gemm::PackedBMatrix;

use super::pack;

/// The largest magnitude of the sum of two neighbouring weights of one sign: 255 · 128 and
/// -255 · 128 fit into 16 bits.
const LARGEST_PAIR: i16 = 128;

/// One entry in this many weights is as fast by a second product of matrices as one by one.
const SPARSE: usize = 64;

/// What was cut off from the weights of a matrix, in the form whose products take less time.
pub(super) enum Excess {
    /// A few entries.
    Sparse(Entries),
    /// A matrix of its own.
    Dense(PackedBMatrix<i8>),
}

impl Excess {
    /// Cuts the weights `[inputs, outputs]`, given row by row, so that no two of neighbouring
    /// inputs overflow.
    pub(super) fn cut(weights: &mut [i8], shape: [usize; 2]) -> Self {
        let found = Entries::cut(weights, shape[1]);
        if found.entries.len() * SPARSE <= weights.len() {
            Self::Sparse(found)
        } else {
            Self::Dense(pack(&found.dense(shape[1]), shape))
        }
    }
}

/// What was cut off from the weights of a matrix `[inputs, outputs]`, entry by entry.
pub(super) struct Entries {
    /// Where the entries of each input start in `entries`, and where those of the last one end.
    starts: Vec<usize>,
    entries: Vec<Entry>,
}

#[derive(Clone, Copy)]
struct Entry {
    output: u32,
    weight: i32,
}

impl Entries {
    fn cut(weights: &mut [i8], outputs: usize) -> Self {
        let (mut starts, mut entries) = (vec![0], vec![]);
        // The inputs 2i and 2i + 1 are multiplied by one instruction.
        for pair in weights.chunks_mut(2 * outputs) {
            let (first, second) = pair.split_at_mut(outputs.min(pair.len()));
            let (mut of_first, mut of_second) = (vec![], vec![]);
            for (output, (a, b)) in first.iter_mut().zip(second.iter_mut()).enumerate() {
                if (i16::from(*a) + i16::from(*b)).abs() <= LARGEST_PAIR {
                    continue;
                }
                let entry = |weight| Entry { output: output as u32, weight };
                if a.unsigned_abs() >= b.unsigned_abs() {
                    of_first.push(entry(cut(a, *b)));
                } else {
                    of_second.push(entry(cut(b, *a)));
                }
            }
            for (rows, found) in [(first, of_first), (second, of_second)] {
                if !rows.is_empty() {
                    entries.extend(found);
                    starts.push(entries.len());
                }
            }
        }
        Self { starts, entries }
    }

    /// The same as a matrix `[inputs, outputs]`.
    fn dense(&self, outputs: usize) -> Vec<i8> {
        let mut matrix = vec![0; (self.starts.len() - 1) * outputs];
        for (row, ends) in matrix.chunks_mut(outputs).zip(self.starts.windows(2)) {
            for Entry { output, weight } in &self.entries[ends[0]..ends[1]] {
                row[*output as usize] = *weight as i8;
            }
        }
        matrix
    }

    /// Adds the products of a row of inputs and what was cut off to the row's sums, which are
    /// the bits of floats.
    pub(super) fn add(&self, inputs: &[u8], sums: &mut [f32]) {
        for (input, ends) in inputs.iter().zip(self.starts.windows(2)) {
            for Entry { output, weight } in &self.entries[ends[0]..ends[1]] {
                let sum = &mut sums[*output as usize];
                let bits = sum.to_bits() as i32 + i32::from(*input) * weight;
                *sum = f32::from_bits(bits as u32);
            }
        }
    }
}

/// Cuts a weight so that it and its neighbour are [`LARGEST_PAIR`] together; returns what was cut
/// off.
fn cut(weight: &mut i8, neighbour: i8) -> i32 {
    let sum = i16::from(*weight) + i16::from(neighbour);
    let excess = sum - LARGEST_PAIR * sum.signum();
    *weight = (i16::from(*weight) - excess) as i8;
    i32::from(excess)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_left_fits_and_what_was_cut_is_kept() {
        // Every pair of two inputs, and a third input without a neighbour.
        let all: Vec<i8> = (-127..=127).collect();
        let outputs = all.len() * all.len();
        let mut weights: Vec<i8> = all.iter().flat_map(|&a| all.iter().map(move |_| a)).collect();
        weights.extend(all.iter().flat_map(|_| &all));
        weights.extend(vec![127; outputs]);
        let before = weights.clone();
        let excess = Entries::cut(&mut weights, outputs);
        let (first, rest) = weights.split_at(outputs);
        for (a, b) in first.iter().zip(rest) {
            let sum = i16::from(*a) + i16::from(*b);
            assert!((i16::MIN..=i16::MAX).contains(&(255 * sum)), "{a} and {b}");
        }
        let inputs = [255u8, 31, 7];
        let product = |weights: &[i8]| -> Vec<i32> {
            let row = |i: usize| weights[i * outputs..][..outputs].iter();
            let rows = row(0).zip(row(1)).zip(row(2));
            let terms = rows.map(|((a, b), c)| [*a, *b, *c]);
            terms.map(|w| (0..3).map(|i| i32::from(inputs[i]) * i32::from(w[i])).sum()).collect()
        };
        let mut sums: Vec<f32> =
            product(&weights).iter().map(|&sum| f32::from_bits(sum as u32)).collect();
        excess.add(&inputs, &mut sums);
        let sums: Vec<i32> = sums.iter().map(|sum| sum.to_bits() as i32).collect();
        assert_eq!(sums, product(&before));
    }
}
