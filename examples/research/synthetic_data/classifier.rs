//! A small convolutional network that tells what a scene shows.

use burn::backend::Autodiff;
use burn::module::Module;
use burn::tensor::activation::{log_softmax, relu};
use burn::tensor::{Int, Tensor, TensorData, backend::Backend};
use hart_core::initialize::{Start, initialize};
use hart_core::nn::{Convolution, ConvolutionConfig, Linear};
use hart_core::random::generator;
use hart_core::{HartBackend, Result};
use hart_pipeline::training::optimizer::{OptimizerSettings, Trainee};
use rand::Rng;

use crate::pictures::Picture;

/// Channels of the image and behind each convolution, which halves the sides.
const CHANNELS: [usize; 5] = [3, 16, 32, 64, 64];
/// What is to be told, each with its possible answers: two shapes, and how they lie.
const ANSWERS: [usize; 3] = [6, 6, 2];
const STEPS: u64 = 1000;
const BATCH: usize = 32;
/// Pictures that are looked at together in a test.
const TESTED: usize = 100;
/// The stream of a seed that batches are chosen from.
const BATCHES: u64 = 1101;
const SEED: u64 = 1;

/// The network: convolutions of stride 2, and a linear layer.
#[derive(Module, Debug)]
pub(crate) struct Classifier<B: Backend> {
    convolutions: Vec<Convolution<B>>,
    output: Linear<B>,
    side: usize,
}

impl<B: HartBackend> Classifier<B> {
    fn init(side: usize, device: &B::Device) -> Result<Self> {
        let convolution = |channels: &[usize]| {
            let channels = [channels[0], channels[1]];
            ConvolutionConfig { channels, kernel: 3, padding: [1; 4], stride: 2 }.init(device)
        };
        let levels = CHANNELS.len() - 1;
        let cells = (side >> levels) * (side >> levels);
        let network = Self {
            convolutions: CHANNELS.windows(2).map(convolution).collect(),
            output: Linear::init(CHANNELS[levels] * cells, ANSWERS.iter().sum(), device),
            side,
        };
        // As K. He et al. do for rectified units (2015).
        initialize(network, SEED, &|_, shape| match shape {
            [_, inputs, height, width] => {
                Start::Normal((2.0 / (inputs * height * width) as f64).sqrt())
            }
            [_, _] => Start::Xavier,
            _ => Start::Constant(0.0),
        })
    }

    /// Scores of all answers, `[pictures, answers]`.
    fn forward(&self, pictures: &[&Picture], device: &B::Device) -> Tensor<B, 2> {
        let values: Vec<f32> = pictures.iter().flat_map(|picture| picture.planes.clone()).collect();
        let data = TensorData::new(values, [pictures.len(), CHANNELS[0], self.side, self.side]);
        let mut x = Tensor::<B, 4>::from_data(data, device);
        for convolution in &self.convolutions {
            x = relu(convolution.forward(x));
        }
        self.output.forward(x.flatten(1, 3))
    }

    /// The cross-entropy of what the pictures show.
    fn loss(&self, pictures: &[&Picture], device: &B::Device) -> Tensor<B, 1> {
        let scores = self.forward(pictures, device);
        let terms = questions().into_iter().enumerate().map(|(question, (first, answers))| {
            let likely = log_softmax(scores.clone().narrow(1, first, answers), 1);
            let shown: Vec<i64> = pictures.iter().map(|p| p.shown[question] as i64).collect();
            let shown = TensorData::new(shown, [pictures.len(), 1]);
            -likely.gather(1, Tensor::<B, 2, Int>::from_data(shown, device)).mean()
        });
        Tensor::cat(terms.collect(), 0).sum()
    }

    /// The share of pictures of which everything is told right.
    pub(crate) fn share_right(&self, pictures: &[Picture]) -> f64 {
        let device = Default::default();
        let mut right = 0;
        for pictures in pictures.chunks(TESTED) {
            let pictures: Vec<&Picture> = pictures.iter().collect();
            let scores = self.forward(&pictures, &device);
            let mut is_right = vec![true; pictures.len()];
            for (question, (first, answers)) in questions().into_iter().enumerate() {
                let best = scores.clone().narrow(1, first, answers).argmax(1).into_data();
                let found = is_right.iter_mut().zip(&pictures).zip(best.iter::<i64>());
                found.for_each(|((right, p), best)| *right &= best == p.shown[question] as i64);
            }
            right += is_right.into_iter().filter(|right| *right).count();
        }
        right as f64 / pictures.len() as f64
    }
}

impl<B: HartBackend> Classifier<B>
where
    Autodiff<B>: HartBackend,
{
    /// One that has learned from these pictures, the same number of steps however many they are.
    pub(crate) fn learn(pictures: &[Picture], side: usize) -> Result<Self> {
        let device = Default::default();
        let mut settings = OptimizerSettings::default();
        settings.learning_rate = 2e-3;
        settings.final_rate = 0.01;
        settings.ema = 0.99;
        let network = Classifier::<Autodiff<B>>::init(side, &device)?;
        let mut trainee = Trainee::new(network, settings.clone());
        for step in 0..STEPS {
            let mut draws = generator(SEED, BATCHES, [step, 0]);
            let mut any = || &pictures[(draws.next_u64() % pictures.len() as u64) as usize];
            let batch: Vec<&Picture> = (0..BATCH).map(|_| any()).collect();
            let mut gradients = trainee.accumulator();
            gradients.add(&trainee.module, trainee.module.loss(&batch, &device).backward());
            trainee.step(gradients, settings.rate(step, STEPS))?;
        }
        Ok(trainee.averaged())
    }
}

/// For each question where its scores begin, and how many answers it has.
fn questions() -> [(usize, usize); 3] {
    let [one, other, _] = ANSWERS;
    let begins = [0, one, one + other];
    [0, 1, 2].map(|question| (begins[question], ANSWERS[question]))
}
