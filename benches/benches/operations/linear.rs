//! Linear layers, from the two rows of the first scale to the rows of the last ones.

use burn::tensor::Tensor;
use criterion::Criterion;
use hart_core::{HartBackend, Precision};

use crate::plain;
use crate::timing::{Backend, Group, operations, random};

/// Inputs and outputs: queries, keys and values together; the two halves of the gated feed-forward
/// part side by side; the down projection of that part.
const LAYERS: [[usize; 2]; 3] = [[1536, 4608], [1536, 8192], [4096, 1536]];
/// Rows: tokens of both halves of guidance.
const ROWS: [usize; 6] = [2, 32, 128, 512, 2592, 8192];
/// The rows that are also measured in plain operations.
const PLAIN_ROWS: usize = 512;

pub(crate) fn measure(criterion: &mut Criterion) {
    let precisions = [Precision::F32, Precision::Int8];
    for precision in precisions.into_iter().take(1 + usize::from(Backend::MULTIPLIES_INT8)) {
        let mut group = Group::new(criterion, &format!("linear {precision}"));
        for [inputs, outputs] in LAYERS {
            let multiply = layer(random([inputs, outputs]), precision);
            for rows in ROWS {
                let x = random([rows, inputs]);
                let (name, work) = case(rows, [inputs, outputs]);
                group.time(name, operations(work), || x.clone(), &multiply);
            }
        }
    }
    let mut group = Group::new(criterion, "linear plain");
    let [inputs, outputs] = LAYERS[0];
    let (x, weight) = (random([PLAIN_ROWS, inputs]), random([inputs, outputs]));
    let (name, work) = case(PLAIN_ROWS, LAYERS[0]);
    let inputs = || (x.clone(), weight.clone());
    group.time(name, operations(work), inputs, |(x, weight)| plain::linear(x, weight));
}

/// The layer as the backend multiplies fastest.
fn layer(
    weight: Tensor<Backend, 2>,
    precision: Precision,
) -> impl Fn(Tensor<Backend, 2>) -> Tensor<Backend, 2> {
    let prepared = Backend::prepare_linear(weight.clone(), None, precision);
    let weight = prepared.is_none().then_some(weight);
    move |x| match (&prepared, &weight) {
        (Some(layer), _) => Backend::prepared_linear(layer, x),
        (None, Some(weight)) => Backend::affine(x, weight.clone(), None),
        (None, None) => unreachable!("a layer is prepared or keeps its weights"),
    }
}

/// Name and operations.
fn case(rows: usize, [inputs, outputs]: [usize; 2]) -> (String, usize) {
    (format!("{inputs} to {outputs}, {rows} rows"), 2 * rows * inputs * outputs)
}
