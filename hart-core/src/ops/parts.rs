//! Chains of layers a part of the tokens at a time.

use burn::tensor::Tensor;

use super::HartBackend;

/// Applies `f` to inputs `[batch, tokens, …]`, to at most [`HartBackend::TOKENS_AT_ONCE`] tokens at
/// a time. `f` must treat every token independently of the others: then the results are those of all
/// tokens at once. How tokens are divided does not depend on the batch, so that an image is computed
/// in the same way in every batch.
pub fn in_parts<B: HartBackend, const N: usize, const M: usize>(
    inputs: [Tensor<B, 3>; N],
    f: impl Fn([Tensor<B, 3>; N]) -> [Tensor<B, 3>; M],
) -> [Tensor<B, 3>; M] {
    let [_, tokens, _] = inputs[0].dims();
    let most = B::TOKENS_AT_ONCE.unwrap_or(tokens);
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

#[cfg(all(test, feature = "flex"))]
mod tests {
    use burn::backend::Flex;
    use burn::tensor::{Tensor, TensorData};

    use super::{HartBackend, in_parts};

    #[test]
    fn parts_are_small_and_give_what_all_tokens_give() {
        let most = Flex::TOKENS_AT_ONCE.expect("a processor's cache is small");
        for [batch, tokens] in [[1, 1], [1, most], [1, most + 1], [2, most + 200], [3, 5]] {
            let values: Vec<f32> = (0..batch * tokens * 3).map(|i| i as f32).collect();
            let x = TensorData::new(values, [batch, tokens, 3]);
            let x = Tensor::<Flex, 3>::from_data(x, &Default::default());
            let both = |[a, b]: [Tensor<Flex, 3>; 2]| [a.clone() * b.clone(), a - b];
            let found = in_parts([x.clone(), x.clone() * 0.5], |inputs| {
                let [_, tokens, _] = inputs[0].dims();
                assert!(tokens <= most, "{tokens} tokens");
                both(inputs)
            });
            let expected = both([x.clone(), x * 0.5]);
            for (found, expected) in found.into_iter().zip(expected) {
                assert_eq!(found.into_data(), expected.into_data());
            }
        }
    }
}
