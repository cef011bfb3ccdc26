//! The backends compiled in.
//!
//! `cargo add hart-pipeline --no-default-features --features cuda` swaps the CPU for a GPU: a
//! program that says [`DefaultBackend`] and [`default_device`] needs no other change.

#[cfg(feature = "flex")]
pub use burn::backend::Flex;

#[cfg(feature = "ndarray")]
pub use burn::backend::NdArray;

#[cfg(feature = "wgpu")]
pub use burn::backend::Wgpu;

#[cfg(feature = "vulkan")]
pub use burn::backend::Vulkan;

#[cfg(feature = "metal")]
pub use burn::backend::Metal;

#[cfg(feature = "cuda")]
pub use burn::backend::Cuda;

#[cfg(feature = "tch")]
pub use burn::backend::LibTorch;

macro_rules! default_backend {
    ($($feature:literal => $backend:ident unless [$($better:literal),*];)*) => {
        $(
            /// The fastest of the backends compiled in: `cuda`, `metal`, `vulkan`, `wgpu`, `tch`,
            /// `flex` or `ndarray`, the first of these whose feature is on.
            #[cfg(all(feature = $feature, not(any($(feature = $better),*))))]
            pub type DefaultBackend = $backend;
        )*
    };
}

default_backend! {
    "cuda" => Cuda unless [];
    "metal" => Metal unless ["cuda"];
    "vulkan" => Vulkan unless ["cuda", "metal"];
    "wgpu" => Wgpu unless ["cuda", "metal", "vulkan"];
    "tch" => LibTorch unless ["cuda", "metal", "vulkan", "wgpu"];
    "flex" => Flex unless ["cuda", "metal", "vulkan", "wgpu", "tch"];
    "ndarray" => NdArray unless ["cuda", "metal", "vulkan", "wgpu", "tch", "flex"];
}

#[cfg(not(any(
    feature = "cuda",
    feature = "wgpu",
    feature = "tch",
    feature = "flex",
    feature = "ndarray"
)))]
compile_error!(
    "hart-pipeline needs a backend: turn on one of the features flex, ndarray, wgpu, vulkan, metal, \
     cuda and tch"
);

/// The first device of the [`DefaultBackend`].
pub fn default_device() -> <DefaultBackend as burn::tensor::backend::BackendTypes>::Device {
    Default::default()
}

/// The names of the backends compiled in, as features and command lines call them.
pub fn compiled_in() -> Vec<&'static str> {
    let all = [
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("wgpu", cfg!(all(feature = "wgpu", not(any(feature = "vulkan", feature = "metal"))))),
        ("tch", cfg!(feature = "tch")),
        ("flex", cfg!(feature = "flex")),
        ("ndarray", cfg!(feature = "ndarray")),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}
