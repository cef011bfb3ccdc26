//! Chains of layers a part of the tokens at a time.

use burn::tensor::Tensor;

use super::HartBackend;

/// Applies `f` to inputs `[batch, tokens, …]`, to so many tokens at a time as the backend likes
/// ([`HartBackend::TOKENS_AT_ONCE`]). Under `f` every token must go its own way: then the results
/// are those of all tokens at once.
pub fn in_parts<B: HartBackend, const N: usize, const M: usize>(
    inputs: [Tensor<B, 3>; N],
    f: impl Fn([Tensor<B, 3>; N]) -> [Tensor<B, 3>; M],
) -> [Tensor<B, 3>; M] {
    let [batch, tokens, _] = inputs[0].dims();
    let most = B::TOKENS_AT_ONCE.map_or(tokens, |most| (most / batch).max(1));
    if tokens <= most {
        return f(inputs);
    }
    let each = tokens.div_ceil(tokens.div_ceil(most));
    let mut results = [(); M].map(|()| vec![]);
    for start in (0..tokens).step_by(each) {
        let length = each.min(tokens - start);
        let part = inputs.each_ref().map(|input| input.clone().narrow(1, start, length));
        for (results, result) in results.iter_mut().zip(f(part)) {
            results.push(result);
        }
    }
    results.map(|parts| Tensor::cat(parts, 1))
}
