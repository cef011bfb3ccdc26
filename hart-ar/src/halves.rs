//! Both halves of guidance as one, for who looks on.

use burn::tensor::TensorData;
use hart_core::tap::Tap;

/// A tap over a step that goes through the blocks once for each half of guidance: holds what the
/// first half gives until the second gives the like, and hands both on as one.
///
/// The second half has one token that stands for all; it is handed on as often.
pub(crate) struct Halves<'a> {
    tap: &'a mut dyn Tap,
    copies: usize,
    first: Vec<(String, TensorData)>,
}

/// What the second half is recorded by.
pub(crate) struct SecondHalf<'a> {
    tap: &'a mut dyn Tap,
    copies: usize,
    first: std::vec::IntoIter<(String, TensorData)>,
}

impl<'a> Halves<'a> {
    /// A second half of tokens that stand for `copies` each.
    pub(crate) fn new(copies: usize, tap: &'a mut dyn Tap) -> Self {
        Self { tap, copies, first: vec![] }
    }

    /// The first half is over.
    pub(crate) fn second(self) -> SecondHalf<'a> {
        SecondHalf { tap: self.tap, copies: self.copies, first: self.first.into_iter() }
    }
}

impl Tap for Halves<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        if self.tap.is_listening() {
            self.first.push((name.to_string(), data()));
        }
    }

    fn is_listening(&self) -> bool {
        self.tap.is_listening()
    }
}

impl Tap for SecondHalf<'_> {
    fn record(&mut self, name: &str, data: &dyn Fn() -> TensorData) {
        let Some((first_name, first)) = self.first.next() else { return };
        debug_assert_eq!(name, first_name, "both halves go through the same blocks");
        self.tap.record(name, &|| join(&first, &data(), self.copies));
    }

    fn is_listening(&self) -> bool {
        self.tap.is_listening()
    }
}

/// `[rows, copies, C]` and `[rows, 1, C]` as `[2·rows, copies, C]`.
fn join(first: &TensorData, second: &TensorData, copies: usize) -> TensorData {
    let width = second.shape[second.shape.len() - 1];
    let second: Vec<f32> = second.iter::<f32>().collect();
    let rows = second.chunks(width.max(1)).flat_map(|row| row.repeat(copies));
    let values: Vec<f32> = first.iter::<f32>().chain(rows).collect();
    let mut shape = first.shape.to_vec();
    shape[0] *= 2;
    TensorData::new(values, shape)
}
