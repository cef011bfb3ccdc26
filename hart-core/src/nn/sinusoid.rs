//! Sinusoidal embedding of a time or a scale index.

use burn::config::Config;
use burn::module::Module;
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};

use super::Linear;
use crate::HartBackend;
use crate::transfer::upload;

/// The longest period of the sinusoids.
const MAX_PERIOD: f64 = 10_000.0;

/// `[times.len(), width]`: the cosines of all frequencies, then their sines, and a zero column when
/// the width is odd (section 4.1).
pub fn sinusoid<B: Backend>(times: &[f64], width: usize, device: &B::Device) -> Tensor<B, 2> {
    let half = width / 2;
    // The reference computes all of it in 32 bits: the exponent is rounded before the exponential,
    // which at t = 999 moves an angle by up to 6e-5. Its exponential is correctly rounded but for
    // single cases, as that of a double is when it is rounded once.
    let frequency = |i: usize| {
        let exponent = -(MAX_PERIOD.ln() as f32) * i as f32 / half as f32;
        f64::from(exponent).exp() as f32
    };
    let frequencies: Vec<f32> = (0..half).map(frequency).collect();
    let mut values = Vec::with_capacity(times.len() * width);
    for &time in times {
        let angles = frequencies.iter().map(|frequency| time as f32 * frequency);
        values.extend(angles.clone().map(f32::cos));
        values.extend(angles.map(f32::sin));
        values.extend((2 * half..width).map(|_| 0.0));
    }
    upload(TensorData::new(values, [times.len(), width]), device)
}

/// Configuration of a [`SinusoidalEmbedding`].
#[derive(Config, Debug)]
pub struct SinusoidalEmbeddingConfig {
    /// Width of the result.
    pub width: usize,
    /// Width of the sinusoid.
    #[config(default = 256)]
    pub frequencies: usize,
}

impl SinusoidalEmbeddingConfig {
    /// The layers, initialised by burn's defaults.
    pub fn init<B: Backend>(&self, device: &B::Device) -> SinusoidalEmbedding<B> {
        SinusoidalEmbedding {
            input: Linear::init(self.frequencies, self.width, device),
            output: Linear::init(self.width, self.width, device),
            frequencies: self.frequencies,
        }
    }
}

/// A sinusoid through linear, SiLU, linear.
#[derive(Module, Debug)]
pub struct SinusoidalEmbedding<B: Backend> {
    /// From the sinusoid.
    pub input: Linear<B>,
    /// To the width.
    pub output: Linear<B>,
    /// Width of the sinusoid.
    pub frequencies: usize,
}

impl<B: HartBackend> SinusoidalEmbedding<B> {
    /// The embedded times, `[times.len(), width]`, on the device of the layers.
    ///
    /// Times that occur several times are embedded once: in training there are many more tokens than
    /// times.
    pub fn forward(&self, times: &[f64], device: &B::Device) -> Tensor<B, 2> {
        let mut distinct = times.to_vec();
        distinct.sort_unstable_by(f64::total_cmp);
        distinct.dedup_by(|a, b| a.total_cmp(b).is_eq());
        if distinct.len() == times.len() {
            return self.embed(times, device);
        }
        let place = |time: &f64| {
            let place = distinct.binary_search_by(|known| known.total_cmp(time));
            place.expect("one of the distinct times") as i64
        };
        let places: Vec<i64> = times.iter().map(place).collect();
        let places = TensorData::new(places, [times.len()]);
        let places: Tensor<B, 1, Int> = upload(places, device);
        self.embed(&distinct, device).select(0, places)
    }

    fn embed(&self, times: &[f64], device: &B::Device) -> Tensor<B, 2> {
        let hidden = self.input.forward(sinusoid(times, self.frequencies, device));
        self.output.forward(B::silu(hidden))
    }
}
