//! Attention that never holds all scores.
//!
//! Two vectors of queries attend at a time: their scores stand key by key, so that maximum, sum and
//! factor of the softmax are vectors themselves, and both products are those of tiles. Keys are
//! taken in blocks; what was added up before is scaled when a block brings a larger score (the
//! online softmax of M. Milakov and N. Gimelshein, 2018, in the order of FlashAttention, T. Dao et
//! al., 2022).

use pulp::{Simd, WithSimd};
use rayon::prelude::*;

use super::matrix::{even, pack_rows};
use super::memory::{Shared, with_scratch};
use super::simd::{dispatch, exp, lanes};
use super::stored::Stored;
use super::tile::{MAX_ROWS, MAX_WIDTH, Start, Tile, rows_at_once};

/// Keys of a block: packed, with their scores, they stay in the second cache level while all queries
/// of a task pass by.
const KEYS: usize = 256;
/// Groups of queries a task takes, so that threads share the heads of a small batch.
const GROUPS: usize = 8;

/// Rows of `heads` heads one behind the other, those of a head `step` apart in the memory: a cache
/// has room for more rows than are filled.
#[derive(Debug, Clone, Copy)]
pub struct Heads<'a, T = f32> {
    /// All values.
    pub values: &'a [T],
    /// Rows of a head.
    pub rows: usize,
    /// From the first value of a head to that of the next.
    pub step: usize,
}

impl<'a, T> Heads<'a, T> {
    fn head(&self, head: usize, width: usize) -> &'a [T] {
        &self.values[head * self.step..][..self.rows * width]
    }
}

/// What scores are made of.
#[derive(Debug, Clone, Copy)]
pub struct Scores {
    /// Entries of a query and a key.
    pub width: usize,
    /// Factor of the product of a query and a key.
    pub scale: f32,
    /// Added to the score of the first key: the logarithm of the number of identical keys that it
    /// represents.
    pub first: f32,
}

/// `softmax(q·kᵀ·scale)·v` for every head into `out` `[heads, queries, width]`. Keys and values may be
/// kept in fewer bits than is computed in.
///
/// # Panics
/// When a slice is too short, or keys and values differ in number.
pub fn attend<T: Stored>(
    q: Heads<'_>,
    k: Heads<'_, T>,
    v: Heads<'_, T>,
    options: Scores,
    out: &mut [f32],
) {
    let width = options.width;
    assert_eq!(k.rows, v.rows, "a value for every key");
    if out.is_empty() {
        return;
    }
    let heads = out.len() / (q.rows * width);
    // Whole groups for every task but the last, and all tasks of nearly the same size. How queries
    // are divided changes no result: each attends by itself.
    let tasks = q.rows.div_ceil(GROUPS * 2 * lanes());
    let rows = even(q.rows, GROUPS * 2 * lanes()).next_multiple_of(2 * lanes());
    let tasks = tasks.min(q.rows.div_ceil(rows));
    let out = Shared::new(out);
    (0..heads * tasks).into_par_iter().for_each(|task| {
        let (head, first) = (task / tasks, task % tasks * rows);
        let rows = rows.min(q.rows - first);
        // SAFETY: the rows of a task are its own.
        let out = unsafe { out.slice((head * q.rows + first) * width, rows * width) };
        let q = &q.head(head, width)[first * width..][..rows * width];
        let (k, v) = (k.head(head, width), v.head(head, width));
        let groups = rows.div_ceil(2 * lanes());
        // A block of packed keys; keys, then values of the block in 32 bits; its scores for one group;
        // queries, sums, largest and powers of every group.
        let block = KEYS.next_multiple_of(MAX_ROWS) * width + T::ROOM * KEYS * width;
        let length = block + MAX_WIDTH * (groups * (2 * width + 2) + KEYS);
        with_scratch(length, |room| dispatch(Head { q, k, v, options, out, room }));
    });
}

/// Some queries of one head.
struct Head<'a, T> {
    q: &'a [f32],
    k: &'a [T],
    v: &'a [T],
    options: Scores,
    out: &'a mut [f32],
    room: &'a mut [f32],
}

/// What is known of two vectors of queries.
struct Group<'a> {
    /// The queries, scaled, entry by entry.
    queries: &'a mut [f32],
    /// Sums of values so far, entry by entry.
    sums: &'a mut [f32],
    /// The largest score of each query so far.
    largest: &'a mut [f32],
    /// The sum of all powers of each query so far.
    powers: &'a mut [f32],
}

impl<T: Stored> WithSimd for Head<'_, T> {
    type Output = ();

    #[inline(always)]
    fn with_simd<S: Simd>(self, simd: S) {
        let Self { q, k, v, options: Scores { width, scale, first }, out, room } = self;
        let (lanes, at_once) = (2 * S::F32_LANES, rows_at_once::<S>());
        let (keys, room) = room.split_at_mut(KEYS.next_multiple_of(at_once) * width);
        let (wide, room) = room.split_at_mut(T::ROOM * KEYS * width);
        let (scores, room) = room.split_at_mut(KEYS * lanes);
        let of_group = (2 * width + 2) * lanes;
        let groups = q.chunks(lanes * width).zip(room.chunks_exact_mut(of_group));
        for (q, room) in groups {
            Group::of(room, width, lanes).begin(q, width, scale, lanes);
        }
        // Blocks of keys outside, groups of queries inside, so that keys are packed once a task.
        for start in (0..k.len()).step_by(KEYS * width) {
            let end = k.len().min(start + KEYS * width);
            pack_rows(T::widen(&k[start..end], wide), width, 0..width, at_once, keys);
            let values = T::widen(&v[start..end], wide);
            let count = (end - start) / width;
            let groups = q.chunks(lanes * width).zip(room.chunks_exact_mut(of_group));
            for (_, room) in groups {
                let mut group = Group::of(room, width, lanes);
                group.score(simd, keys, count, width, scores);
                if start == 0 {
                    scores[..lanes].iter_mut().for_each(|score| *score += first);
                }
                group.weigh(simd, scores, count);
                group.add(simd, values, scores, count, width);
            }
        }
        let groups = out.chunks_mut(lanes * width).zip(room.chunks_exact_mut(of_group));
        for (out, room) in groups {
            Group::of(room, width, lanes).end(out, width, lanes);
        }
    }
}

