//! Fresh weights from a seed.
//!
//! burn initialises from the backend's own generator, of which there is one a process. Here every
//! parameter is drawn from a stream of its own, addressed by its place in the module: a model
//! started from a seed is the same on every backend.

use burn::module::{Module, Param};
use burn::tensor::{Tensor, TensorData, backend::Backend};
use rand::Rng;
use rand_distr::{Distribution, StandardNormal};

use crate::Result;
use crate::random::{generator, uniform};
use crate::walk::{self, Place};

/// The stream of a seed that weights are drawn from.
const STREAM: u64 = 110;

/// How a parameter begins.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Start {
    /// As burn's layer was made, which for norms and biases is a constant.
    AsMade,
    /// All values the same.
    Constant(f64),
    /// Normal with this deviation.
    Normal(f64),
    /// Normal with this deviation, cut at two of them.
    TruncatedNormal(f64),
    /// Uniform in ± this bound.
    Uniform(f64),
    /// Uniform in ±1/√(inputs of a unit): PyTorch's default for linear layers and convolutions.
    FanIn,
    /// Uniform with the variance 2/(inputs + outputs), for matrices.
    Xavier,
}

/// Gives every parameter of a module the start that `rule` says, from its path (field names joined
/// by dots) and its shape as burn has it: `[in, out]` for linear layers, `[out, in, height, width]`
/// for convolutions.
///
/// # Errors
/// [`Error::Invalid`](crate::Error::Invalid) when a layer is prepared.
pub fn initialize<B: Backend, M: Module<B>>(
    module: M,
    seed: u64,
    rule: &dyn Fn(&str, &[usize]) -> Start,
) -> Result<M> {
    walk::map(module, &mut Initializer { seed, rule })
}

struct Initializer<'a> {
    seed: u64,
    rule: &'a dyn Fn(&str, &[usize]) -> Start,
}

impl<B: Backend> walk::Map<B> for Initializer<'_> {
    fn parameter<const D: usize>(
        &mut self,
        place: &Place,
        param: Param<Tensor<B, D>>,
    ) -> Param<Tensor<B, D>> {
        let path = place.path();
        let shape = param.lazy_shape().to_vec();
        let start = (self.rule)(&path, &shape);
        let Some(values) = draw(start, &shape, &mut generator(self.seed, STREAM, [hash(&path), 0]))
        else {
            return param;
        };
        let device = param.lazy_device();
        let tensor = Tensor::from_data(TensorData::new(values, shape), &device);
        let id = param.id;
        param.transform_for_load(tensor, id)
    }
}

/// The values of a parameter; `None` to leave it as it was made.
fn draw(start: Start, shape: &[usize], generator: &mut impl Rng) -> Option<Vec<f32>> {
    let count = shape.iter().product();
    // Linear layers are [in, out]; of convolutions the first axis is the outputs.
    let (inputs, outputs) = match shape {
        [inputs, outputs] => (*inputs, *outputs),
        [outputs, rest @ ..] => (rest.iter().product::<usize>().max(1), *outputs),
        [] => (1, 1),
    };
    let mut within = |bound: f64| -> Vec<f32> {
        let signed = |word: u64| 2.0 * uniform(word) - 1.0;
        (0..count).map(|_| (signed(generator.next_u64()) * bound) as f32).collect()
    };
    Some(match start {
        Start::AsMade => return None,
        Start::Constant(value) => vec![value as f32; count],
        Start::Uniform(bound) => within(bound),
        Start::FanIn => within((inputs as f64).powf(-0.5)),
        Start::Xavier => within((6.0 / (inputs + outputs) as f64).sqrt()),
        Start::Normal(deviation) => normals(count, deviation, f64::INFINITY, generator),
        Start::TruncatedNormal(deviation) => normals(count, deviation, 2.0, generator),
    })
}

fn normals(count: usize, deviation: f64, cut: f64, generator: &mut impl Rng) -> Vec<f32> {
    let mut normal = || loop {
        let value: f64 = StandardNormal.sample(generator);
        if value.abs() <= cut {
            return (value * deviation) as f32;
        }
    };
    (0..count).map(|_| normal()).collect()
}

/// FNV-1a: the address of a path must never change.
fn hash(path: &str) -> u64 {
    path.bytes().fold(0xcbf2_9ce4_8422_2325, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    })
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::nn::{Linear, LinearConfig};

    use super::{Start, initialize};

    fn layer(seed: u64, start: Start) -> Vec<f32> {
        let layer: Linear<Flex> = LinearConfig::new(300, 100).init(&Default::default());
        let layer = initialize(layer, seed, &|path, _| match path {
            "weight" => start,
            _ => Start::Constant(0.25),
        })
        .expect("a layer that is not prepared");
        assert!(layer.bias.unwrap().val().to_data().iter::<f32>().all(|value| value == 0.25));
        layer.weight.val().to_data().iter::<f32>().collect()
    }

    #[test]
    fn a_seed_decides_the_weights() {
        assert_eq!(layer(5, Start::Normal(1.0)), layer(5, Start::Normal(1.0)));
        assert_ne!(layer(5, Start::Normal(1.0)), layer(6, Start::Normal(1.0)));
    }

    #[test]
    fn distributions_have_the_spread_they_say() {
        for (start, deviation, largest) in [
            (Start::Normal(0.5), 0.5, 5.0),
            (Start::TruncatedNormal(0.02), 0.0176, 0.04),
            (Start::Uniform(0.3), 0.3 / 3f32.sqrt(), 0.3),
            (Start::FanIn, (1.0 / 900f32).sqrt(), (1.0 / 300f32).sqrt()),
            (Start::Xavier, (2.0 / 400f32).sqrt(), (6.0 / 400f32).sqrt()),
        ] {
            let values = layer(1, start);
            let square = values.iter().map(|value| value * value).sum::<f32>();
            let found = (square / values.len() as f32).sqrt();
            assert!((found / deviation - 1.0).abs() < 0.03, "{start:?}: {found}");
            assert!(values.iter().all(|value| value.abs() <= largest), "{start:?}");
        }
    }
}
