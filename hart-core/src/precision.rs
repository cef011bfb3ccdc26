//! The element type of weights and activations.

use std::str::FromStr;

use burn::tensor::DType;
use burn::tensor::backend::Backend;

use crate::{Error, Result};

/// How the large weights are stored and in what type activations flow between layers.
///
/// Whatever the choice, norms, softmax, rotary angles, logits, the latent sum, the codebook and the
/// noise schedule stay in 32 bits.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default, Hash)]
pub enum Precision {
    /// 32-bit floats.
    #[default]
    F32,
    /// bfloat16: the range of `F32`, 8 bits of significand.
    Bf16,
    /// IEEE half precision: 11 bits of significand, largest value 65504.
    F16,
}

impl Precision {
    /// The tensor element type.
    pub fn dtype(self) -> DType {
        match self {
            Self::F32 => DType::F32,
            Self::Bf16 => DType::BF16,
            Self::F16 => DType::F16,
        }
    }

    /// The name used on command lines and in picture settings: `f32`, `bf16` or `f16`.
    pub fn name(self) -> &'static str {
        match self {
            Self::F32 => "f32",
            Self::Bf16 => "bf16",
            Self::F16 => "f16",
        }
    }

    /// Checks that backend `B` computes in this precision on `device`.
    ///
    /// # Errors
    /// [`Error::Invalid`] when it does not.
    pub fn check<B: Backend>(self, device: &B::Device) -> Result<()> {
        if B::supports_dtype(device, self.dtype()) {
            return Ok(());
        }
        let found = format!("{} on the {} backend", self.name(), B::name(device));
        Err(Error::invalid("the precision", found, "one that the device computes in, such as f32"))
    }
}

impl FromStr for Precision {
    type Err = Error;

    fn from_str(name: &str) -> Result<Self> {
        [Self::F32, Self::Bf16, Self::F16]
            .into_iter()
            .find(|precision| precision.name() == name)
            .ok_or_else(|| Error::invalid("the precision", format!("`{name}`"), "f32, bf16 or f16"))
    }
}

impl std::fmt::Display for Precision {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str(self.name())
    }
}