impl<'a> Group<'a> {
    #[inline(always)]
    fn of(room: &'a mut [f32], width: usize, lanes: usize) -> Self {
        let (queries, room) = room.split_at_mut(width * lanes);
        let (sums, room) = room.split_at_mut(width * lanes);
        let (largest, powers) = room.split_at_mut(lanes);
        Self { queries, sums, largest, powers }
    }

    /// Takes up queries; missing ones are zero.
    #[inline(always)]
    fn begin(self, q: &[f32], width: usize, scale: f32, lanes: usize) {
        self.queries.fill(0.0);
        for (i, row) in q.chunks_exact(width).enumerate() {
            for (column, value) in self.queries.chunks_exact_mut(lanes).zip(row) {
                column[i] = value * scale;
            }
        }
        self.sums.fill(0.0);
        // Not -∞: were all scores so, their difference to it would be NaN.
        self.largest.fill(f32::MIN);
        self.powers.fill(0.0);
    }

    /// The scores of a block of packed keys, key by key.
    #[inline(always)]
    fn score<S: Simd>(
        &self,
        simd: S,
        keys: &[f32],
        count: usize,
        width: usize,
        scores: &mut [f32],
    ) {
        let (lanes, at_once) = (2 * S::F32_LANES, rows_at_once::<S>());
        let groups = (0..count).step_by(at_once).zip(keys.chunks_exact(at_once * width));
        for (first, left) in groups {
            let tile = Tile {
                rows: at_once.min(count - first),
                depth: width,
                left,
                left_step: at_once,
                right: self.queries,
                right_step: lanes,
                start: Start::Zero,
            };
            // SAFETY: the scores are ours.
            unsafe { tile.run(simd, Shared::new(&mut scores[first * lanes..]), lanes) };
        }
    }

    /// Turns scores into powers, and scales what was added up before to the new largest score.
    #[inline(always)]
    fn weigh<S: Simd>(&mut self, simd: S, scores: &mut [f32], count: usize) {
        // Two vectors a key and an entry: the halves of a group of queries.
        let scores = &mut as_pairs::<S>(scores)[..count];
        let totals = &mut as_pairs::<S>(self.powers)[0];
        let largest = &mut as_pairs::<S>(self.largest)[0];
        let sums = as_pairs::<S>(self.sums);
        for half in 0..2 {
            let before = largest[half];
            let mut most = before;
            for score in scores.iter() {
                most = simd.max_f32s(most, score[half]);
            }
            let mut sum = simd.splat_f32s(0.0);
            for score in scores.iter_mut() {
                let power = exp(simd, simd.sub_f32s(score[half], most));
                score[half] = power;
                sum = simd.add_f32s(sum, power);
            }
            // What was added up with smaller powers of e than the new largest score gives.
            let factor = exp(simd, simd.sub_f32s(before, most));
            largest[half] = most;
            totals[half] = simd.mul_add_e_f32s(totals[half], factor, sum);
            for entry in sums.iter_mut() {
                entry[half] = simd.mul_f32s(entry[half], factor);
            }
        }
    }

    /// Adds the values of a block of keys, weighed by their powers.
    #[inline(always)]
    fn add<S: Simd>(&mut self, simd: S, v: &[f32], powers: &[f32], count: usize, width: usize) {
        let lanes = 2 * S::F32_LANES;
        // Here the entries of the values are the rows of tiles: parts of equal height keep the
        // registers of every tile busy.
        let at_once = even(width, rows_at_once::<S>());
        for first in (0..width).step_by(at_once) {
            let tile = Tile {
                rows: at_once.min(width - first),
                depth: count,
                left: &v[first..],
                left_step: width,
                right: powers,
                right_step: lanes,
                start: Start::Present,
            };
            // SAFETY: the sums are ours.
            unsafe { tile.run(simd, Shared::new(&mut self.sums[first * lanes..]), lanes) };
        }
    }

    /// Writes the weighted means.
    #[inline(always)]
    fn end(self, out: &mut [f32], width: usize, lanes: usize) {
        for (i, row) in out.chunks_exact_mut(width).enumerate() {
            let share = 1.0 / self.powers[i];
            for (value, column) in row.iter_mut().zip(self.sums.chunks_exact(lanes)) {
                *value = column[i] * share;
            }
        }
    }
}

/// Values as pairs of vectors.
#[inline(always)]
fn as_pairs<S: Simd>(values: &mut [f32]) -> &mut [[S::f32s; 2]] {
    S::as_mut_simd_f32s(values).0.as_chunks_mut().0
}
