//! Maps in horizontal strips, to decode large images in little memory.
//!
//! A layer takes a strip at a time and frees what it has read, so that beside the weights two maps
//! of a level are held, not five. A convolution sees a row of the strips above and below; a
//! GroupNorm takes mean and variance of the whole map, gathered from all strips before. The result
//! is that of the whole map, up to rounding.

use burn::nn::GroupNorm;
use burn::tensor::{DType, Tensor, backend::Backend};
use hart_core::HartBackend;
use hart_core::nn::Convolution;

/// A map `[batch, channels, height, width]`, some rows in each strip.
#[derive(Debug, Clone)]
pub(crate) struct Strips<B: Backend>(Vec<Tensor<B, 4>>);

/// A GroupNorm with the statistics of a whole map: a factor and a shift for every channel,
/// `[batch, channels, 1, 1]` each.
#[derive(Debug)]
pub(crate) struct WholeNorm<B: Backend> {
    scale: Tensor<B, 4>,
    shift: Tensor<B, 4>,
}

impl<B: HartBackend> Strips<B> {
    /// A map in strips of `rows` rows; the last one may have fewer.
    pub(crate) fn cut(x: &Tensor<B, 4>, rows: usize) -> Self {
        let (height, rows) = (x.dims()[2], rows.max(1));
        let starts = (0..height).step_by(rows);
        Self(starts.map(|row| x.clone().narrow(2, row, rows.min(height - row))).collect())
    }

    /// The whole map.
    pub(crate) fn join(self) -> Tensor<B, 4> {
        Tensor::cat(self.0, 2)
    }

    /// This map, with `through` applied to every strip, plus another map. Each strip is freed once it
    /// is added.
    pub(crate) fn add(
        self,
        other: impl Iterator<Item = Tensor<B, 4>>,
        through: impl Fn(Tensor<B, 4>) -> Tensor<B, 4>,
    ) -> Self {
        self.0.into_iter().zip(other).map(|(a, b)| through(a) + b).collect()
    }

    /// A convolution of 3 × 3 that keeps height and width, after a function that may enlarge its
    /// input `growth` times. A strip is computed when the iterator reaches it, and the strips it
    /// was computed from are freed.
    pub(crate) fn convolve(
        self,
        layer: &Convolution<B>,
        growth: usize,
        before: impl Fn(Tensor<B, 4>) -> Tensor<B, 4>,
    ) -> impl Iterator<Item = Tensor<B, 4>> {
        let mut rest = self.0.into_iter().peekable();
        let mut above: Option<Tensor<B, 4>> = None;
        std::iter::from_fn(move || {
            let strip = rest.next()?;
            let rows = strip.dims()[2];
            let below = rest.peek().map(|below| below.clone().narrow(2, 0, 1));
            let skipped = above.iter().len() * growth;
            let last = |above: Tensor<B, 4>| {
                let rows = above.dims()[2];
                above.narrow(2, rows - 1, 1)
            };
            let seen = [above.take().map(last), Some(strip.clone()), below];
            let seen = Tensor::cat(seen.into_iter().flatten().collect(), 2);
            above = Some(strip);
            Some(layer.forward(before(seen)).narrow(2, skipped, rows * growth))
        })
    }

    /// A GroupNorm with the statistics of this map.
    pub(crate) fn norm(&self, layer: &GroupNorm<B>) -> WholeNorm<B> {
        let (mean, variance) = self.moments(layer.num_groups);
        let [batch, _, _] = mean.dims();
        let channels = layer.num_channels;
        let each = channels / layer.num_groups;
        let by_channel = |x: Tensor<B, 3>| x.repeat_dim(2, each).reshape([batch, channels, 1, 1]);
        let weights = |values: &Option<burn::module::Param<Tensor<B, 1>>>| {
            let values = values.as_ref().expect("every GroupNorm of the model has learned weights");
            values.val().cast(DType::F32).reshape([1, channels, 1, 1])
        };
        let factor = by_channel((variance + layer.epsilon).sqrt().recip());
        let scale = factor * weights(&layer.gamma);
        let shift = weights(&layer.beta) - by_channel(mean) * scale.clone();
        WholeNorm { scale, shift }
    }

    /// Mean and variance of every group, `[batch, groups, 1]` each, put together from those of the
    /// strips (T. Chan, G. Golub and R. LeVeque, 1979).
    fn moments(&self, groups: usize) -> (Tensor<B, 3>, Tensor<B, 3>) {
        let mut strips = self.0.iter().map(|strip| {
            let [batch, channels, rows, width] = strip.dims();
            let count = channels / groups * rows * width;
            let values = strip.clone().cast(DType::F32).reshape([batch, groups, count]);
            let mean = values.clone().mean_dim(2);
            let squares = (values - mean.clone()).square().sum_dim(2);
            (count as f64, mean, squares)
        });
        let first = strips.next().expect("a map has at least one strip");
        let (count, mean, squares) = strips.fold(first, |(n, mean, squares), (m, here, around)| {
            let difference = here - mean.clone();
            let total = n + m;
            let moved = difference.clone().square() * (n * m / total);
            (total, mean + difference * (m / total), squares + around + moved)
        });
        (mean, squares / count)
    }
}

impl<B: HartBackend> FromIterator<Tensor<B, 4>> for Strips<B> {
    fn from_iter<I: IntoIterator<Item = Tensor<B, 4>>>(strips: I) -> Self {
        Self(strips.into_iter().collect())
    }
}

impl<B: HartBackend> WholeNorm<B> {
    /// Normalises a strip and applies SiLU.
    pub(crate) fn activate(&self, x: Tensor<B, 4>) -> Tensor<B, 4> {
        let dtype = x.dtype();
        let x = x.cast(DType::F32) * self.scale.clone() + self.shift.clone();
        B::silu(x).cast(dtype)
    }
}
