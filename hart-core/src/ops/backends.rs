//! What each backend overrides.

use super::HartBackend;

/// Flex has a fused attention that never holds all scores.
#[cfg(feature = "flex")]
impl HartBackend for burn::backend::Flex {
    fn attend(
        q: burn::tensor::Tensor<Self, 4>,
        k: burn::tensor::Tensor<Self, 4>,
        v: burn::tensor::Tensor<Self, 4>,
        bias: Option<burn::tensor::Tensor<Self, 4>>,
        scale: f64,
    ) -> burn::tensor::Tensor<Self, 4> {
        let options = burn::tensor::ops::AttentionModuleOptions {
            scale: Some(scale),
            softcap: None,
            is_causal: false,
        };
        burn::tensor::module::attention(q, k, v, None, bias, options)
    }
}

#[cfg(feature = "ndarray")]
impl HartBackend for burn::backend::NdArray {}

#[cfg(feature = "wgpu")]
impl HartBackend for burn::backend::Wgpu {}

// Vulkan and Metal are the same type: wgpu with booleans of one byte.
#[cfg(feature = "vulkan")]
impl HartBackend for burn::backend::Vulkan {}

#[cfg(all(feature = "metal", not(feature = "vulkan")))]
impl HartBackend for burn::backend::Metal {}

#[cfg(feature = "cuda")]
impl HartBackend for burn::backend::Cuda {}

#[cfg(feature = "tch")]
impl HartBackend for burn::backend::LibTorch {}

#[cfg(feature = "train")]
impl<B: HartBackend, C> HartBackend for burn::backend::Autodiff<B, C> where
    C: burn::backend::autodiff::checkpoint::strategy::CheckpointStrategy
{
}
