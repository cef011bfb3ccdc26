//! Layers as LibTorch has them, with its own differentiation.

use std::sync::Mutex;

use burn::backend::LibTorch;
use burn::tensor::Tensor;

use super::super::{ConvolutionOptions, GroupNormOptions, Pullback};
use super::{handle, wrap};

/// `x · weight + bias`: one launch for the product and the sum.
pub(super) fn affine(
    x: &tch::Tensor,
    weight: &tch::Tensor,
    bias: Option<tch::Tensor>,
) -> tch::Tensor {
    let mut shape = x.size();
    let (inputs, outputs) = (weight.size()[0], weight.size()[1]);
    let rows = x.reshape([-1, inputs]);
    let product = match bias {
        Some(bias) => bias.to_kind(weight.kind()).addmm(&rows, weight),
        None => rows.mm(weight),
    };
    shape[x.dim() - 1] = outputs;
    product.view(&shape[..])
}

/// GroupNorm, then SiLU when the options say so.
pub(super) fn group_norm(
    x: &tch::Tensor,
    weight: &tch::Tensor,
    bias: &tch::Tensor,
    options: &GroupNormOptions,
) -> tch::Tensor {
    let groups = options.groups as i64;
    // Weights may be kept in more bits than what flows through, which LibTorch refuses on a GPU.
    let (weight, bias) = (weight.to_kind(x.kind()), bias.to_kind(x.kind()));
    let x = x.group_norm(groups, Some(&weight), Some(&bias), options.epsilon, true);
    if options.activate { x.silu() } else { x }
}

/// A convolution.
pub(super) fn convolution(
    x: &tch::Tensor,
    weight: &tch::Tensor,
    bias: &tch::Tensor,
    options: &ConvolutionOptions,
) -> tch::Tensor {
    let both = |pair: [usize; 2]| pair.map(|value| value as i64);
    let (stride, padding) = (both(options.stride), both(options.padding));
    x.conv2d(weight, Some(bias), stride, padding, [1, 1], 1)
}

/// The result of a layer alone.
pub(super) fn plain<const W: usize>(
    x: Tensor<LibTorch, 4>,
    weight: Tensor<LibTorch, W>,
    bias: Tensor<LibTorch, 1>,
    layer: impl FnOnce(&tch::Tensor, &tch::Tensor, &tch::Tensor) -> tch::Tensor,
) -> Tensor<LibTorch, 4> {
    wrap(layer(&handle(x), &handle(weight), &handle(bias)))
}

/// The result of a layer, and LibTorch's own graph of it.
pub(super) fn with_pullback<const W: usize>(
    x: Tensor<LibTorch, 4>,
    weight: Tensor<LibTorch, W>,
    bias: Tensor<LibTorch, 1>,
    layer: impl FnOnce(&tch::Tensor, &tch::Tensor, &tch::Tensor) -> tch::Tensor,
) -> (Tensor<LibTorch, 4>, Pullback<LibTorch, W>) {
    // Detached handles are new leaves: the originals stay without gradient. They are kept, because
    // burn writes into a tensor that nobody else holds, and the graph still needs these.
    let arguments = (x.clone(), weight.clone(), bias.clone());
    let leaf = |tensor: tch::Tensor| tensor.detach().set_requires_grad(true);
    let leaves = [leaf(handle(x)), leaf(handle(weight)), leaf(handle(bias))];
    let [x, weight, bias] = &leaves;
    let result = layer(x, weight, bias);
    // None of the layers needs its result in the backward pass, so that one may be written into.
    let seen = result.detach();
    let kept = Mutex::new((result, leaves, arguments));
    let pullback = move |gradient: Tensor<LibTorch, 4>| {
        let kept = kept.into_inner().expect("nothing panics while it is locked");
        let (result, leaves, _arguments) = kept;
        let loss = (result * handle(gradient)).sum(None);
        let mut found = tch::Tensor::run_backward(&[loss], &leaves, false, false).into_iter();
        let mut next = || found.next().expect("a gradient for each of the three");
        (wrap(next()), wrap(next()), wrap(next()))
    };
    (wrap(seen), Pullback::new(pullback))
}
