//! From projections to heads.

use burn::tensor::{DType, Tensor};
use hart_core::HartBackend;
use hart_core::ops::{Angles, Projection, unit_length};

use crate::{Gpu, assert_close, types, values};

fn rotate(x: Tensor<Gpu, 4>, angles: &Angles<Gpu>) -> Tensor<Gpu, 4> {
    let dtype = x.dtype();
    let x = x.cast(DType::F32);
    let half = x.dims()[3] / 2;
    let (first, second) = (x.clone().narrow(3, 0, half), x.clone().narrow(3, half, half));
    let turned = Tensor::cat(vec![second.neg(), first], 3);
    (x * angles.cos.clone() + turned * angles.sin.clone()).cast(dtype)
}

fn split_heads(qkv: Tensor<Gpu, 3>, projection: &Projection<Gpu>) -> [Tensor<Gpu, 4>; 3] {
    let [batch, tokens, joined] = qkv.dims();
    let (heads, width, dtype) = (projection.heads, joined / 3, qkv.dtype());
    let part = |i: usize, bias: Option<&Tensor<Gpu, 1>>| {
        let mut part = qkv.clone().narrow(2, i * width, width);
        if let Some(bias) = bias {
            part = part + bias.clone().cast(dtype).unsqueeze();
        }
        let part = part.reshape([batch, tokens, heads, width / heads]);
        // Copied, since reshaped views of swapped axes of one entry are read wrongly.
        if tokens == 1 || heads == 1 {
            part.reshape([batch, heads, tokens, width / heads])
        } else {
            part.swap_dims(1, 2)
        }
    };
    let (mut q, mut k) = (part(0, Some(&projection.query_bias)), part(1, None));
    if let Some(scale) = &projection.query_scale {
        q = unit_length(q.cast(DType::F32)) * scale.clone();
        k = unit_length(k.cast(DType::F32));
    }
    let rotated = |x| rotate(x, &projection.angles).cast(dtype);
    [rotated(q), rotated(k), part(2, Some(&projection.value_bias))]
}

#[test]
fn heads_are_split_brought_to_length_and_rotated() {
    let shapes =
        [[1, 1, 1, 2], [2, 19, 3, 12], [2, 1, 2, 64], [1, 37, 1, 8], [2, 33, 24, 64], [1, 5, 3, 6]];
    for ((dtype, unit), shape) in
        types().into_iter().flat_map(|dtype| shapes.map(|shape| (dtype, shape)))
    {
        let [batch, tokens, heads, width] = shape;
        let row = heads * width;
        let qkv = values([batch, tokens, 3 * row], dtype);
        for (items, scaled) in [(1, false), (batch, true)] {
            let angles = values([items, 1, tokens, width], DType::F32) * 3.0;
            let projection = Projection {
                heads,
                query_bias: values([row], dtype),
                value_bias: values([row], dtype),
                query_scale: scaled.then(|| values([1, heads, 1, 1], DType::F32) + 2.0),
                angles: Angles { cos: angles.clone().cos(), sin: angles.sin() },
            };
            let expected = split_heads(qkv.clone(), &projection);
            let found = Gpu::split_heads(qkv.clone(), &projection);
            for (part, (found, expected)) in found.into_iter().zip(expected).enumerate() {
                let what = format!("part {part} of {shape:?} in {dtype:?}, scaled: {scaled}");
                assert_close(found, expected, (2.0 * unit).max(1e-5), &what);
            }
        }
    }
}

#[test]
fn a_head_of_zeros_stays_zero() {
    let qkv = Tensor::zeros([1, 2, 3 * 8], &Default::default());
    let bias = Tensor::zeros([8], &Default::default());
    let ones = Tensor::ones([1, 1, 2, 8], &Default::default());
    let projection = Projection {
        heads: 1,
        query_bias: bias.clone(),
        value_bias: bias,
        query_scale: Some(Tensor::ones([1, 1, 1, 1], &Default::default())),
        angles: Angles { cos: ones.clone(), sin: ones },
    };
    for part in Gpu::split_heads(qkv, &projection) {
        assert!(part.into_data().iter::<f32>().all(|x| x == 0.0));
    }
}
