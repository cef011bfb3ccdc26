//! One step of the residual diffusion: products, and between them operations that no backend has
//! a kernel for.

use criterion::Criterion;
use hart_core::nn::Prepare;
use hart_core::{HartBackend, Precision};
use hart_diffusion::ResidualHeadSize;
use hart_diffusion::network::ResidualNetwork;
use hart_pipeline::backend::default_device;

use crate::timing::{Backend, Group, operations, random};

/// The released head.
const SIZE: ResidualHeadSize =
    ResidualHeadSize { channels: 32, condition_width: 1536, width: 1024, depth: 6 };
/// Tokens of the last scales of 256 and of 512 pixels.
const TOKENS: [usize; 2] = [256, 1024];

pub(crate) fn measure(criterion: &mut Criterion) {
    let mut group = Group::new(criterion, "diffusion step");
    let precisions = [Precision::F32, Precision::Int8];
    for precision in precisions.into_iter().take(1 + usize::from(Backend::MULTIPLIES_INT8)) {
        let mut network = ResidualNetwork::<Backend>::init(&SIZE, &default_device());
        network.prepare(precision);
        for tokens in TOKENS {
            let x = random([2, tokens, SIZE.channels]);
            let condition = random([2, tokens, SIZE.width]);
            group.time(
                format!("{precision}, {tokens} tokens"),
                operations(2 * tokens * products(&SIZE)),
                || (x.clone(), condition.clone()),
                |(x, condition)| network.forward(x, &[500.0], condition),
            );
        }
    }
}

/// Products and sums for one token: the layers of every block with their modulation, the last
/// modulation, and the way in and out.
fn products(size: &ResidualHeadSize) -> usize {
    let (width, channels) = (size.width, size.channels);
    2 * width * (width * (5 * size.depth + 2) + channels + 2 * channels)
}
