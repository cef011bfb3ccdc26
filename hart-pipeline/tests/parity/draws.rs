//! The recorded draws of a generation.

use std::collections::BTreeMap;

use hart_ar::mask_passes::mask_passes;
use hart_core::random::{Draws, Pick};
use libtest_mimic::Failed;

use crate::trace::Trace;

/// Greedy tokens, no smooth noise, and the recorded orders and diffusion noise.
pub(crate) struct Recorded {
    orders: Vec<Vec<usize>>,
    /// For each image and position its pass and its row there.
    places: Vec<BTreeMap<usize, (usize, usize)>>,
    /// For each pass its noise; none where no residual is sampled.
    noises: Vec<PassNoise>,
}

/// The noise of one pass, of the start and of every step, `[rows, Z]` behind each other.
struct PassNoise {
    start: Vec<f32>,
    steps: Vec<f32>,
    /// Rows of a step: both halves of guidance were recorded.
    rows: usize,
}

impl Recorded {
    /// The draws of a trace whose last scale is predicted in `passes` passes, with or without the
    /// residual.
    pub(crate) fn new(trace: &Trace, passes: usize, residual: bool) -> Result<Self, Failed> {
        let orders = trace.input("orders")?.position_rows();
        let passes = mask_passes(&orders, passes);
        let mut places = vec![BTreeMap::new(); orders.len()];
        let mut noises = vec![];
        for (index, pass) in passes.iter().enumerate() {
            for (image, positions) in pass.positions.iter().enumerate() {
                for (place, &position) in positions.iter().enumerate() {
                    places[image].insert(position, (index, image * pass.len() + place));
                }
            }
            if residual {
                noises.push(PassNoise::of(trace, index)?);
            }
        }
        Ok(Self { orders, places, noises })
    }

    /// The noise of the pass that a position is in, and its row there.
    fn noise(&self, image: usize, position: usize) -> (&PassNoise, usize) {
        let (pass, row) = self.places[image][&position];
        (&self.noises[pass], row)
    }
}

impl PassNoise {
    fn of(trace: &Trace, pass: usize) -> Result<Self, Failed> {
        let start = trace.input(&format!("pass.{pass}.residual.start"))?;
        let steps = trace.input(&format!("pass.{pass}.residual.noise"))?;
        let rows = *steps.shape.get(1).ok_or("noise of another rank")?;
        Ok(Self { start: start.floats(), steps: steps.floats(), rows })
    }
}

impl Draws for Recorded {
    fn token(&self, _: usize, _: usize, _: usize) -> Pick {
        Pick::Greedy
    }

    fn smooth_noise(&self, _: usize, _: usize, _: usize, noise: &mut [f32]) {
        noise.fill(0.0);
    }

    fn order(&self, image: usize, _: usize) -> Vec<usize> {
        self.orders[image].clone()
    }

    fn diffusion_start(&self, image: usize, position: usize, noise: &mut [f32]) {
        let (pass, row) = self.noise(image, position);
        noise.copy_from_slice(&pass.start[row * noise.len()..][..noise.len()]);
    }

    fn diffusion_step(&self, image: usize, step: usize, position: usize, noise: &mut [f32]) {
        // The conditional half comes first.
        let (pass, row) = self.noise(image, position);
        let row = step * pass.rows + row;
        noise.copy_from_slice(&pass.steps[row * noise.len()..][..noise.len()]);
    }
}
