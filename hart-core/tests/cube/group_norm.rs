//! GroupNorm.

use burn::tensor::{DType, Tensor, TensorData};
use hart_core::HartBackend;
use hart_core::ops::GroupNormOptions;

use crate::{Gpu, assert_close, types, values};

/// In double precision: the plain operations lose digits of a large group's mean.
fn group_norm(
    x: &Tensor<Gpu, 4>,
    weight: &Tensor<Gpu, 1>,
    bias: &Tensor<Gpu, 1>,
    options: &GroupNormOptions,
) -> Tensor<Gpu, 4> {
    let [batch, channels, height, width] = x.dims();
    let numbers = |data: TensorData| -> Vec<f64> { data.iter().collect() };
    let mut values = numbers(x.to_data());
    let (weight, bias) = (numbers(weight.to_data()), numbers(bias.to_data()));
    let size = values.len() / batch / options.groups;
    for (g, group) in values.chunks_mut(size).enumerate() {
        let mean = group.iter().sum::<f64>() / size as f64;
        let variance = group.iter().map(|x| (x - mean).powi(2)).sum::<f64>() / size as f64;
        for (i, x) in group.iter_mut().enumerate() {
            let channel = (g * size + i) / (height * width) % channels;
            let normalized = (*x - mean) / (variance + options.epsilon).sqrt();
            let y = normalized * weight[channel] + bias[channel];
            *x = if options.activate { y / (1.0 + (-y).exp()) } else { y };
        }
    }
    let values: Vec<f32> = values.into_iter().map(|x| x as f32).collect();
    let data = TensorData::new(values, x.shape());
    Tensor::<Gpu, 4>::from_data(data, (&x.device(), DType::F32)).cast(x.dtype())
}

#[test]
fn groups_of_maps_are_normalised() {
    // Batch, channels, height, width and groups; the last is shared by several cubes.
    let shapes = [
        ([1, 4, 1, 1], 2),
        ([2, 6, 5, 10], 3),
        ([1, 8, 31, 33], 8),
        ([2, 64, 16, 16], 32),
        ([1, 10, 150, 151], 2),
        ([1, 10, 160, 256], 2),
    ];
    for ((dtype, unit), (shape, groups)) in
        types().into_iter().flat_map(|dtype| shapes.map(|shape| (dtype, shape)))
    {
        let [_, channels, _, _] = shape;
        // A mean far from zero must not cost the variance its digits.
        let far = if dtype == DType::F32 { 100.0 } else { 2.0 };
        let x = values(shape, dtype) + far;
        let (weight, bias) = (values([channels], DType::F32), values([channels], DType::F32));
        for activate in [false, true] {
            let options = GroupNormOptions { groups, epsilon: 1e-6, activate };
            let expected = group_norm(&x, &weight, &bias, &options);
            let found = Gpu::group_norm(x.clone(), weight.clone(), bias.clone(), &options);
            let what = format!("{shape:?} in {dtype:?}, activated: {activate}");
            assert_close(found, expected, (2.0 * unit).max(1e-4), &what);
        }
    }
}
