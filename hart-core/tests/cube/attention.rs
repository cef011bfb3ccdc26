//! Attention.

use burn::tensor::activation::softmax;
use burn::tensor::{DType, Tensor};
use hart_core::HartBackend;

use crate::{Gpu, assert_close, types, values};

fn attend(
    q: Tensor<Gpu, 4>,
    k: Tensor<Gpu, 4>,
    v: Tensor<Gpu, 4>,
    bias: Option<Tensor<Gpu, 4>>,
    scale: f64,
) -> Tensor<Gpu, 4> {
    let dtype = q.dtype();
    let [q, k, v] = [q, k, v].map(|x| x.cast(DType::F32));
    let scores = (q * scale).matmul(k.swap_dims(2, 3));
    let scores = match bias {
        Some(bias) => scores + bias.cast(DType::F32),
        None => scores,
    };
    softmax(scores, 3).matmul(v).cast(dtype)
}

/// Batch, heads, queries, keys, width, and how many the first key stands for.
const SHAPES: [([usize; 5], usize); 7] = [
    ([1, 1, 1, 1, 4], 1),
    ([2, 3, 37, 500, 64], 1),
    ([1, 2, 1, 301, 32], 40),
    ([2, 2, 100, 7, 48], 3),
    ([1, 2, 64, 301, 64], 77),
    ([1, 1, 130, 1111, 64], 300),
    ([2, 2, 256, 256, 64], 1),
];

#[test]
fn attention_is_a_softmax_of_products() {
    for ((dtype, unit), ([batch, heads, queries, keys, width], copies)) in
        types().into_iter().flat_map(|dtype| SHAPES.map(|shape| (dtype, shape)))
    {
        // What autotuning picks on NVIDIA may multiply 32-bit floats with the digits of TF32.
        let exact = if cfg!(feature = "cuda") { 2e-3 } else { 1e-5 };
        let tolerance = (8.0 * unit).max(exact);
        let q = values([batch, heads, queries, width], dtype);
        // The filled rows of a cache with room for more.
        let cache = || values([batch, heads, keys + 3, width], dtype).narrow(2, 0, keys);
        let (k, v) = (cache(), cache());
        let what = format!("{batch} × {heads} × {queries} × {keys} × {width} in {dtype:?}");

        let expected = attend(q.clone(), k.clone(), v.clone(), None, 0.8);
        let found = Gpu::attend(q.clone(), k.clone(), v.clone(), None, 0.8);
        assert_close(found, expected, tolerance, &what);

        let bias = values([batch, 1, queries, keys], dtype);
        let expected = attend(q.clone(), k.clone(), v.clone(), Some(bias.clone()), 1.0);
        let found = Gpu::attend(q.clone(), k.clone(), v.clone(), Some(bias), 1.0);
        assert_close(found, expected, tolerance, &format!("{what} with a bias"));

        let repeated = |x: Tensor<Gpu, 4>| {
            let first = x.clone().narrow(2, 0, 1).repeat_dim(2, copies);
            match keys {
                1 => first,
                _ => Tensor::cat(vec![first, x.narrow(2, 1, keys - 1)], 2),
            }
        };
        let expected = attend(q.clone(), repeated(k.clone()), repeated(v.clone()), None, 1.0);
        let found = Gpu::attend_repeated(q, k, v, copies, 1.0);
        assert_close(found, expected, tolerance, &format!("{what} of {copies} copies"));
    }
}

#[test]
fn attention_survives_scores_that_no_power_can_hold() {
    let data = |x: f32| Tensor::<Gpu, 4>::full([1, 1, 1, 8], x, &Default::default());
    let (q, k) = (data(30.0), Tensor::cat(vec![data(30.0), data(-30.0)], 2));
    let v = Tensor::cat(vec![data(1.0), data(2.0)], 2);
    let found: Vec<f32> = Gpu::attend(q, k, v, None, 1.0).into_data().iter().collect();
    assert_eq!(found, [1.0; 8]);
}
