//! Norms of rows.

use burn::tensor::{DType, Tensor};
use hart_core::HartBackend;

use crate::{Gpu, assert_close, types, values};

const EPSILON: f64 = 1e-6;

fn rms_norm(x: Tensor<Gpu, 3>, weight: Tensor<Gpu, 1>) -> Tensor<Gpu, 3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let mean_square = x.clone().square().mean_dim(2);
    (x / (mean_square + EPSILON).sqrt()).cast(dtype) * weight.cast(dtype).unsqueeze()
}

fn layer_norm(x: Tensor<Gpu, 3>, weights: Option<[Tensor<Gpu, 1>; 2]>) -> Tensor<Gpu, 3> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let x = centred / (variance + EPSILON).sqrt();
    match weights {
        Some([weight, bias]) => (x * weight.unsqueeze() + bias.unsqueeze()).cast(dtype),
        None => x.cast(dtype),
    }
}

fn modulated(x: Tensor<Gpu, 3>, scale: Tensor<Gpu, 3>, shift: Tensor<Gpu, 3>) -> Tensor<Gpu, 3> {
    let dtype = x.dtype();
    x * (scale + 1.0).cast(dtype) + shift.cast(dtype)
}

/// Batch, tokens and width; those of a scale and a shift.
const SHAPES: [([usize; 3], [usize; 2]); 6] = [
    ([1, 1, 1], [1, 1]),
    ([2, 5, 33], [2, 1]),
    ([2, 40, 128], [2, 40]),
    ([3, 7, 1536], [1, 1]),
    ([1, 3, 2052], [1, 3]),
    ([2, 3, 514], [1, 3]),
];

#[test]
fn rows_are_normalised_and_modulated() {
    for ((dtype, unit), (shape, [items, places])) in
        types().into_iter().flat_map(|dtype| SHAPES.map(|shape| (dtype, shape)))
    {
        let tolerance = (4.0 * unit).max(1e-5);
        let [_, _, width] = shape;
        let x = values(shape, dtype) + 0.5;
        let weights = [values([width], DType::F32), values([width], DType::F32)];
        let [weight, _] = weights.clone();
        // Scales and shifts lie in the rows of one table, as a layer gives them.
        let table = values([items, places, 2 * width], dtype);
        let scale = table.clone().narrow(2, 0, width);
        let shift = table.narrow(2, width, width);
        let what = format!("{shape:?} by {items}, {places} in {dtype:?}");

        let expected = rms_norm(x.clone(), weight.clone());
        let found = Gpu::rms_norm(x.clone(), weight.clone(), EPSILON);
        assert_close(found, expected.clone(), tolerance, &format!("RMS of {what}"));

        let expected = modulated(expected, scale.clone(), shift.clone());
        let found =
            Gpu::modulated_rms_norm(x.clone(), weight, scale.clone(), shift.clone(), EPSILON);
        assert_close(found, expected, tolerance, &format!("modulated RMS of {what}"));

        for weights in [None, Some(weights)] {
            let kind = if weights.is_some() { "weighted layer" } else { "layer" };
            let expected = layer_norm(x.clone(), weights.clone());
            let expected = modulated(expected, scale.clone(), shift.clone());
            let (scale, shift) = (scale.clone(), shift.clone());
            let found = Gpu::modulated_layer_norm(x.clone(), weights, scale, shift, EPSILON);
            assert_close(found, expected, tolerance, &format!("{kind} norm of {what}"));
        }
    }
}

#[test]
fn swapped_rows_and_modulation_in_32_bits_are_read_as_they_are() {
    for (dtype, unit) in types() {
        let x = values([2, 16, 24], dtype).swap_dims(1, 2);
        let (weight, table) = (values([16], dtype), values([2, 1, 32], DType::F32));
        let (scale, shift) = (table.clone().narrow(2, 0, 16), table.narrow(2, 16, 16));
        let expected = rms_norm(x.clone(), weight.clone());
        let expected = modulated(expected, scale.clone(), shift.clone());
        let found = Gpu::modulated_rms_norm(x, weight, scale, shift, EPSILON);
        assert_close(found, expected, (4.0 * unit).max(1e-5), &format!("{dtype:?}"));
    }
}
