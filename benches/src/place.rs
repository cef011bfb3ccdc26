//! Where all sides compute: on the processor, or on one GPU.

use anyhow::{Context, Result, bail, ensure};
use hart_core::Precision;
use hart_pipeline::backend::compiled_in;

/// The backends that compute on the processor.
const ON_THE_CPU: [&str; 3] = ["flex", "ndarray", "tch"];
/// What a comparison can do where PyTorch cannot take part.
const ALONE: &str = "or HART alone with `--python none`";

/// The backend of our side, and which GPU.
#[derive(Debug, Clone)]
pub struct Place {
    /// As the command line names it, such as `flex` or `cuda:1`.
    pub device: String,
    backend: String,
    gpu: Option<usize>,
}

/// Where and in which type of elements PyTorch computes.
#[derive(Debug, Clone)]
pub struct Torch {
    /// As PyTorch names it, such as `cpu` or `cuda:0`.
    pub device: String,
    /// The type of weights and activations.
    pub precision: Precision,
}

impl Place {
    /// The device of this name; of none, the fastest on the processor, or else the fastest one.
    ///
    /// # Errors
    /// When the backend is not compiled in, or what should number a GPU is not a number.
    pub fn new(named: Option<&str>) -> Result<Self> {
        let compiled_in = compiled_in();
        let usual = compiled_in.iter().find(|name| ON_THE_CPU.contains(name));
        let device = named.unwrap_or(usual.unwrap_or(&compiled_in[0]));
        let (backend, gpu) = match device.split_once(':') {
            Some((backend, gpu)) => (backend, Some(gpu)),
            None => (device, None),
        };
        ensure!(
            compiled_in.contains(&backend),
            "`{backend}` is not compiled in: name one of {}, or build with `--features {backend}`",
            compiled_in.join(", ")
        );
        let number = |gpu: &str| {
            let wrong = || format!("`{device}`: `{gpu}` is not the number of a GPU");
            gpu.parse::<usize>().with_context(wrong)
        };
        let gpu = gpu.map(number).transpose()?;
        let only_cpu = matches!(backend, "flex" | "ndarray");
        ensure!(gpu.is_none() || !only_cpu, "`{backend}` has no GPUs: name it without a number");
        Ok(Self { device: device.to_string(), backend: backend.to_string(), gpu })
    }

    /// Whether a GPU computes. LibTorch does so where a GPU is named.
    pub fn on_gpu(&self) -> bool {
        !ON_THE_CPU.contains(&self.backend.as_str()) || self.gpu.is_some()
    }

    /// Where PyTorch has the same means: `f32` on the processor, and on a GPU through CUDA in
    /// `precision`.
    ///
    /// # Errors
    /// When PyTorch has no such precision, or it is not known to compute on the same GPU.
    pub fn torch(&self, precision: Precision) -> Result<Torch> {
        if !self.on_gpu() {
            return Ok(Torch { device: "cpu".to_string(), precision: Precision::F32 });
        }
        if precision == Precision::Int8 {
            bail!(
                "on a GPU PyTorch computes in the first precision of ours, and has no int8: name \
                 f16, bf16 or f32 first (`--precision f16,int8`), {ALONE}"
            );
        }
        let gpu = match (self.backend.as_str(), self.gpu) {
            ("metal", _) => bail!(
                "PyTorch is measured on the processor or through CUDA, which Metal has not: measure \
                 `--device flex`, {ALONE}"
            ),
            ("vulkan" | "wgpu", Some(_)) => bail!(
                "which GPU `{}` is to CUDA is not known: name `{}` without a number where there is \
                 one GPU, `cuda` with a number where there are several, {ALONE}",
                self.device,
                self.backend
            ),
            (_, gpu) => gpu.unwrap_or(0),
        };
        Ok(Torch { device: format!("cuda:{gpu}"), precision })
    }
}

#[cfg(all(test, feature = "flex"))]
mod tests {
    use hart_core::Precision;

    use super::Place;

    /// A place whose backend need not be compiled in.
    fn place(backend: &str, gpu: Option<usize>) -> Place {
        Place { device: backend.to_string(), backend: backend.to_string(), gpu }
    }

    #[test]
    fn pytorch_computes_where_we_do() {
        let on = |place: Place| {
            let torch = place.torch(Precision::F16).expect("a device of PyTorch");
            (torch.device, torch.precision)
        };
        assert_eq!(on(place("flex", None)), ("cpu".to_string(), Precision::F32));
        assert_eq!(on(place("tch", None)), ("cpu".to_string(), Precision::F32));
        assert_eq!(on(place("tch", Some(1))), ("cuda:1".to_string(), Precision::F16));
        assert_eq!(on(place("cuda", Some(2))), ("cuda:2".to_string(), Precision::F16));
        assert_eq!(on(place("vulkan", None)), ("cuda:0".to_string(), Precision::F16));
    }

    #[test]
    fn what_pytorch_cannot_do_is_refused_with_advice() {
        let says = |place: Place, precision, advice| {
            let error = place.torch(precision).expect_err("no such side").to_string();
            assert!(error.contains(advice), "{error}");
        };
        says(place("cuda", None), Precision::Int8, "--precision f16,int8");
        says(place("metal", None), Precision::F16, "--python none");
        says(place("vulkan", Some(1)), Precision::F16, "without a number");
    }

    #[test]
    fn a_device_is_compiled_in_and_numbered() {
        let says = |name, advice| {
            let error = format!("{:#}", Place::new(Some(name)).expect_err("no such device"));
            assert!(error.contains(advice), "{error}");
        };
        says("abacus", "name one of");
        says("flex:first", "`first` is not the number of a GPU");
        says("flex:1", "without a number");
        assert!(!Place::new(None).expect("flex is compiled in").on_gpu());
    }
}
