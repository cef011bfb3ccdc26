//! Tokens from logits where these are (section 4.4).

use burn::tensor::{DType, Element, Tensor, TensorPrimitive};

use super::operation::{RunsCube, input};
use crate::kernels::cube::sampling::SampleTokens;
use crate::ops::sampling::{TokenSampling, TokensThere};
use crate::transfer::count_upload;

/// Samples tokens; `None` for shapes and types that the kernel does not know.
pub(super) fn sample_tokens<B: RunsCube>(
    logits: &Tensor<B, 3>,
    sampling: &TokenSampling<'_, B>,
) -> Option<TokensThere<B>> {
    let TokenSampling { rule, codebook, seeds, scale, positions, .. } = sampling;
    let [entries, channels] = codebook.dims();
    let [batch, tokens, of_logits] = logits.dims();
    let in_32_bits = logits.dtype() == DType::F32 && codebook.dtype() == DType::F32;
    if !in_32_bits || of_logits != entries || !SampleTokens::knows(entries, channels) {
        return None;
    }
    assert_eq!(seeds.len(), batch, "one seed an image");
    assert!(
        positions.len() == batch && positions.iter().all(|row| row.len() == tokens),
        "one position a token"
    );
    let addresses = SampleTokens::addresses(seeds, positions);
    count_upload(size_of_val(&addresses[..]));
    let operation =
        SampleTokens { rule: *rule, scale: *scale as u32, addresses, indices: B::IntElem::dtype() };
    let mut results = B::run(operation, vec![input(logits.clone()), input(codebook.clone())]);
    let vectors = Tensor::from_primitive(TensorPrimitive::Float(results.pop()?));
    let indices = Tensor::from_primitive(B::integers(results.pop()?));
    Some(TokensThere { indices, vectors })
}
