//! The backends compiled in.
//!
//! `cargo add hart-pipeline --no-default-features --features cuda` swaps the CPU for a GPU: a
//! program that says [`DefaultBackend`] and [`default_device`] needs no other change.

use hart_core::{Error, HartBackend, Result};

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

/// Starts the threads that work on the CPU is divided among, unless they have been. rayon would
/// start them when they are first needed, and panic when there are none to be had.
pub(crate) fn start_threads() -> Result<()> {
    let Err(error) = rayon::ThreadPoolBuilder::new().build_global() else { return Ok(()) };
    // The other error is that there are threads already.
    let source = std::error::Error::source(&error).and_then(|cause| cause.downcast_ref());
    let Some(source) = source.map(same_error) else { return Ok(()) };
    let threads = match std::env::var("RAYON_NUM_THREADS") {
        Ok(number) => number,
        Err(_) => std::thread::available_parallelism().map_or(1, usize::from).to_string(),
    };
    let what = format!("start {threads} threads (RAYON_NUM_THREADS says how many)");
    Err(Error::System { what, source })
}

/// An error of the operating system once more, which its type does not copy.
fn same_error(error: &std::io::Error) -> std::io::Error {
    match error.raw_os_error() {
        Some(code) => std::io::Error::from_raw_os_error(code),
        None => std::io::Error::new(error.kind(), error.to_string()),
    }
}

/// Work that runs on whichever backend the user names.
///
/// ```
/// use hart_pipeline::HartBackend;
/// use hart_pipeline::backend::{OnBackend, on_device};
///
/// struct Name;
/// impl OnBackend for Name {
///     type Output = String;
///     fn run<B: HartBackend>(self, device: B::Device) -> String {
///         B::name(&device)
///     }
/// }
/// # #[cfg(feature = "flex")]
/// assert_eq!(on_device("flex", Name)?, "flex");
/// # Ok::<(), hart_pipeline::Error>(())
/// ```
pub trait OnBackend {
    /// What the work gives.
    type Output;

    /// Does the work on a device of backend `B`.
    fn run<B: HartBackend>(self, device: B::Device) -> Self::Output;
}

/// Runs `work` on the device called `name`: a backend of [`compiled_in`], and for GPUs optionally
/// which one, such as `cuda:1`. What GPU backends compile is kept for later processes: see
/// `keep_kernels`.
///
/// # Errors
/// [`Error::Invalid`] for a backend that is not compiled in, [`Error::System`] when the threads
/// that the CPU's work is divided among cannot be started.
pub fn on_device<W: OnBackend>(name: &str, work: W) -> Result<W::Output> {
    start_threads()?;
    let refuse = || {
        let expected = format!("one of {}", compiled_in().join(", "));
        Error::invalid("the device", format!("`{name}`"), expected)
    };
    let (backend, index) = match name.split_once(':') {
        Some((backend, index)) => (backend, Some(index.parse::<usize>().map_err(|_| refuse())?)),
        None => (name, None),
    };
    #[cfg(all(any(feature = "wgpu", feature = "cuda"), not(target_family = "wasm")))]
    keep_kernels();
    match (backend, index) {
        #[cfg(feature = "flex")]
        ("flex", None) => Ok(work.run::<Flex>(Default::default())),
        #[cfg(feature = "ndarray")]
        ("ndarray", None) => Ok(work.run::<NdArray>(Default::default())),
        #[cfg(feature = "cuda")]
        ("cuda", index) => {
            Ok(work.run::<Cuda>(burn::backend::cuda::CudaDevice::new(index.unwrap_or(0))))
        }
        #[cfg(feature = "vulkan")]
        ("vulkan", index) => Ok(work.run::<Vulkan>(wgpu_device(index))),
        #[cfg(feature = "metal")]
        ("metal", index) => Ok(work.run::<Metal>(wgpu_device(index))),
        #[cfg(feature = "wgpu")]
        ("wgpu", index) => Ok(work.run::<Wgpu>(wgpu_device(index))),
        #[cfg(feature = "tch")]
        ("tch", index) => {
            use burn::backend::libtorch::LibTorchDevice;
            Ok(work.run::<LibTorch>(index.map_or(LibTorchDevice::Cpu, LibTorchDevice::Cuda)))
        }
        _ => Err(refuse()),
    }
}

#[cfg(feature = "wgpu")]
fn wgpu_device(index: Option<usize>) -> burn::backend::wgpu::WgpuDevice {
    use burn::backend::wgpu::WgpuDevice;
    index.map_or(WgpuDevice::DefaultDevice, WgpuDevice::DiscreteGpu)
}

/// Has GPU backends keep what they compile, and what tuning finds, in the folder `hart` of the user's caches
/// (`~/.cache/hart` on Linux). It is a setting of the process, to be made before a device is first used;
/// [`on_device`] makes it. A `cubecl.toml` in or above the present folder comes first.
///
/// `false` when such settings were made already, or the user has no folder for caches: nothing changes then.
#[cfg(all(any(feature = "wgpu", feature = "cuda"), not(target_family = "wasm")))]
pub fn keep_kernels() -> bool {
    let folder = dirs::cache_dir().map(|folder| folder.join("hart"));
    folder.is_some_and(hart_core::kernels::cube::kept::keep_kernels)
}

/// The names of the backends compiled in, as features and command lines call them, the
/// [`DefaultBackend`] first.
pub fn compiled_in() -> Vec<&'static str> {
    let all: [(&str, bool); 7] = [
        ("cuda", cfg!(feature = "cuda")),
        ("metal", cfg!(feature = "metal")),
        ("vulkan", cfg!(feature = "vulkan")),
        ("wgpu", cfg!(feature = "wgpu")),
        ("tch", cfg!(feature = "tch")),
        ("flex", cfg!(feature = "flex")),
        ("ndarray", cfg!(feature = "ndarray")),
    ];
    all.into_iter().filter(|(_, on)| *on).map(|(name, _)| name).collect()
}
