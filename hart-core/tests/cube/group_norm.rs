//! GroupNorm.

use burn::tensor::activation::silu;
use burn::tensor::{DType, Tensor};
use hart_core::HartBackend;
use hart_core::ops::GroupNormOptions;

use crate::{Gpu, assert_close, types, values};

fn group_norm(
    x: Tensor<Gpu, 4>,
    weight: Tensor<Gpu, 1>,
    bias: Tensor<Gpu, 1>,
    options: &GroupNormOptions,
) -> Tensor<Gpu, 4> {
    let (shape, dtype) = (x.dims(), x.dtype());
    let [batch, channels, height, width] = shape;
    let size = channels / options.groups * height * width;
    let x = x.cast(DType::F32).reshape([batch, options.groups, size]);
    let centred = x.clone() - x.mean_dim(2);
    let variance = centred.clone().square().mean_dim(2);
    let x = (centred / (variance + options.epsilon).sqrt()).reshape(shape);
    let of_channels = |x: Tensor<Gpu, 1>| x.reshape([1, channels, 1, 1]);
    let x = x * of_channels(weight) + of_channels(bias);
    if options.activate { silu(x).cast(dtype) } else { x.cast(dtype) }
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
            let expected = group_norm(x.clone(), weight.clone(), bias.clone(), &options);
            let found = Gpu::group_norm(x.clone(), weight.clone(), bias.clone(), &options);
            let what = format!("{shape:?} in {dtype:?}, activated: {activate}");
            assert_close(found, expected, (2.0 * unit).max(1e-4), &what);
        }
    }
}
